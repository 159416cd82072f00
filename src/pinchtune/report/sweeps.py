"""Lines over sizes and numbers of languages, bars of pairs, and the scatter of a correlation (Fig. 3 to 6 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pinchtune.report.figure_data import Bar, Dot, Series
from pinchtune.report.heat_map import sentence_picture
from pinchtune.report.pictures import BASELINE, CANDIDATE, GREY, label, new_figure, svg
from pinchtune.scoring.correlation import Correlation, sentence
from pinchtune.scoring.regression import regression_line

_COLOURS = {"Seen": BASELINE, "Unseen": CANDIDATE, "English": "#000000", "All languages": "#2a9d5c"}
_MARKS = {"Seen": "o", "Unseen": "s", "English": "D", "All languages": "^"}
_SCORE = "side by side, percent (50 is even)"


def lines(series: Sequence[Series], *, title: str, x: str, note: str = "", name_thin: bool = True) -> str:
    """Draw means with the bands of their 95% intervals, and thin lines for languages or orders.

    Places on the x axis stand side by side at one distance, so that a pinch of 1% is not hidden behind none.

    Args:
        series: Means and thin lines.
        title: Of the picture.
        x: What the axis counts.
        note: A line under it.
        name_thin: Write the thin lines' names at their ends.
    """
    series = [one for one in series if one.points]
    if not series:
        return sentence_picture("Nothing was judged: there is no line to show.", title)
    sizes = sorted({point.x for one in series for point in one.points})
    place = {size: number for number, size in enumerate(sizes)}
    figure, axes = new_figure(7.8, 4.6)
    axes.axhline(50, color=GREY, lw=1, ls="--")
    ends = []
    for one in sorted(series, key=lambda line: line.kind == "mean"):
        places = [place[point.x] for point in one.points]
        values = [100 * point.value for point in one.points]
        colour = _COLOURS.get(one.of or one.name, GREY)
        if one.kind == "thin":
            axes.plot(places, values, color=colour, lw=0.8, alpha=0.45)
            ends.append((values[-1], places[-1], one.name, colour))
            continue
        low, high = [100 * point.low for point in one.points], [100 * point.high for point in one.points]
        mark = _MARKS.get(one.name, "o")
        axes.plot(places, values, color=colour, lw=2, marker=mark, ms=5, label=one.name)
        if len(places) > 1:
            axes.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
        else:
            axes.plot([places[0]] * 2, [low[0], high[0]], color=colour, lw=2)
    if name_thin:
        _name_ends(axes, ends)
    axes.set_xticks(range(len(sizes)), [_size(one) for one in sizes])
    axes.set_xlabel("\n".join(filter(None, [x, note])))
    axes.set_ylabel(_SCORE)
    handles, names = axes.get_legend_handles_labels()
    kept = [name for name in (one.name for one in series) if name in names]
    figure.legend(
        [handles[names.index(name)] for name in kept],
        [f"{name}, mean with 95% band" for name in kept],
        loc="outside upper center",
        ncols=len(kept),
        frameon=False,
        fontsize=8,
    )
    return svg(figure, title)


def bars(found: Sequence[Bar], *, title: str) -> str:
    """Draw each pair's model over its two monolingual models, averaged over the other languages (Fig. 6)."""
    if not found:
        return sentence_picture("Nothing was judged: there is no pair to show.", title)
    pairs = list(dict.fromkeys(one.pair for one in found))
    figure, axes = new_figure(7.2, 0.95 * len(pairs) + 1)
    names = []
    height = 0.0
    for pair in pairs:
        for one in sorted((bar for bar in found if bar.pair == pair), key=lambda bar: not bar.both):
            colour = BASELINE if one.both else CANDIDATE
            axes.barh(height, 100 * one.value, height=0.8, color=colour, alpha=0.75 if one.both else 0.45)
            axes.plot([100 * one.low, 100 * one.high], [height] * 2, color="#222222", lw=1.4)
            axes.text(1, height, f"{100 * one.value:.1f}", va="center", fontsize=8)
            names.append((height, one.model))
            height += 1
        height += 0.6
    axes.axvline(50, color=GREY, lw=1, ls="--")
    axes.set_yticks([at for at, _ in names], [name for _, name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, max(60.0, 105 * max(one.high for one in found)))
    axes.set_xlabel(f"{_SCORE},\nmean over the languages outside the pair; lines: 95% intervals", fontsize=9)
    handles = [
        axes.barh([0], [0], color=BASELINE, alpha=0.75),
        axes.barh([0], [0], color=CANDIDATE, alpha=0.45),
    ]
    figure.legend(handles, ["half and half", "one language"], loc="outside upper right", ncols=2, frameon=False)
    return svg(figure, title)


def scatter(dots: Sequence[Dot], found: Correlation, *, title: str, x: str, y: str) -> str:
    """Draw languages by a factor and a score, with the line, the 95% band of its mean, and what can be said (Fig. 8).

    Args:
        dots: One a language.
        found: The correlation over the same languages.
        title: Of the picture.
        x: What the factor is called.
        y: What the score is called.
    """
    said = sentence(found, x=x, y=y)
    if not dots:
        return sentence_picture(said, title)
    figure, axes = new_figure(7.2, 4.8)
    line = regression_line([one.x for one in dots], [one.value for one in dots])
    if line is not None:
        axes.fill_between(
            line.grid, [100 * v for v in line.low], [100 * v for v in line.high], color=CANDIDATE, alpha=0.12, lw=0
        )
        axes.plot(line.grid, [100 * v for v in line.fit], color=CANDIDATE, lw=1.2)
    for one in dots:
        axes.plot([one.x] * 2, [100 * one.low, 100 * one.high], color=GREY, lw=1)
        if one.x_low is not None and one.x_high is not None:
            axes.plot([one.x_low, one.x_high], [100 * one.value] * 2, color=GREY, lw=1)
        axes.plot(one.x, 100 * one.value, "o", color=CANDIDATE, ms=5)
        axes.annotate(
            label(one.language), (one.x, 100 * one.value), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y}, percent")
    axes.margins(x=0.08)
    figure.supxlabel(_wrapped(said, 118), fontsize=8, ha="left", x=0.02)
    return svg(figure, title)


def _size(size: float) -> str:
    return f"{size:.2g}" if size < 1 else f"{size:.3g}"


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def _name_ends(axes: Any, ends: Sequence[tuple[float, int, str, str]]) -> None:
    """Write names at the ends of lines, moved apart where they would lie on one another."""
    low, high = axes.get_ylim()
    gap = 0.042 * (high - low)
    heights: list[float] = []
    # From the lowest up; then, where the top is passed, all down by as much.
    for value, *_ in sorted(ends):
        heights.append(max(value, heights[-1] + gap) if heights else value)
    over = max(0.0, heights[-1] - high) if heights else 0.0
    for (value, place, name, colour), height in zip(sorted(ends), heights, strict=True):
        axes.annotate(
            name,
            (place, value),
            xytext=(place + 0.25, height - over),
            fontsize=7.5,
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": colour, "alpha": 0.5, "shrinkA": 0, "shrinkB": 0},
        )
