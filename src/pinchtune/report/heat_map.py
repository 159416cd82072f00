"""Heat maps: models by languages, each column coloured by itself (the paper's Fig. 1 and 10), and the Slavic map."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pinchtune import languages
from pinchtune.errors import LanguageError
from pinchtune.report.figure_data import MEAN, Cell
from pinchtune.report.pictures import label, new_figure, svg
from pinchtune.scoring.similarity import SLAVIC

_PALE, _DEEP, _OWN = (0.97, 0.98, 1.0), (0.42, 0.66, 0.86), (0.92, 0.92, 0.92)
_SCRIPTS = {"Cyrl": "Cyrillic", "Latn": "Latin"}


def heat_map(cells: Sequence[Cell], *, title: str, baseline: str, notes: Mapping[str, str] | None = None) -> str:
    """Draw models by languages with value and 95% interval in each cell, and the means of the rows at the right.

    Each column is coloured from its own lowest to its own highest, a model in its own language left out (Shaham et al.
    2024, arXiv 2401.01854, Fig. 1).

    Args:
        cells: In the order of rows and columns.
        title: Of the picture.
        baseline: What the scores are against, in words.
        notes: Row or column, as it is labelled -> a second line under its name.
    """
    if not cells:
        return sentence_picture("Nothing was judged: there is no cell to show.", title)
    notes = notes or {}
    rows = list(dict.fromkeys(one.model for one in cells))
    columns = list(dict.fromkeys(one.language for one in cells))
    # The means stand last, wherever the first row with one had it.
    columns = [tag for tag in columns if tag != MEAN] + [tag for tag in columns if tag == MEAN]
    heads = ["Mean" if tag == MEAN else label(tag) for tag in columns]
    figure, axes = new_figure(1.7 + 0.78 * len(columns), 1.5 + 0.42 * len(rows))
    colours = _column_colours(cells)
    for cell in cells:
        place = columns.index(cell.language) + (0.15 if cell.language == MEAN else 0)
        _draw_cell(axes, cell, place, rows.index(cell.model), colours[cell.model, cell.language])
    places = [number + (0.15 if tag == MEAN else 0) for number, tag in enumerate(columns)]
    axes.xaxis.tick_top()
    slant = {"fontsize": 8} if notes else {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(places, [_noted(one, notes).replace(", ", "\n") for one in heads], **slant)
    axes.set_yticks(range(len(rows)), [_noted(one, notes) for one in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_ylabel("tuned on")
    explained = (
        f"side by side against {baseline}, percent, with 95% intervals; 50 is even; each column is coloured from its "
        "lowest to its highest; grey: its own language, 50 by construction"
    )
    # A matrix of few languages is narrower than the sentence.
    axes.set_xlabel(textwrap.fill(explained, width=max(48, 13 * len(columns))), fontsize=8)
    return svg(figure, title)


def slavic_map(cells: Sequence[Cell], *, title: str, baseline: str) -> str:
    """Draw a heat map whose names carry subfamily and script, for languages of the Slavic table (Fig. 7, Table 1)."""
    notes = {label(one.language): f"{one.subfamily}, {_SCRIPTS[one.script]}" for one in SLAVIC}
    return heat_map(cells, title=title, baseline=baseline, notes=notes)


def is_slavic(tags: Sequence[str]) -> bool:
    """Return whether all of several languages are in the Slavic table."""
    known = {one.language for one in SLAVIC}
    return len(tags) > 1 and {_base(tag) for tag in tags} <= known


def sentence_picture(sentence: str, title: str) -> str:
    """Draw a sentence where there is nothing else to draw."""
    figure, axes = new_figure(7.2, 0.7)
    axes.axis("off")
    axes.text(0, 0.5, sentence, va="center", transform=axes.transAxes)
    return svg(figure, title)


def _base(tag: str) -> str:
    try:
        return languages.parse(tag).base
    except LanguageError:
        return tag


def _noted(name: str, notes: Mapping[str, str]) -> str:
    return f"{name}\n{notes[name]}" if name in notes else name


def _column_colours(cells: Sequence[Cell]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return (model, language) -> colour: pale at the column's lowest, deep at its highest."""
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for tag in dict.fromkeys(one.language for one in cells):
        column = [one for one in cells if one.language == tag]
        values = [one.value for one in column if not one.own]
        low, width = min(values, default=0.0), max(values, default=0.0) - min(values, default=0.0)
        for one in column:
            depth = (one.value - low) / width if width > 0 else 0.5
            mixed = tuple(pale + depth * (deep - pale) for pale, deep in zip(_PALE, _DEEP, strict=True))
            found[one.model, tag] = _OWN if one.own else mixed
    return found


def _draw_cell(axes: Any, cell: Cell, column: float, row: int, colour: tuple[float, ...]) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, facecolor=colour, edgecolor="none"))
    with_interval = cell.low is not None and cell.high is not None
    weight = "bold" if cell.language == MEAN else "normal"
    height = row - 0.14 if with_interval else row
    axes.text(column, height, f"{100 * cell.value:.1f}", ha="center", va="center", fontsize=9.5, weight=weight)
    if cell.low is not None and cell.high is not None:
        ends = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}"
        axes.text(column, row + 0.24, ends, ha="center", va="center", fontsize=6.2, color="#333333")
