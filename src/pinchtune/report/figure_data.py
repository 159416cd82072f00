"""The numbers of the experiments' figures, apart from their drawing: what goes into a picture also goes into its CSV.

After the figures of Shaham et al. 2024 (arXiv 2401.01854). Fractions in [0, 1]; pictures show percent. A model in the
language that it is itself the baseline of has one half by construction: `own`, without an interval.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pinchtune.experiments import Arm, Figure
from pinchtune.records import Record
from pinchtune.report.evidence import (
    Estimate,
    Evidence,
    arm_label,
    monolingual_arms,
    seedless,
    seen_languages,
    unseen_languages,
)
from pinchtune.report.pictures import label
from pinchtune.scoring.correlation import match

#: The mean of a row of a heat map.
MEAN = "all"


class Cell(Record, frozen=True, kw_only=True):
    """A model in a language, or its mean over languages."""

    model: str
    #: A tag, or `MEAN`.
    language: str
    value: float
    low: float | None = None
    high: float | None = None
    #: Prompts; languages of one prompt are one.
    n: int
    own: bool = False


class Point(Record, frozen=True, kw_only=True):
    """A place on a line."""

    x: float
    value: float
    low: float
    high: float
    n: int


class Series(Record, frozen=True, kw_only=True):
    """A line: a mean with its band, or, thin, one language or one order."""

    name: str
    points: tuple[Point, ...]
    kind: Literal["mean", "thin"] = "mean"
    #: Of a thin line: the mean that it belongs to, whose colour it takes.
    of: str | None = None


class Bar(Record, frozen=True, kw_only=True):
    """One model of a pair: that of both languages, or of one."""

    pair: str
    model: str
    #: The model of both languages.
    both: bool
    value: float
    low: float
    high: float
    n: int


class Dot(Record, frozen=True, kw_only=True):
    """A language in a scatter: its factor, and the score of the model tuned on it."""

    language: str
    x: float
    value: float
    low: float
    high: float
    n: int
    #: The factor's own interval, where it was measured.
    x_low: float | None = None
    x_high: float | None = None


def csv_rows(records: Sequence[Record]) -> list[list[str]]:
    """Return a head and a row for each record of one type, every number in full; None is empty."""
    if not records:
        return []
    names = list(records[0].__struct_fields__)
    return [names, *(["" if one is None else _written(one) for one in _values(record)] for record in records)]


def series_rows(series: Sequence[Series]) -> list[list[str]]:
    """Return a head and a row for each point of each line."""
    head = ["name", "kind", "of", *Point.__struct_fields__]
    rows = [
        [one.name, one.kind, one.of or "", *map(_written, _values(point))] for one in series for point in one.points
    ]
    return [head, *rows] if rows else []


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as the text of a CSV file (RFC 4180, with LF at the ends of lines)."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def heat_cells(figure: Figure, evidence: Evidence) -> list[Cell]:
    """Return every model in every language, row after row, each row ending in its mean over the languages judged."""
    cells = []
    for arms in seedless(figure.arms):
        name = arm_label(arms[0])
        found = [_cell(arms, tag, name, evidence) for tag in figure.languages]
        cells += [one for one in found if one is not None]
        mean = evidence.mean(arms, list(arms[0].cells))
        if mean is not None:
            cells.append(Cell(**_numbers(mean), model=name, language=MEAN))
    return cells if any(not one.own for one in cells) else []


def pinch_series(figure: Figure, evidence: Evidence, *, english_only: Sequence[Arm] = ()) -> list[Series]:
    """Return the lines over pinch sizes in percent: English, the means of seen and unseen, and every other language.

    Args:
        figure: Of a pinch design.
        evidence: All points.
        english_only: The model without a pinch, from whichever experiment has it; stands at 0.
    """
    groups = [list(english_only), *seedless(one for one in figure.arms if one.percent is not None)]
    columns = {arms[0].percent or 0.0: arms for arms in groups if arms}
    seen, unseen = seen_languages(figure), unseen_languages(figure)
    lines: list[tuple[str, Sequence[str], str | None]] = [
        (label(name), tags, None) for name, tags in (("en", ("en",)), ("seen", seen), ("unseen", unseen)) if tags
    ]
    lines += [(label(tag), [tag], label("seen" if tag in seen else "unseen")) for tag in (*seen, *unseen)]
    made = []
    for name, tags, of in lines:
        found = {size: evidence.mean(arms, tags) for size, arms in sorted(columns.items())}
        points = tuple(Point(**_numbers(one), x=size) for size, one in found.items() if one is not None)
        made.append(Series(name=name, points=points, kind="thin" if of else "mean", of=of))
    return [one for one in made if one.points]


def count_series(figure: Figure, evidence: Evidence) -> list[Series]:
    """Return the lines over the number of tuning languages: means over the orders, and every order, thin.

    Seen are the languages of the model's own set, English with them; unseen those in no set of the experiment, so that
    the same languages are averaged at every number. The model of one language is its own baseline there: the mean of
    seen begins at two.
    """
    groups = seedless(figure.arms)
    orders = sorted({arms[0].order for arms in groups if arms[0].order is not None})
    kinds = ("all", "seen", "unseen")
    made = [_counted(label(kind), kind, groups, figure, evidence, None) for kind in kinds]
    for kind in kinds:
        for order in orders:
            own = [arms for arms in groups if arms[0].order == order]
            made.append(_counted(f"{label(kind)}, order {order}", kind, own, figure, evidence, label(kind)))
    return [one for one in made if one.points]


def count_mean(
    count: int, kind: str, groups: Sequence[Sequence[Arm]], figure: Figure, evidence: Evidence
) -> Estimate | None:
    """Return a mean over orders and seeds of the models of so many languages; `kind` is all, seen or unseen."""
    everywhere = {tag for arm in figure.arms for tag in arm.languages}
    parts = []
    for arm in (arm for arms in groups for arm in arms if len(arm.languages) == count):
        judged = list(arm.cells)
        chosen = {
            "all": judged,
            "seen": [tag for tag in judged if tag in arm.languages],
            "unseen": [tag for tag in judged if tag not in everywhere],
        }[kind]
        parts.append((arm, chosen))
    return evidence.mean_of(parts)


def bilingual_bars(figure: Figure, evidence: Evidence) -> list[Bar]:
    """Return each pair's model and its two monolingual models, over the languages outside the pair."""
    bars = []
    for arms in seedless(figure.arms):
        pair = arms[0].pair
        mean = evidence.mean(arms, list(arms[0].cells)) if pair else None
        if pair and mean is not None:
            name = " and ".join(label(tag) for tag in pair)
            both = len(arms[0].languages) == 2
            bars.append(Bar(**_numbers(mean), pair=name, model=arm_label(arms[0]), both=both))
    return bars


