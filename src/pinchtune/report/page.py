"""The page: gathers what the template shows, and writes index.html, the cells' pages and figures' data as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pinchtune import languages, models, store
from pinchtune.errors import PinchError
from pinchtune.judging.other_language import REASON as OTHER_LANGUAGE
from pinchtune.recipe import Recipe
from pinchtune.records import Answer, Failure, Identified, Outcome, Prompt, Score, Verdict
from pinchtune.report import pictures
from pinchtune.report.answers import answer_groups
from pinchtune.report.cautions import cautions
from pinchtune.report.cells import Cell, Cells
from pinchtune.report.claim import Claim
from pinchtune.report.factors import Section, sentences_of, write_section
from pinchtune.report.figure_data import csv_text
from pinchtune.report.figures import Picture
from pinchtune.report.html import is_ours, render
from pinchtune.report.pictures import label
from pinchtune.report.tables import BESIDE, beside, fidelity_rows, percent, side_by_side_rows, span, told_for_both
from pinchtune.report.tables_text import claim_rows, latex_table, markdown_table
from pinchtune.scoring.bootstrap import DRAWS
from pinchtune.scoring.language_gate import scripts

#: Of a study with experiments, index.html shows so many comparisons in full, and links the cells of all.
_SHOWN = 12
#: Answers that index.html shows itself, where there is no experiment; of more, it links the cells.
_INLINE = 2000
#: (candidate, baseline, judge)
_Table = tuple[str, str, str | None]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows."""

    title: str
    base_model: str | None = None
    seed: int
    #: Models in the order of columns, and (candidate, baseline) in the order of tables.
    models: list[str]
    comparisons: list[tuple[str, str]]
    prompts: list[Prompt]
    answers: list[Answer]
    identified: list[Identified]
    outcomes: list[Outcome]
    scores: list[Score]
    failures: list[Failure] = []
    #: What the outcomes were made of, and cell -> calls of its judges that gave no verdict; none where not known.
    verdicts: list[Verdict] = []
    unjudged: dict[Cell, list[Failure]] = {}
    #: Model -> languages of its mixture.
    seen: dict[str, list[str]] = {}
    #: Model -> what the table of mixtures and the loss curve show; empty where answers came from elsewhere.
    mixtures: dict[str, dict[str, Any]] = {}
    #: "examples" or "prompts" -> language -> what became of its conversations in translation.
    translated: dict[str, dict[str, dict[str, Any]]] = {}
    #: Pictures and claims of a study's experiments; none where it has none.
    pictures: list[Picture] = []
    claims: list[Claim] = []
    #: What languages cost the base model; None where nobody asked.
    factors: Section | None = None
    recipe_text: str = ""
    libraries: dict[str, str] = {}


def page_of_recipe(
    recipe: Recipe, *, manifests: Mapping[str, store.Manifest], seen: dict[str, list[str]], **records: Any
) -> Page:
    """Return the page of a whole study.

    Args:
        recipe: What was run.
        manifests: Step -> manifest.
        seen: Model -> languages of its mixture.
        records: prompts, answers, identified, outcomes, scores, failures and verdicts, as `Page` has them.
    """
    mixtures = {}
    for name in recipe.mixtures:
        mix, tuned = manifests[f"mix/{name}"].notes, manifests[f"tune/{name}"].notes
        mixtures[name] = {**mix, **tuned}
    translated: dict[str, dict[str, dict[str, Any]]] = {}
    for step, manifest in manifests.items():
        if manifest.kind == "translate":
            translated.setdefault(step.split("/")[0], {}).update(manifest.notes["languages"])
    return Page(
        title=recipe.name,
        base_model=recipe.base_model,
        seed=recipe.seed,
        models=recipe.models,
        comparisons=[(one.candidate, one.baseline) for one in recipe.comparisons],
        seen=seen,
        mixtures=mixtures,
        translated=translated,
        recipe_text=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        libraries={k: v for manifest in manifests.values() for k, v in manifest.libraries.items()},
        **records,
    )


