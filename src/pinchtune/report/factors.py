"""The report's section on factors: what each language costs, scatters with bands, and correlations that say how sure.

After experiments 6 and 7 of Shaham et al. 2024 (arXiv 2401.01854, Fig. 7 and 8). Which scores factors are set against:
where models of one language were tuned, the mean score of each in the other languages (Fig. 8), and its score in each
(Fig. 7); for experiments of pinches, the smallest pinch in each language; in a study by hand, its comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.design_words import MONOLINGUAL
from pinchtune.experiments import Arm, Figure
from pinchtune.records import Outcome, Score
from pinchtune.report import sweeps
from pinchtune.report.evidence import Evidence, monolingual_arms, seedless
from pinchtune.report.figure_data import Dot, csv_rows, csv_text
from pinchtune.report.figures import MEAN_SCORE, main_monolingual
from pinchtune.report.pictures import label
from pinchtune.scoring.correlation import Method, correlate, match
from pinchtune.scoring.factors import (
    ENGLISH,
    Column,
    Factor,
    Found,
    LanguageScore,
    PairColumn,
    called,
    columns_of,
    correlations,
    is_pictured,
    names_of,
    of_languages,
    what_is_left,
    what_so_many_can_tell,
)
from pinchtune.scoring.regression import regression_line
from pinchtune.scoring.similarity import PairFactor

#: Scores that have pictures; the others stand in the table alone.
_PICTURED_COLUMNS = 3
_REASONS = {
    "not_in_pack": "no parallel text",
    "no_spaces": "no spaces",
    "no_english": "no English",
    "not_in_table": "not in the table",
    "not_in_uriel": "not in URIEL+",
    "few_shared_features": "too few features known",
}
Table = tuple[list[str], list[list[str]]]


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A scatter, and the numbers in it."""

    #: Names its files.
    key: str
    title: str
    svg: str
    dots: list[Dot]
    #: A head, and a row for each place of the line and its band; empty where there is no line.
    band: list[list[str]]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows of factors."""

    factors: list[Factor]
    found: list[Found]
    drawn: list[Drawn]
    #: How much so many languages can tell, and what is left of all correlations.
    sentences: list[str]

    @property
    def table(self) -> Table:
        """A head, and a row for each language."""
        return factor_table(self.factors)

    @property
    def correlations(self) -> Table:
        """A head, and a row for each correlation."""
        return correlation_table(self.found)


def section_of(
    factors: Sequence[Factor],
    pairs: Sequence[PairFactor],
    figures: Sequence[Figure],
    outcomes: Sequence[Outcome],
    scores: Sequence[Score],
    *,
    candidates: Sequence[str],
    seed: int,
) -> Section | None:
    """Return the section of a study; None where it has no factor.

    Args:
        factors: Of languages.
        pairs: Of ordered pairs of languages.
        figures: The study's experiments.
        outcomes: Of all comparisons; of several judges the first one's count.
        scores: All scores.
        candidates: The models that are compared, in a study by hand.
        seed: Of the draws and the orders.
    """
    if not factors and not pairs:
        return None
    columns: list[Column] = []
    pair_columns: list[PairColumn] = []
    if figures and outcomes:
        evidence = Evidence(outcomes, judge=outcomes[0].judge, seed=seed)
        columns, pair_columns = _of_experiments(figures, evidence, scores)
    elif not figures:
        own = [one for one in scores if one.model in candidates]
        columns = columns_of(own)
    found = correlations(factors, columns, pairs=pairs, pair_columns=pair_columns, seed=seed)
    sentences = []
    if columns and factors:
        n = max((one.correlation.n for one in found if one.correlation.n == one.correlation.n_languages), default=0)
        sentences.append(what_so_many_can_tell(n))
    elif factors:
        sentences.append("No score per language is there to set them against.")
    return Section(
        factors=list(factors),
        found=found,
        drawn=draw(factors, columns[:_PICTURED_COLUMNS], seed=seed),
        sentences=[one for one in (*sentences, what_is_left(found)) if one],
    )


def draw(
    factors: Sequence[Factor], columns: Sequence[Column], *, method: Method = "pearson", seed: int = 0
) -> list[Drawn]:
    """Return a scatter for each pictured factor and each score, with the line and the 95% band of its mean."""
    made = []
    for column in columns:
        for name in filter(is_pictured, names_of(factors)):
            dots = _dots(factors, name, column)
            xs, ys = [one.x for one in dots], [one.value for one in dots]
            title = f"{called(name)} and {column.name}"
            found = correlate(xs, ys, method=method, seed=seed)
            text = sweeps.scatter(dots, found, title=title, x=called(name), y=column.name)
            line = regression_line(xs, ys)
            rows = [] if line is None else list(zip(line.grid, line.fit, line.low, line.high, strict=True))
            band = [["x", "fit", "low", "high"], *([repr(one) for one in row] for row in rows)] if rows else []
            made.append(Drawn(key=f"factors-{name}-{column.key}", title=title, svg=text, dots=dots, band=band))
    return made


def write_drawn(drawn: Sequence[Drawn], folder: Path) -> None:
    """Write each scatter as SVG, with its dots and its band as CSV."""
    for one in drawn:
        store.write_text(folder / f"{one.key}.svg", one.svg)
        store.write_text(folder / f"{one.key}.csv", csv_text(csv_rows(one.dots)))
        if one.band:
            store.write_text(folder / f"{one.key}-band.csv", csv_text(one.band))


def write_section(section: Section, folder: Path) -> None:
    """Write the section's pictures and their data, factors.csv and correlations.csv."""
    write_drawn(section.drawn, folder)
    store.write_text(folder / "factors.csv", csv_text(csv_rows(section.factors)))
    store.write_text(folder / "correlations.csv", csv_text(_correlation_rows(section.found)))