def share_dots(figure: Figure, evidence: Evidence, shares: Mapping[str, float]) -> list[Dot]:
    """Return, for each language but English with a share, the mean score elsewhere of the model tuned on it."""
    models = monolingual_arms(figure)
    means = {tag: evidence.mean(arms, list(arms[0].cells)) for tag, arms in models.items()}
    there = {tag: mean for tag, mean in means.items() if mean is not None}
    matched = match(shares, {tag: mean.value for tag, mean in there.items()})
    return [
        Dot(**_numbers(there[tag]), language=tag, x=share)
        for tag, share in zip(matched.languages, matched.x, strict=True)
    ]


def _counted(
    name: str, kind: str, groups: Sequence[Sequence[Arm]], figure: Figure, evidence: Evidence, of: str | None
) -> Series:
    counts = sorted({len(arms[0].languages) for arms in groups if arms[0].languages})
    found = {count: count_mean(count, kind, groups, figure, evidence) for count in counts}
    points = tuple(Point(**_numbers(one), x=float(count)) for count, one in found.items() if one is not None)
    return Series(name=name, points=points, kind="thin" if of else "mean", of=of)


def _cell(arms: Sequence[Arm], tag: str, name: str, evidence: Evidence) -> Cell | None:
    if tag in arms[0].evaluated and tag not in arms[0].cells:
        return Cell(model=name, language=tag, value=0.5, n=0, own=True)
    found = evidence.mean(arms, [tag])
    return None if found is None else Cell(**_numbers(found), model=name, language=tag)


def _numbers(found: Estimate) -> dict[str, Any]:
    interval = found.interval()
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": found.n}


def _values(record: Record) -> list[object]:
    return [getattr(record, name) for name in record.__struct_fields__]


def _written(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)
