"""Prompts and answers as the report's pages show them: direction and language of every text, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pinchtune import languages
from pinchtune.judging.other_language import REASON as OTHER_LANGUAGE
from pinchtune.records import Answer, Identified, Outcome, Prompt


def language_view(tag: str) -> dict[str, str]:
    """Return how a language is called, and its direction."""
    language = languages.parse(tag)
    return {"tag": tag, "label": language.name, "autonym": language.autonym, "direction": language.direction}


def answer_view(answer: Answer, found: Identified | None) -> dict[str, Any]:
    """Return what a page shows of an answer.

    Args:
        answer: Of a model.
        found: What the language identifier says of it.
    """
    return {
        "model": answer.model,
        "text": answer.text,
        "stop": "" if answer.stop_reason == "stop" else "cut at the limit ·",
        "faithful": found.faithful if found else None,
        "found": languages.parse(found.found).name if found and found.found else "another language",
        "tag": found.found if found else None,
        "exempt": found is not None and found.reason == OTHER_LANGUAGE,
        "mixed": found is not None and found.mixed,
    }


def answer_groups(
    prompts: Sequence[Prompt], answers: Sequence[Answer], identified: Sequence[Identified], outcomes: Sequence[Outcome]
) -> list[dict[str, Any]]:
    """Return every prompt with all its answers and outcomes, language by language."""
    by_prompt: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        by_prompt.setdefault((answer.id, answer.language), []).append(answer)
    found: Mapping[tuple[str, str, str], Identified] = {(i.id, i.language, i.model): i for i in identified}
    results: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        results.setdefault((one.id, one.language), []).append(f"{one.candidate} against {one.baseline}: {one.result}")
    groups: dict[str, list[dict[str, Any]]] = {}
    for prompt in prompts:
        key = (prompt.id, prompt.language)
        shown = [answer_view(one, found.get((one.id, one.language, one.model))) for one in by_prompt.get(key, [])]
        groups.setdefault(prompt.language, []).append(
            {"prompt": prompt, "outcomes": results.get(key, []), "answers": shown}
        )
    return [language_view(tag) | {"items": items} for tag, items in groups.items()]
