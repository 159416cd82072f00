"""Factors of languages set against scores: every correlation of a study, and what so few languages can tell.

After the paper's Fig. 8 (Shaham et al. 2024, arXiv 2401.01854), where the share of a language in pretraining is set
against how well the model tuned on it does elsewhere, English left out. Factors that are looked at together are tests
that are made together: beside its own p-value each has the one corrected for all of them (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

from pinchtune import store
from pinchtune.records import Record, Score
from pinchtune.scoring.correlation import (
    MIN_POINTS,
    Correlation,
    Method,
    Pair,
    correlate,
    correlate_pairs,
    match,
    points_needed,
    sentence,
)
from pinchtune.scoring.multiplicity import ALPHA, holm
from pinchtune.scoring.similarity import PairFactor

ENGLISH = "en"
#: Factor -> what it is called in tables, pictures and sentences; the order of the tables.
NAMES = {
    "pretraining_share": "pretraining share",
    "tokens_relative_to_english": "tokens beside English",
    "tokens_per_word": "tokens per word",
    "bits_relative_to_english": "bits beside English",
    "bits_per_character": "bits per character",
    "same_subfamily": "same subfamily",
    "same_script": "same script",
    "same_family": "same family",
    "intelligible": "mutual intelligibility",
}
#: Those drawn as pictures; the others of a measurement say nearly the same, or depend on the script.
PICTURED = ("pretraining_share", "tokens_relative_to_english", "bits_relative_to_english")
_FROM_ENGLISH = "_from_english"
#: What stays as it is in the name of a file, and how many signs of it.
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST = 120
_METRICS = {
    "side_by_side": "side by side",
    "length_controlled": "side by side at equal length",
    "side_by_side_in_language": "side by side, wrong language losing",
    "language_fidelity": "language fidelity",
    "language_fidelity_gain": "language fidelity gained",
}


class Factor(Record, frozen=True, kw_only=True):
    """A number of one language that could make it easy or hard, with its 95% interval where it was measured."""

    #: Of `NAMES`, or "uriel_genetic_from_english" and the like.
    name: str
    language: str
    #: None where it is not known; `reason` says why.
    value: float | None
    low: float | None = None
    high: float | None = None
    #: Parallel texts that it was measured on; None where it was not measured.
    n_texts: int | None = None
    #: "not_in_pack", "no_spaces", "not_in_table", "not_in_uriel", "few_shared_features".
    reason: str | None = None


class LanguageScore(Record, frozen=True, kw_only=True):
    """A score in one language: a fraction, its interval, and the prompts it is over."""

    value: float
    low: float
    high: float
    n: int


class Column(Record, frozen=True, kw_only=True):
    """One score in many languages."""

    #: Names files: letters a to z, digits, hyphens and underscores; no two columns have one.
    key: str
    #: What it is called in a sentence.
    name: str
    scores: dict[str, LanguageScore]


class PairColumn(Record, frozen=True, kw_only=True):
    """One score of many ordered pairs: of a model tuned on the first language, in the second."""

    name: str
    scores: dict[Pair, float]


class Found(Record, frozen=True, kw_only=True):
    """A factor and a score: the correlation over languages, or pairs of them, and what it says."""

    factor: str
    #: The name of a `Column` or `PairColumn`.
    score: str
    correlation: Correlation
    #: The p-value corrected for all correlations looked at together; None where there is none.
    p_corrected: float | None
    sentence: str


def called(factor: str) -> str:
    """Return what a factor is called: "genetic distance from English" for "uriel_genetic_from_english"."""
    if factor in NAMES:
        return NAMES[factor]
    kind = factor.removeprefix("uriel_")
    if kind == factor:
        return factor.replace("_", " ")
    base = kind.removesuffix(_FROM_ENGLISH)
    return f"{base} distance" if base == kind else f"{base} distance from English"


def is_pictured(factor: str) -> bool:
    """Say whether a factor has a picture of its own."""
    return factor in PICTURED or factor.startswith("uriel_")


def from_english(pairs: Iterable[PairFactor]) -> list[Factor]:
    """Return distances from English as factors of single languages: most tuning sets are English for the most part."""
    return [
        Factor(name=f"{one.name}{_FROM_ENGLISH}", language=one.target, value=one.value, reason=one.reason)
        for one in pairs
        if one.source == ENGLISH
    ]


def names_of(factors: Iterable[Factor]) -> list[str]:
    """Return the factors' names, each once, in the order of `NAMES`, the others after them."""
    there = list(dict.fromkeys(one.name for one in factors))
    return [name for name in NAMES if name in there] + [name for name in there if name not in NAMES]


