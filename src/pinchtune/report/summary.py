"""The short table that a command prints when a study is done."""

from __future__ import annotations

from collections.abc import Sequence

from pinchtune.design_words import MONOLINGUAL
from pinchtune.records import Score
from pinchtune.report.pictures import label
from pinchtune.report.tables import percent, span, told_for_both

#: What stands in the place of a language where a score is a mean over several.
MEANS = ("all", "non_english", "seen", "unseen")
#: Comparisons that are told of one by one at most.
MANY = 4
Table = tuple[list[str], list[list[str]]]


def summary_table(scores: Sequence[Score]) -> Table:
    """Return a header and a row per language and mean: side by side of each comparison, fidelity of each model.

    Of more than `MANY` comparisons, as experiments make them, it is `comparisons_table`.
    """
    if _n_comparisons(scores) > MANY:
        return comparisons_table(scores)
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


def comparisons_table(scores: Sequence[Score]) -> Table:
    """Return a header and a row per comparison, for studies of many: side by side in percent, a column per language.

    Where models are set against each language's own monolingual model, those rows alone: they say the most.
    """
    sides = {(s.model, s.baseline, s.judge, s.language): s for s in scores if s.metric == "side_by_side"}
    pairs = list(dict.fromkeys((model, baseline, judge) for model, baseline, judge, _ in sides))
    pairs = [pair for pair in pairs if pair[1] == MONOLINGUAL] or pairs
    several = len({judge for *_, judge in pairs}) > 1
    found = dict.fromkeys(tag for *pair, tag in sides if tuple(pair) in pairs)
    tags = [*(tag for tag in found if tag not in MEANS), *(tag for tag in MEANS if tag in found)]
    rows = []
    for model, baseline, judge in pairs:
        cells = (sides.get((model, baseline, judge, tag)) for tag in tags)
        by = f" ({judge})" if several else ""
        rows.append([f"{model} against {baseline}{by}, %", *(percent(cell.value) if cell else "" for cell in cells)])
    return ["side by side", *map(label, tags)], rows


def gains(scores: Sequence[Score]) -> list[str]:
    """Return a sentence for each gain of language fidelity in a mean, with the prompts that it is over.

    None of more than `MANY` comparisons: they are in the report.
    """
    if _n_comparisons(scores) > MANY:
        return []
    return [
        f"Language fidelity gained by {s.model}, {label(s.language).lower()}: {100 * s.value:+.1f} points [{span(s)}], "
        f"{told_for_both(s)}"
        for s in scores
        if s.metric == "language_fidelity_gain" and s.language in ("non_english", "seen", "unseen")
    ]


def _n_comparisons(scores: Sequence[Score]) -> int:
    return len({(s.model, s.baseline, s.judge) for s in scores if s.metric == "side_by_side"})