def factor_table(factors: Sequence[Factor]) -> Table:
    """Return a head and a row for each language: each factor with its interval, or why it is not known."""
    names = names_of(factors)
    cells = {(one.name, one.language): one for one in factors}
    tags = list(dict.fromkeys(one.language for one in factors))
    header = ["language", *(called(name) for name in names)]
    if any(one.n_texts is not None for one in factors):
        header.append("texts")
    rows = []
    for tag in tags:
        row = [label(tag), *(_written(cells.get((name, tag))) for name in names)]
        if header[-1] == "texts":
            row.append(str(max((one.n_texts or 0 for one in factors if one.language == tag), default=0) or ""))
        rows.append(row)
    return header, rows


def correlation_table(found: Sequence[Found]) -> Table:
    """Return a head and a row for each correlation that there is, with both intervals."""
    header = ["factor", "score", "n", "correlation", "95%, Fisher", "95%, bootstrap", "p", "p, Holm"]
    rows = []
    for one in found:
        this = one.correlation
        pairs = this.n != this.n_languages
        rows.append(
            [
                called(one.factor),
                one.score,
                f"{this.n} pairs of {this.n_languages}" if pairs else str(this.n),
                "" if this.value is None else f"{this.value:.2f}",
                *("" if b is None else f"{b.low:.2f} to {b.high:.2f}" for b in (this.fisher, this.bootstrap)),
                *("" if p is None else f"{p:.3f}" for p in (this.p_value, one.p_corrected)),
            ]
        )
    return header, rows


def sentences_of(found: Sequence[Found]) -> list[str]:
    """Return what each correlation says."""
    return list(dict.fromkeys(one.sentence for one in found))


def shares_of(factors: Sequence[Factor]) -> dict[str, float] | None:
    """Return language -> share of pretraining; None where none is given."""
    known = {tag: value for tag, value in of_languages(factors, "pretraining_share").items() if value is not None}
    return known or None


# -------------------------------------------------------------------------------------- a study's scores


def _of_experiments(
    figures: Sequence[Figure], evidence: Evidence, scores: Sequence[Score]
) -> tuple[list[Column], list[PairColumn]]:
    columns: list[Column] = []
    pair_columns: list[PairColumn] = []
    main = main_monolingual(figures)
    for figure in figures:
        if (figure.design, figure.baseline) == ("monolingual", MONOLINGUAL):
            columns += _elsewhere(figure, evidence) if figure is main else []
            pair_columns += _each_to_each(figure, evidence)
        if figure.design == "pinch":
            small = [arms for arms in seedless(figure.arms) if (arms[0].percent or 0) > 0]
            least = min(small, key=lambda arms: arms[0].percent or 0, default=None)
            columns += _pinch(figure, least, evidence, scores) if least else []
    return columns, pair_columns