def columns_of(
    scores: Iterable[Score], metrics: Sequence[str] = ("side_by_side", "language_fidelity"), *, model: str | None = None
) -> list[Column]:
    """Return a column for each metric, model, baseline and judge among scores; named means are left out.

    Args:
        scores: Of a study, or of `pinch score`.
        metrics: Which, in this order.
        model: Only this model's.
    """
    means = ("all", "non_english", "seen", "unseen")
    wanted = [one for one in scores if one.language not in means and model in (None, one.model)]
    judges = {one.judge for one in wanted if one.judge}
    found: dict[tuple[str, str, str, str], dict[str, LanguageScore]] = {}
    for metric in metrics:
        for one in (one for one in wanted if one.metric == metric):
            key = (metric, one.model, one.baseline or "", one.judge or "")
            found.setdefault(key, {})[one.language] = LanguageScore(
                value=one.value, low=one.low, high=one.high, n=one.n_judged
            )
    return [_column(key, cells, many_judges=len(judges) > 1) for key, cells in found.items()]


def correlations(
    factors: Sequence[Factor],
    columns: Sequence[Column],
    *,
    pairs: Sequence[PairFactor] = (),
    pair_columns: Sequence[PairColumn] = (),
    method: Method = "pearson",
    seed: int = 0,
) -> list[Found]:
    """Return the correlation of every factor with every score, English left out, and p-values corrected for all.

    Args:
        factors: Of languages.
        columns: Scores of languages.
        pairs: Factors of ordered pairs of languages.
        pair_columns: Scores of such pairs.
        method: "pearson" or "spearman".
        seed: Of the draws and the orders.
    """
    made: list[tuple[str, str, Correlation]] = []
    for column in columns:
        values = {tag: one.value for tag, one in column.scores.items()}
        for name in names_of(factors):
            points = match(of_languages(factors, name), values)
            made.append((name, column.name, correlate(points.x, points.y, method=method, seed=seed)))
    for pair_column in pair_columns:
        for name in dict.fromkeys(one.name for one in pairs):
            x = {(one.source, one.target): one.value for one in pairs if one.name == name}
            if any(x.get(pair) is not None for pair in pair_column.scores):
                found = correlate_pairs(x, pair_column.scores, method=method, seed=seed)
                made.append((name, pair_column.name, found))
    tested = {str(n): one.p_value for n, (*_, one) in enumerate(made) if one.p_value is not None}
    corrected = holm({n: p for n, p in tested.items() if p is not None}) if tested else {}
    return [
        Found(
            factor=factor,
            score=score,
            correlation=one,
            p_corrected=corrected[str(n)].adjusted if str(n) in corrected else None,
            sentence=sentence(one, x=called(factor), y=score),
        )
        for n, (factor, score, one) in enumerate(made)
    ]


def of_languages(factors: Iterable[Factor], name: str) -> dict[str, float | None]:
    """Return language -> value of one factor."""
    return {one.language: one.value for one in factors if one.name == name}


def detectable_correlation(n: int, *, power: float = 0.8) -> float | None:
    """Return the least true correlation that n languages show with this power, two-sided 5%; None below 4 languages.

    tanh((z_0.975 + z_power) / sqrt(n - 3)), `points_needed` the other way round: 0.76 for 11 languages.
    """
    if n < MIN_POINTS:
        return None
    normal = NormalDist()
    return math.tanh((normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(power)) / math.sqrt(n - 3))


def what_so_many_can_tell(n: int) -> str:
    """Return a sentence on how much a correlation over n languages can show at all."""
    least = detectable_correlation(n)
    if least is None:
        many = "1 language" if n == 1 else f"{n or 'no'} languages"
        return f"With {many} beside English nothing can be said of any factor: an interval needs {MIN_POINTS} or more."
    return (
        f"{n} languages show a correlation with 80% power only where it is {least:.2f} or stronger; one of 0.3 needs "
        f"{points_needed(0.3)} languages."
    )


def what_is_left(found: Sequence[Found]) -> str:
    """Return a sentence on how many correlations stand once they are corrected for their number; "" for none."""
    tested = [one for one in found if one.p_corrected is not None]
    if not tested:
        return ""
    left = [one for one in tested if (one.p_corrected or 0) < ALPHA]
    told = f"{len(tested)} correlations were looked at together" if len(tested) > 1 else "One correlation was looked at"
    if not left:
        return f"{told}; corrected for their number (Holm), none is shown."
    named = "; ".join(f"{called(one.factor)} with {one.score}" for one in left)
    return f"{told}; corrected for their number (Holm), {len(left)} stand{'s' * (len(left) == 1)}: {named}."


def _column(of: tuple[str, str, str, str], cells: Mapping[str, LanguageScore], *, many_judges: bool) -> Column:
    metric, model, baseline, judge = of
    against = f" against {baseline}" if baseline else ""
    by = f" ({judge})" if judge and many_judges else ""
    key = "-".join(filter(None, [metric, model, baseline and f"vs-{baseline}", judge if many_judges else ""]))
    # Two models must not meet in one file: "m.a" and "m-a", or "M" and "m" where a file system takes them for one.
    safe = "".join(sign if sign in _SAFE else "-" for sign in key)
    ambiguous = key.count("-vs-") > 1 or bool(judge and many_judges)  # where one name ends and the next begins
    if safe != key or ambiguous or len(safe) > _LONGEST:
        safe = f"{safe[:_LONGEST].strip('-')}-{store.content_key(list(of))[:10]}"
    return Column(key=safe, name=f"{_METRICS.get(metric, metric)} of {model}{against}{by}", scores=dict(cells))
