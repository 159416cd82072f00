"""The cells: a page for each candidate, baseline and language, with both answers to every prompt side by side.

Pages are made and written one after the other, so that beside the records there is one of them in memory at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pinchtune import store
from pinchtune.judging.side_by_side import one_order
from pinchtune.records import Answer, Failure, Identified, Outcome, Prompt, Verdict
from pinchtune.report.answers import answer_view, language_view
from pinchtune.report.html import is_ours, render

R = TypeVar("R", bound=msgspec.Struct)
#: (candidate, baseline, language)
Cell = tuple[str, str, str]
#: Folder of the cells' pages, beside index.html.
FOLDER = "cells"
#: In the order in which they are shown; "" has no outcome of the first judge.
RESULTS = {"loss": "lost", "tie": "tied", "win": "won", "": "undecided"}


def file_name(candidate: str, baseline: str, language: str) -> str:
    """Return the name of a cell's page: of letters a to z, digits and hyphens, the same in every run.

    >>> file_name("Pinch 40", "english", "zh-Hant")
    'pinch-40-vs-english-zh-hant-0c9ae2d88c.html'
    """
    mark = store.content_key([candidate, baseline, language])[:10]
    return f"{_plain(candidate)}-vs-{_plain(baseline)}-{_plain(language)}-{mark}.html"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"


class Cells:
    """The records of a study by cell.

    Args:
        comparisons: (candidate, baseline).
        prompts: All that were asked.
        answers: Of all models.
        identified: What was found of them.
        outcomes: By all judges and panels.
        verdicts: What outcomes were made of, in both orders; none where they are not known.
        unjudged: Cell -> calls without a verdict.
    """

    def __init__(
        self,
        comparisons: Sequence[tuple[str, str]],
        *,
        prompts: Sequence[Prompt],
        answers: Sequence[Answer],
        identified: Sequence[Identified],
        outcomes: Sequence[Outcome],
        verdicts: Sequence[Verdict] = (),
        unjudged: Mapping[Cell, Sequence[Failure]] = {},
    ) -> None:
        # Lists of the records themselves: what a page needs of them is looked up when it is made.
        self._prompts = _by(prompts, "language")
        self._answers = _by(answers, "model", "language")
        self._identified = _by(identified, "model", "language")
        self._outcomes = _by(outcomes, "candidate", "baseline", "language")
        self._verdicts = _by(verdicts, "first", "second", "language")
        self._unjudged = unjudged
        self.comparisons = list(dict.fromkeys(comparisons))
        self._judged = set(self._outcomes) | {(a, b, tag) for a, b, tag in self._verdicts} | set(unjudged)
        self._judged |= {(b, a, tag) for a, b, tag in self._verdicts}
        self._languages = {pair: self._in_which(*pair) for pair in self.comparisons}

    def __bool__(self) -> bool:
        """There is a cell."""
        return any(self._languages.values())

    @property
    def models(self) -> set[str]:
        """Those whose answers are on some page."""
        return {model for pair, tags in self._languages.items() if tags for model in pair}

    def _in_which(self, candidate: str, baseline: str) -> list[str]:
        """Return the languages in which two models were judged, or where there is none, both answered."""
        judged = [tag for tag in self._prompts if (candidate, baseline, tag) in self._judged]
        both = [t for t in self._prompts if (candidate, t) in self._answers and (baseline, t) in self._answers]
        return judged or both

    def links(self, candidate: str, baseline: str) -> dict[str, str]:
        """Return language -> address of the cell's page as index.html links it."""
        return {tag: f"{FOLDER}/{file_name(candidate, baseline, tag)}" for tag in self._languages[candidate, baseline]}

    def write(self, folder: Path, *, title: str) -> None:
        """Write all pages into FOLDER/cells, and remove those that an earlier report left there.

        Args:
            folder: Of index.html.
            title: Of the study.

        Raises:
            RunError: the disk refused.
        """
        kept = set()
        for (candidate, baseline), tags in self._languages.items():
            for tag in tags:
                path = folder / FOLDER / file_name(candidate, baseline, tag)
                store.write_text(path, render("cell.html.jinja", title=title, **self.view(candidate, baseline, tag)))
                kept.add(path.name)
        with store.disk_errors(folder):
            for path in (folder / FOLDER).glob("*.html"):
                if path.name not in kept and is_ours(path):
                    path.unlink()

    def view(self, candidate: str, baseline: str, language: str) -> dict[str, Any]:
        """Return what the page of a cell shows: losses first, then ties, wins, and what was not decided."""
        cell = (candidate, baseline, language)
        models = (candidate, baseline)
        answers = [_by_id(self._answers.get((one, language), [])) for one in models]
        identified = [_by_id(self._identified.get((one, language), [])) for one in models]
        english = _by_id(self._prompts.get("en", [])) if language != "en" else {}
        results: dict[str, dict[str, str]] = {}
        for one in self._outcomes.get(cell, []):
            results.setdefault(one.judge, {})[one.id] = one.result
        # A judge whose every call failed is in no outcome.
        verdicts = self._both_orders(*cell)
        judges = [*results, *(one for one in verdicts if one not in results)]
        failures: dict[str, list[Failure]] = {}
        for failure in self._unjudged.get(cell, ()):
            failures.setdefault(failure.id, []).append(failure)
        items: dict[str, list[dict[str, Any]]] = {result: [] for result in RESULTS}
        for prompt in self._prompts.get(language, []):
            judged = [_judged(one, prompt.id, models, results.get(one, {}), verdicts.get(one, {})) for one in judges]
            item = {
                "anchor": "p-" + store.content_key(prompt.id)[:10],
                "prompt": prompt,
                "english": english.get(prompt.id),
                "answers": [
                    answer_view(said[prompt.id], found.get(prompt.id)) if prompt.id in said else None
                    for said, found in zip(answers, identified, strict=True)
                ],
                "judged": judged,
                "failures": [f"{one.reason}{_detail(one)}" for one in failures.get(prompt.id, [])],
            }
            items[judged[0]["result"] if judged else ""].append(item)
        links = {tag: file_name(candidate, baseline, tag) for tag in self._languages[candidate, baseline]}
        return {
            "candidate": candidate,
            "baseline": baseline,
            "language": language_view(language),
            "english": language_view("en"),
            "neighbours": [language_view(tag) | {"href": href} for tag, href in links.items()],
            "counts": _counts(judges, results, sum(map(len, items.values()))),
            "groups": [{"name": RESULTS[result], "shown": found} for result, found in items.items() if found],
        }

    def _both_orders(self, candidate: str, baseline: str, language: str) -> dict[str, dict[str, list[Verdict]]]:
        """Return judge -> prompt id -> verdicts, the order in which the candidate is shown first before the other."""
        found: dict[str, dict[str, list[Verdict]]] = {}
        for first, second in dict.fromkeys([(candidate, baseline), (baseline, candidate)]):
            for verdict in self._verdicts.get((first, second, language), []):
                found.setdefault(verdict.judge, {}).setdefault(verdict.id, []).append(verdict)
        return found


