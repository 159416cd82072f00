"""The short table that a command prints when a study is done."""

from __future__ import annotations

from collections.abc import Sequence

from pinchtune.records import Score
from pinchtune.report.pictures import label
from pinchtune.report.tables import percent, span, told_for_both

Table = tuple[list[str], list[list[str]]]


def summary_table(scores: Sequence[Score]) -> Table:
    """Return a header and a row per language and mean: side by side of each comparison, fidelity of each model."""
    sides = {(s.model, s.baseline, s.judge, s.language): s for s in scores if s.metric == "side_by_side"}
    fidelity = {(s.model, s.language): s for s in scores if s.metric == "language_fidelity"}
    pairs = list(dict.fromkeys((model, baseline, judge) for model, baseline, judge, _ in sides))
    several = len({judge for *_, judge in pairs}) > 1
    models = list(dict.fromkeys(model for model, _ in fidelity))
    tags = dict.fromkeys([*(tag for _, tag in fidelity), *(tag for *_, tag in sides)])
    header = ["language"]
    for model, baseline, judge in pairs:
        by = f" ({judge})" if several else ""
        header += [f"{model} against {baseline}{by}, %", "95% interval"]
    header += [f"fidelity of {model}, %" for model in models]
    rows = []
    for tag in tags:
        row = [label(tag)]
        for pair in pairs:
            side = sides.get((*pair, tag))
            row += [percent(side.value), span(side)] if side else ["", ""]
        cells = (fidelity.get((model, tag)) for model in models)
        rows.append([*row, *(percent(cell.value) if cell else "" for cell in cells)])
    return header, rows


def gains(scores: Sequence[Score]) -> list[str]:
    """Return a sentence for each gain of language fidelity in a mean, with the prompts that it is over."""
    return [
        f"Language fidelity gained by {s.model}, {label(s.language).lower()}: {100 * s.value:+.1f} points [{span(s)}], "
        f"{told_for_both(s)}"
        for s in scores
        if s.metric == "language_fidelity_gain" and s.language in ("non_english", "seen", "unseen")
    ]