def _elsewhere(figure: Figure, evidence: Evidence) -> list[Column]:
    """Return the mean score, in the other languages, of the model tuned on each language alone (Fig. 8)."""
    found = {}
    for tag, arms in monolingual_arms(figure).items():
        mean = evidence.mean(arms, list(arms[0].cells))
        if mean is not None:
            found[tag] = _score(mean)
    return [Column(key=f"{figure.experiment}-elsewhere", name=MEAN_SCORE, scores=found)] if found else []


def _each_to_each(figure: Figure, evidence: Evidence) -> list[PairColumn]:
    """Return the score in each language of the model tuned on each other one (Fig. 7)."""
    found = {}
    for source, arms in monolingual_arms(figure).items():
        for target in arms[0].cells:
            mean = evidence.mean(arms, [target])
            if mean is not None and source != target and ENGLISH not in (source, target):
                found[source, target] = mean.value
    name = f"the score in one of the model tuned on the other ({figure.experiment})"
    return [PairColumn(name=name, scores=found)] if found else []


def _pinch(figure: Figure, arms: Sequence[Arm], evidence: Evidence, scores: Sequence[Score]) -> list[Column]:
    found = {tag: _score(one) for tag in arms[0].cells if (one := evidence.mean(arms, [tag])) is not None}
    name = f"side by side of a pinch of {arms[0].n_pinch} ({figure.experiment})"
    columns = [Column(key=f"{figure.experiment}-{arms[0].n_pinch}", name=name, scores=found)] if found else []
    faithful = columns_of(scores, ("language_fidelity",), model=arms[0].model)
    if len(arms) > 1:  # the mean over seeds is of the side by side; of fidelity each seed has its own score
        faithful = [msgspec.structs.replace(one, name=f"{one.name}, first seed") for one in faithful]
    return columns + faithful


def _score(estimate: Any) -> LanguageScore:
    interval = estimate.interval()
    return LanguageScore(value=interval.value, low=interval.low, high=interval.high, n=estimate.n)


def _dots(factors: Sequence[Factor], name: str, column: Column) -> list[Dot]:
    own = {one.language: one for one in factors if one.name == name}
    points = match(of_languages(factors, name), {tag: one.value for tag, one in column.scores.items()})
    dots = []
    for tag, x in zip(points.languages, points.x, strict=True):
        y = column.scores[tag]
        dots.append(
            Dot(
                language=tag,
                x=x,
                x_low=own[tag].low,
                x_high=own[tag].high,
                value=y.value,
                low=y.low,
                high=y.high,
                n=y.n,
            )
        )
    return dots


def _written(one: Factor | None) -> str:
    if one is None:
        return ""
    if one.value is None:
        return _REASONS.get(one.reason or "", one.reason or "not known")
    if one.name == "pretraining_share":
        return f"{100 * one.value:.3g}%"
    value = f"{one.value:.2f}"
    # English beside itself is 1 by definition, which is no measurement.
    if one.low is None or one.high is None or (one.language == ENGLISH and one.low == one.high):
        return value
    return f"{value} ({one.low:.2f} to {one.high:.2f})"


def _correlation_rows(found: Sequence[Found]) -> list[list[str]]:
    head = ["factor", "score", "method", "n", "n_languages", "value", "fisher_low", "fisher_high"]
    head += ["bootstrap_low", "bootstrap_high", "p_value", "p_corrected", "sentence"]
    rows = []
    for one in found:
        this = one.correlation
        ends = [end for b in (this.fisher, this.bootstrap) for end in ((b.low, b.high) if b else (None, None))]
        numbers = [this.value, *ends, this.p_value, one.p_corrected]
        written = ["" if value is None else repr(value) for value in numbers]
        rows.append([one.factor, one.score, this.method, str(this.n), str(this.n_languages), *written, one.sentence])
    return [head, *rows]