def _by(records: Iterable[R], *fields: str) -> dict[Any, list[R]]:
    """Return value of the fields -> records, in the order given."""
    found: dict[Any, list[R]] = {}
    for record in records:
        values = tuple(getattr(record, field) for field in fields)
        found.setdefault(values if len(values) > 1 else values[0], []).append(record)
    return found


def _by_id(records: Iterable[Any]) -> dict[str, Any]:
    return {record.id: record for record in records}


def _judged(
    judge: str,
    identifier: str,
    models: tuple[str, str],
    results: Mapping[str, str],
    verdicts: Mapping[str, Sequence[Verdict]],
) -> dict[str, Any]:
    """Return what a judge said of a prompt's answers: the outcome, and the verdict of each order, or that it lacks."""
    by_first = {one.first: one for one in verdicts.get(identifier, ())}
    orders = []
    # A panel has no verdicts of its own here; people and AlpacaEval see a pair once.
    for first in models if verdicts else ():
        verdict = by_first.get(first)
        if verdict is None:
            if not one_order(judge):
                orders.append({"first": first, "chose": None, "tie": False, "probability": ""})
            continue
        chose = {"first": verdict.first, "second": verdict.second, "tie": ""}[verdict.choice]
        share = "" if verdict.probability is None else f"{100 * verdict.probability:.0f}%"
        orders.append({"first": first, "chose": chose, "tie": verdict.choice == "tie", "probability": share})
    return {"judge": judge, "result": results.get(identifier, ""), "orders": orders}


def _detail(failure: Failure) -> str:
    return f": {failure.detail}" if failure.detail else ""


def _counts(judges: Sequence[str], results: Mapping[str, Mapping[str, str]], n_prompts: int) -> list[dict[str, Any]]:
    """Return a row of each judge: its losses, ties, wins, and prompts without an outcome."""
    rows = []
    for number, judge in enumerate(judges or [""]):
        counted = Counter(results.get(judge, {}).values())
        counted[""] = n_prompts - counted.total()
        cells = [
            # The items stand in groups by the first judge's outcomes alone.
            {"count": counted[result], "anchor": RESULTS[result] if number == 0 and counted[result] else ""}
            for result in RESULTS
        ]
        rows.append({"judge": judge, "cells": cells})
    return rows