def write_page(page: Page, folder: Path) -> Path:
    """Write index.html, the cells' pages and scores.csv into `folder` and return the path of the first.

    Raises:
        RunError: the disk refused.
    """
    path = folder / "index.html"
    if path.is_file() and not is_ours(path):
        raise PinchError(
            f"{path} is there and is no page of ours: it is left as it is.", hint="Choose another --output."
        )
    cells = Cells(
        page.comparisons,
        prompts=page.prompts,
        answers=page.answers,
        identified=page.identified,
        outcomes=page.outcomes,
        verdicts=page.verdicts,
        unjudged=page.unjudged,
    )
    cells.write(folder, title=page.title)
    store.write_text(path, render("page.html.jinja", **_view(page, cells)))
    store.write_text(folder / "scores.csv", _csv(page.scores))
    for number, picture in enumerate(page.pictures, 1):
        name = f"figure-{number}-{picture.experiment}"
        store.write_text(folder / f"{name}.svg", picture.svg)
        store.write_text(folder / f"{name}.csv", csv_text(picture.rows))
    if page.factors is not None:
        write_section(page.factors, folder)
    if page.claims:
        rows = claim_rows(page.claims)
        store.write_text(folder / "claims.md", markdown_table(rows))
        store.write_text(folder / "claims.tex", latex_table(rows))
    return path


def _view(page: Page, cells: Cells) -> dict[str, Any]:
    seen = sorted({tag for tags in page.seen.values() for tag in tags} - {"en"})
    fidelity = {
        model: [s for s in page.scores if s.metric == "language_fidelity" and s.model == model] for model in page.models
    }
    losses = {name: facts["loss"] for name, facts in page.mixtures.items()}
    reasons = Counter((failure.stage, failure.reason) for failure in page.failures)
    tables = _tables(page)
    inline = not cells or (not page.pictures and len(page.answers) <= _INLINE)
    return {
        "page": page,
        "languages": list(dict.fromkeys(prompt.language for prompt in page.prompts)),
        "draws": f"{DRAWS:,}",
        "tables": [
            _comparison(page, cells, one, scores)
            for one, scores in list(tables.items())[: _SHOWN if page.pictures else None]
        ],
        "several_judges": len(tables) > len(page.comparisons),
        "cells": [] if inline else [_links(cells, one, scores) for one, scores in tables.items()],
        "elsewhere": [model for model in page.models if model not in cells.models],
        "fidelity": fidelity_rows(fidelity, seen=seen, lines=_of_lines(page)),
        "scripts": _scripts(page),
        "n_exempt": len({one.id for one in page.identified if one.reason == OTHER_LANGUAGE}),
        "fidelity_picture": pictures.language_fidelity(fidelity),
        "mixtures": [_mixture(page, name, facts) for name, facts in page.mixtures.items()],
        "loss_picture": pictures.loss_curves(losses) if losses else "",
        "translated": _translated(page),
        "pictures": page.pictures,
        "claims": page.claims,
        "factors": page.factors,
        "factor_sentences": sentences_of(page.factors.found) if page.factors else [],
        "groups": answer_groups(page.prompts, page.answers, page.identified, page.outcomes) if inline else [],
        "failures": [{"stage": s, "reason": r, "count": count} for (s, r), count in sorted(reasons.items())],
        "libraries": ", ".join(f"{name} {version}" for name, version in sorted(page.libraries.items())),
        "licence": models.GEMMA_TERMS if page.base_model == models.EMBEDDED else "",
    }


def _of_lines(page: Page) -> dict[tuple[str, str], str]:
    """Return (model, language or mean) -> the line pass rate and the share of mixed answers, in percent."""
    rates = {(s.model, s.language): s for s in page.scores if s.metric == "line_pass_rate"}
    mixed = {(s.model, s.language): s for s in page.scores if s.metric == "mixed_languages"}
    return {key: f"{percent(rate.value)} / {percent(mixed[key].value)}" for key, rate in rates.items() if key in mixed}


def _scripts(page: Page) -> list[str]:
    """Return a sentence for each model and language that is written in two scripts."""
    import langcodes

    sentences = []
    for model in page.models:
        for tag, counts in scripts(page.identified, model).items():
            told = ", ".join(
                f"{count} {langcodes.Language.make(script=script).script_name()}"
                for script, count in counts.most_common()
            )
            sentences.append(f"{model} in {languages.parse(tag).name}: {told}.")
    return sentences


def _tables(page: Page) -> dict[_Table, list[Score]]:
    """Return comparison and judge -> its scores, of every comparison at least one."""
    of_pair: dict[tuple[str, str | None], list[Score]] = {}
    for score in page.scores:
        of_pair.setdefault((score.model, score.baseline), []).append(score)
    tables: dict[_Table, list[Score]] = {}
    for candidate, baseline in page.comparisons:
        scores = of_pair.get((candidate, baseline), [])
        judges = dict.fromkeys(score.judge for score in scores if score.metric == "side_by_side")
        for judge in judges or [None]:
            tables[candidate, baseline, judge] = [score for score in scores if score.judge in (judge, None)]
    return tables


