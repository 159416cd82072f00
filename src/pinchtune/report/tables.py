"""Rows of the report's tables: labels, percent, intervals and heat colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pinchtune.records import Outcome, Score
from pinchtune.report.pictures import label

MEANS = ("all", "non_english", "seen", "unseen")
#: Metrics that stand beside a side-by-side score, with the heads of their columns.
BESIDE = {
    "mean_probability": "By probability, %",
    "length_controlled": "At equal length, %",
    "side_by_side_in_language": "Wrong language loses, %",
}


def percent(value: float) -> str:
    """Return a fraction as percent with one decimal.

    >>> percent(0.525)
    '52.5'
    """
    return f"{100 * value:.1f}"


def span(score: Score) -> str:
    """Return a score's interval in percent, signed where it is a difference."""
    sign = "+" if score.metric.endswith("_gain") else ""
    return f"{100 * score.low:{sign}.1f} to {100 * score.high:{sign}.1f}"


def told_for_both(score: Score) -> str:
    """Return what a gain of language fidelity is over: a prompt counts where both models' language could be told."""
    return f"over {score.n_judged} of {score.n_asked} prompts, told for both models"


def heat(value: float, *, middle: float = 0.5) -> str:
    """Return a background colour: orange below `middle`, blue above, white at it; dark text stays readable on all."""
    strength = min(1.0, abs(value - middle) / max(middle, 1 - middle))
    red, green, blue = (27, 108, 168) if value >= middle else (209, 122, 34)
    mixed = [round(255 - 0.45 * strength * (255 - channel)) for channel in (red, green, blue)]
    return f"rgb({mixed[0]}, {mixed[1]}, {mixed[2]})"


def side_by_side_rows(
    scores: Sequence[Score],
    own: Mapping[tuple[str, str], Score],
    outcomes: Sequence[Outcome],
    *,
    seen: Sequence[str],
    links: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """Return a row per language, then per mean.

    Args:
        scores: The side-by-side scores of one comparison.
        own: (metric, language) -> score, for the tie rates and what stands beside the score.
        outcomes: Of this comparison, for the counts.
        seen: Languages in the candidate's tuning set.
        links: Language -> address of its cell's page.
    """
    counts = Counter((outcome.language, outcome.result) for outcome in outcomes)
    rows = []
    for score in scores:
        mean = score.language in MEANS
        ties = own.get(("tie_rate", score.language))
        results = [] if mean else [counts[score.language, result] for result in ("win", "tie", "loss")]
        rows.append(
            _lead(score.language, seen, first_mean=score.language == "all")
            | {
                "href": links.get(score.language, ""),
                "value": percent(score.value),
                "colour": heat(score.value),
                "interval": span(score),
                "counts": " / ".join(map(str, results)),
                "ties": percent(ties.value) if ties else "",
                "beside": [_beside(own.get((metric, score.language))) for metric in beside(own)],
                "judged": f"{score.n_judged} of {score.n_asked}",
            }
        )
    return rows


def beside(own: Mapping[tuple[str, str], Score]) -> list[str]:
    """Return the metrics that stand beside a comparison's score, in the order of their columns."""
    there = {metric for metric, _ in own}
    return [metric for metric in BESIDE if metric in there]


def _beside(score: Score | None) -> dict[str, str]:
    return {"value": percent(score.value), "interval": span(score)} if score else {"value": "", "interval": ""}


def fidelity_rows(
    by_model: Mapping[str, Sequence[Score]], *, seen: Sequence[str], lines: Mapping[tuple[str, str], str]
) -> list[dict[str, Any]]:
    """Return a row per language, then per mean, with a cell per model.

    Args:
        by_model: Model -> its fidelity in every language and mean.
        seen: Languages seen in tuning.
        lines: (model, language or mean) -> what is said of lines.
    """
    tags = dict.fromkeys(score.language for scores in by_model.values() for score in scores)
    rows = []
    for tag in tags:
        cells = []
        for model, scores in by_model.items():
            score = next((one for one in scores if one.language == tag), None)
            cells.append(
                {"value": "", "colour": "none", "interval": "", "told": "", "lines": ""}
                if score is None
                else {
                    "value": percent(score.value),
                    "colour": heat(score.value, middle=0.0),
                    "interval": span(score),
                    "told": f"{score.n_judged} of {score.n_answered}",
                    "lines": lines.get((model, tag), ""),
                }
            )
        rows.append(_lead(tag, seen, first_mean=tag == "all") | {"cells": cells})
    return rows


def _lead(tag: str, seen: Sequence[str], *, first_mean: bool) -> dict[str, Any]:
    mean = tag in MEANS
    note = "" if mean or tag == "en" or not seen else ("seen" if tag in seen else "unseen")
    return {"label": label(tag), "note": note, "mean": mean, "first_mean": first_mean}