def _links(cells: Cells, table: _Table, scores: Sequence[Score]) -> dict[str, Any]:
    """Return a row of the list of all comparisons: the addresses of its cells, and the scores there."""
    candidate, baseline, judge = table
    values = {score.language: percent(score.value) for score in scores if score.metric == "side_by_side"}
    found = [
        {"tag": tag, "label": label(tag), "href": href, "value": values.get(tag, "")}
        for tag, href in cells.links(candidate, baseline).items()
    ]
    return {"candidate": candidate, "baseline": baseline, "judge": judge or "", "languages": found}


def _comparison(page: Page, cells: Cells, table: _Table, of_table: Sequence[Score]) -> dict[str, Any]:
    candidate, baseline, judge = table
    own = {(s.metric, s.language): s for s in of_table}
    scores = [s for (metric, _), s in own.items() if metric == "side_by_side"]
    outcomes = [o for o in page.outcomes if (o.candidate, o.baseline, o.judge) == (candidate, baseline, judge)]
    seen = [tag for tag in page.seen.get(candidate, []) if tag != "en"]
    cards = []
    for metric, name, text in (
        ("side_by_side", "non_english", f"side by side outside English: {candidate} against {baseline}"),
        ("language_fidelity_gain", "non_english", "points of language fidelity gained outside English"),
        ("language_fidelity_gain", "seen", "points gained in languages seen in tuning"),
        ("language_fidelity_gain", "unseen", "points gained in languages not seen"),
    ):
        score = own.get((metric, name))
        if score is not None:
            gain = metric == "language_fidelity_gain"
            value = f"{100 * score.value:+.1f}" if gain else percent(score.value) + "%"
            over = f", {told_for_both(score)}" if gain else ""
            cards.append({"value": value, "text": text, "interval": f"95% interval {span(score)}{over}"})
    return {
        "candidate": candidate,
        "baseline": baseline,
        "judge": ", ".join(sorted({s.judge for s in scores if s.judge})),
        "cards": cards,
        "sentence": _sentence(own.get(("side_by_side", "non_english")), candidate, baseline),
        "rows": side_by_side_rows(scores, own, outcomes, seen=seen, links=cells.links(candidate, baseline)),
        "beside": [BESIDE[metric] for metric in beside(own)],
        "cautions": cautions(list(own.values())),
        "picture": pictures.side_by_side(scores, candidate=candidate, baseline=baseline, seen=seen),
    }


def _sentence(score: Score | None, candidate: str, baseline: str) -> str:
    if score is None:
        return "No pair outside English could be judged."
    if score.low > 0.5:
        verdict = f"{candidate} is preferred to {baseline}"
    elif score.high < 0.5:
        verdict = f"{baseline} is preferred to {candidate}"
    else:
        verdict = f"{candidate} and {baseline} cannot be told apart"
    return (
        f"Outside English, {verdict}: {percent(score.value)}% [{span(score)}], over {score.n_judged} judged "
        f"prompts of {score.n_asked}, one seed."
    )


def _mixture(page: Page, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    stopped = next((s for s in page.scores if (s.metric, s.model, s.language) == ("stopped", name, "all")), None)
    return {
        "name": name,
        "n_examples": facts["n_examples"],
        "languages": ", ".join(f"{tag} {count}" for tag, count in facts["counts"].items()),
        "n_tokens": facts["n_tokens"],
        "n_labels": facts["n_labels"],
        "loss": f"{facts['loss'][-1][1]:.2f}" if facts["loss"] else "",
        "stopped": percent(stopped.value) if stopped else "",
    }


def _translated(page: Page) -> list[dict[str, Any]]:
    rows = []
    for records, by_language in page.translated.items():
        for tag, counts in by_language.items():
            failed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts["failed"].items()))
            rows.append(counts | {"records": records, "label": label(tag), "failed": failed or "0"})
    return rows


def _csv(scores: Sequence[Score]) -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Score.__struct_fields__)
    writer.writerows([getattr(score, name) for name in Score.__struct_fields__] for score in scores)
    return stream.getvalue()
