"""How two numbers per language, or per pair of languages, go together: correlation, intervals, p-value, words.

For the paper's experiments 6 and 7 (Shaham et al. 2024, arXiv 2401.01854, Fig. 7 and 8). Languages are few, so what
cannot be told is said as plainly as what can. The sources:

- Fisher's interval: tanh(atanh(r) -+ 1.96 / sqrt(n - 3)) (Fisher 1921, Metron 1); for Spearman's the error is
  sqrt((1 + r^2 / 2) / (n - 3)) (Bonett and Wright 2000, doi 10.1007/BF02294183). It needs n > 3 and |r| < 1.
- Bootstrap interval over languages: BCa (Efron 1987, doi 10.1080/01621459.1987.10478410), because at 7 to 16 languages
  it covers more nearly 95% than the percentile interval does.
- Pairs share languages and are not independent. For them languages are drawn, a pair weighing the product of how often
  its two were drawn (Snijders and Borgatti 1999, "Non-parametric standard errors and tests for network statistics",
  Connections 22(2)), with the percentile interval, which is on the wide side; and languages are permuted (Mantel
  1967, Cancer Research 27(2)).
- The permutation test is two-sided; with 7 languages or fewer every order is tried, else the share counts the observed
  order as one (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585).

Legend: N points, L languages, B draws or orders.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from pinchtune.errors import PinchError
from pinchtune.records import Record
from pinchtune.scoring.bootstrap import CONFIDENCE, DRAWS, Floats

Method = Literal["pearson", "spearman"]
Pair = tuple[str, str]

PERMUTATIONS = 9_999
#: Fewer points have no interval: Fisher's error is 1 / sqrt(n - 3).
MIN_POINTS = 4
#: So many or fewer languages are permuted in every order, 5,040 at most.
_ALL_ORDERS = 7
#: Cells of a block of draws that are held at once.
_BLOCK = 2_000_000
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf((1 + CONFIDENCE) / 2)


class Bounds(Record, frozen=True, kw_only=True):
    """A 95% interval of a correlation."""

    low: float
    high: float


class Correlation(Record, frozen=True, kw_only=True):
    """A correlation, in [-1, 1], with all that says how sure it is."""

    method: Method
    #: Points: languages, or ordered pairs of languages.
    n: int
    #: Languages drawn and permuted; as many as points where points are no pairs.
    n_languages: int
    #: None where there is none; `reason` says why.
    value: float | None
    #: Fisher's interval; None for pairs, below `MIN_POINTS` points and at 1 or -1.
    fisher: Bounds | None
    #: Bootstrap interval: BCa for languages, percentile for pairs; None where draws do not differ.
    bootstrap: Bounds | None
    #: Two-sided, by permutation.
    p_value: float | None
    #: "too_few", "constant": why there is no correlation.
    reason: str | None = None

    @property
    def interval(self) -> Bounds | None:
        """The interval to show: Fisher's, or that of the bootstrap for pairs."""
        return self.fisher or self.bootstrap


class Points(Record, frozen=True, kw_only=True):
    """What two tables share, in the order of the first."""

    languages: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]


def match(
    x: Mapping[str, float | None], y: Mapping[str, float | None], *, without: Collection[str] = ("en",)
) -> Points:
    """Return the languages that both tables have a number for.

    Args:
        x: Language -> factor.
        y: Language -> score.
        without: Languages left out; the paper leaves English out (Fig. 8).
    """
    kept = [(tag, one, y.get(tag)) for tag, one in x.items() if tag not in without and one is not None]
    found = [(tag, one, other) for tag, one, other in kept if other is not None]
    return Points(
        languages=tuple(tag for tag, _, _ in found),
        x=tuple(float(one) for _, one, _ in found),
        y=tuple(float(other) for _, _, other in found),
    )


def correlate(
    x: Sequence[float],
    y: Sequence[float],
    *,
    method: Method = "pearson",
    seed: int = 0,
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
) -> Correlation:
    """Return the correlation over languages.

    Args:
        x: A factor, one number a language.
        y: A score, in the same order.
        method: "pearson" on the numbers, "spearman" on their ranks (equal numbers share the mean rank).
        seed: Of the draws and the orders.
        draws: Of the bootstrap.
        permutations: Orders tried where there are too many to try all.

    Raises:
        PinchError: x and y differ in length, or hold something that is no finite number.
    """
    if len(x) != len(y):
        raise PinchError(f"There are {len(x)} factors and {len(y)} scores.", hint="Give one of each per language.")
    x_N, y_N = finite(x), finite(y)
    if reason := _no_correlation(x_N, y_N):
        return _without(method, len(x_N), len(x_N), reason)
    n = len(x_N)
    generator = np.random.default_rng(seed)
    value = float(_correlations(np.ones((1, n)), x_N, y_N, method)[0])
    counts_BN = generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    draws_B = np.concatenate([_correlations(c_BN, x_N, y_N, method) for c_BN in _blocks(counts_BN, n)])
    jackknife_N = _correlations(1 - np.eye(n), x_N, y_N, method)
    one_N, other_N = (_ranks(v_N) if method == "spearman" else v_N for v_N in (x_N, y_N))
    orders_BN = _orders(n, permutations, generator)
    permuted_B = np.concatenate(
        [_weighted(np.ones((1, n)), one_N, other_N[o_BN]) for o_BN in _blocks(orders_BN, n)],
    )
    return Correlation(
        method=method,
        n=n,
        n_languages=n,
        value=value,
        fisher=fisher_interval(value, n, method=method),
        bootstrap=_bca(value, draws_B, jackknife_N) if n >= MIN_POINTS else None,
        p_value=_p_value(value, permuted_B),
    )


def correlate_pairs(
    x: Mapping[Pair, float | None],
    y: Mapping[Pair, float | None],
    *,
    method: Method = "pearson",
    seed: int = 0,
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
) -> Correlation:
    """Return the correlation over ordered pairs of languages, with what is sure of so many languages.

    Seven languages have 42 ordered pairs, and they are no 42 independent facts: a language that scores low does so in
    all its pairs. Fisher's interval would be far too narrow and is not given.

    Args:
        x: (source, target) -> factor.
        y: (source, target) -> score. Pairs of a language with itself are left out, as in the paper.
        method: As for `correlate`; ranks are taken once, over all pairs.
        seed: Of the draws and the orders.
        draws: Of the bootstrap over languages.
        permutations: Orders of the languages tried where there are too many to try all.

    Raises:
        PinchError: a number that is not finite.
    """
    shared = [pair for pair, one in x.items() if one is not None and y.get(pair) is not None and pair[0] != pair[1]]
    tags = sorted({tag for pair in shared for tag in pair})
    place = {tag: number for number, tag in enumerate(tags)}
    row_N = np.array([place[source] for source, _ in shared], dtype=int)
    column_N = np.array([place[target] for _, target in shared], dtype=int)
    x_N, y_N = finite([x[pair] for pair in shared]), finite([y[pair] for pair in shared])
    n = len(tags)
    if reason := _no_correlation(x_N, y_N):
        return _without(method, len(x_N), n, reason)
    if method == "spearman":
        x_N, y_N = _ranks(x_N), _ranks(y_N)
    generator = np.random.default_rng(seed)
    value = float(_weighted(np.ones((1, len(x_N))), x_N, y_N)[0])
    counts_BL = generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    draws_B = np.concatenate(
        [_weighted(c_BL[:, row_N] * c_BL[:, column_N], x_N, y_N) for c_BL in _blocks(counts_BL, len(x_N))]
    )
    y_LL, known_LL = np.zeros((n, n)), np.zeros((n, n))
    y_LL[row_N, column_N], known_LL[row_N, column_N] = y_N, 1
    orders_BL = _orders(n, permutations, generator)
    permuted_B = np.concatenate(
        [
            _weighted(known_LL[o_BL[:, row_N], o_BL[:, column_N]], x_N, y_LL[o_BL[:, row_N], o_BL[:, column_N]])
            for o_BL in _blocks(orders_BL, len(x_N))
        ]
    )
    return Correlation(
        method=method,
        n=len(x_N),
        n_languages=n,
        value=value,
        fisher=None,
        bootstrap=_percentile(draws_B, value) if n >= MIN_POINTS else None,
        p_value=_p_value(value, permuted_B),
    )


def fisher_interval(value: float, n: int, *, method: Method = "pearson") -> Bounds | None:
    """Return Fisher's 95% interval of a correlation over n points; None below 4 points and at 1 or -1."""
    if n < MIN_POINTS or abs(value) >= 1 - 1e-12:
        return None
    half = _Z * math.sqrt((1 if method == "pearson" else 1 + value**2 / 2) / (n - 3))
    centre = math.atanh(value)
    return Bounds(low=math.tanh(centre - half), high=math.tanh(centre + half))


def points_needed(value: float, *, power: float = 0.8) -> int | None:
    """Return how many points show a true Pearson correlation of this size at the two-sided 5% level; None for 0.

    ((z_0.975 + z_power) / atanh(r))^2 + 3, from Fisher's transformation: 783 for 0.1, 194 for 0.2, 85 for 0.3 (Hulley
    et al. 2013, "Designing Clinical Research", appendix 6C).
    """
    size = math.atanh(min(abs(value), 1 - 1e-12))
    if not 0 < power < 1:
        raise PinchError(f"A power of {power:g} was asked for.", hint="Give one between 0 and 1; 0.8 is usual.")
    if size < 1e-6:
        return None
    return max(MIN_POINTS, math.ceil(((_Z + _NORMAL.inv_cdf(power)) / size) ** 2 + 3 - 1e-9))


def sentence(found: Correlation, *, x: str, y: str) -> str:
    """Say in plain English what a correlation shows, and what it cannot.

    Args:
        found: From `correlate` or `correlate_pairs`.
        x: What the factor is called: "pretraining share".
        y: What the score is called.
    """
    pairs = found.n != found.n_languages
    many = "1 language" if found.n == 1 else f"{found.n} languages"
    over = f"{found.n} pairs of {found.n_languages} languages" if pairs else many
    if found.reason == "constant":
        return f"Nothing can be said about {x} and {y}: over {over}, one of the two never changes."
    if found.value is None or found.n_languages < MIN_POINTS:
        are = "is" if found.n == 1 else "are"
        return f"Nothing can be said about {x} and {y}: {over} {are} too few, an interval needs {MIN_POINTS} or more."
    name = "Pearson" if found.method == "pearson" else "Spearman"
    told = f"Over {over}, the {name} correlation of {x} with {y} is {found.value:.2f}"
    shown = found.interval
    test = "" if found.p_value is None else f"permutation p {_written(found.p_value)}"
    sure = f"95% interval {shown.low:.2f} to {shown.high:.2f}" if shown else "no interval"
    told = f"{told} ({', '.join(part for part in (sure, test) if part)})"
    undecided = found.p_value is None or found.p_value >= 1 - CONFIDENCE
    holds_zero = [b.low <= 0 <= b.high for b in (found.fisher, found.bootstrap) if b is not None]
    if undecided or any(holds_zero):
        why = (
            "the interval holds 0"
            if shown and shown.low <= 0 <= shown.high
            else "the intervals and the permutation test do not agree"
            if holds_zero
            else "so few languages can lie in one order by chance"
        )
        needed = (not pairs and points_needed(found.value)) or 0
        more = f" About {needed} languages would show a correlation of this size with 80% power."
        told = f"{told}: {why}, so these languages cannot tell whether the two go together."
        return told + more if needed > found.n else told
    direction = "higher" if found.value > 0 else "lower"
    return f"{told}: where {x} is higher, {y} tends to be {direction}. It does not show that one causes the other."


def finite(values: Sequence[float | None]) -> Floats:
    """Return numbers as an array.

    Raises:
        PinchError: one of them is not finite.
    """
    found_N: Floats = np.array(values, dtype=float)
    if not np.isfinite(found_N).all():
        raise PinchError("A correlation was asked for with a number that is not finite.", hint="Leave that point out.")
    return found_N


def _no_correlation(x_N: Floats, y_N: Floats) -> str | None:
    if len(x_N) < 3:
        return "too_few"
    return "constant" if np.ptp(x_N) == 0 or np.ptp(y_N) == 0 else None


def _without(method: Method, n: int, n_languages: int, reason: str) -> Correlation:
    return Correlation(
        method=method,
        n=n,
        n_languages=n_languages,
        value=None,
        fisher=None,
        bootstrap=None,
        p_value=None,
        reason=reason,
    )


def _correlations(weight_BN: Floats, x_N: Floats, y_N: Floats, method: Method) -> Floats:
    if method == "spearman":
        return _weighted(weight_BN, _drawn_ranks(weight_BN, x_N), _drawn_ranks(weight_BN, y_N))
    return _weighted(weight_BN, x_N, y_N)


def _weighted(weight_BN: Floats, x_N: Floats, y_N: Floats) -> Floats:
    """Return weighted correlations, one a row; NaN where a row does not vary. x and y may have rows of their own."""
    total_B1 = weight_BN.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        x_BN = x_N - (weight_BN * x_N).sum(1, keepdims=True) / total_B1
        y_BN = y_N - (weight_BN * y_N).sum(1, keepdims=True) / total_B1
        x_B, y_B = (weight_BN * x_BN**2).sum(1), (weight_BN * y_BN**2).sum(1)
        found_B: Floats = (weight_BN * x_BN * y_BN).sum(1) / np.sqrt(x_B * y_B)
    # What is left of a constant row after rounding is no variance.
    flat_B = (x_B <= 1e-20 * (x_N**2).max()) | (y_B <= 1e-20 * (y_N**2).max())
    found_B[flat_B] = np.nan
    bounded_B: Floats = np.clip(found_B, -1, 1)
    return bounded_B


def _drawn_ranks(weight_BN: Floats, value_N: Floats) -> Floats:
    """Return the rank that each point has in each draw, equal values sharing the mean."""
    less_NN = (value_N[:, None] < value_N).astype(float)
    equal_NN = (value_N[:, None] == value_N).astype(float)
    ranks_BN: Floats = weight_BN @ less_NN + (weight_BN @ equal_NN + 1) / 2
    return ranks_BN


def _ranks(value_N: Floats) -> Floats:
    ranks_N: Floats = _drawn_ranks(np.ones((1, len(value_N))), value_N)[0]
    return ranks_N


def _orders(n: int, permutations: int, generator: np.random.Generator) -> Any:
    """Return orders of n things, the given one first: all of them for few, else so many drawn ones."""
    if n <= _ALL_ORDERS:
        return np.array(list(itertools.permutations(range(n))))
    drawn_BN = generator.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)
    return np.concatenate([np.arange(n)[None], drawn_BN])


def _blocks(rows_BN: Any, width: int) -> Iterator[Any]:
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, len(rows_BN), step):
        yield rows_BN[start : start + step]


def _p_value(value: float, permuted_B: Floats) -> float:
    """Return the share of orders at least as far from 0; the first order is the observed one, so it is never 0."""
    # Rounding must not part an order from its equals; an order without a correlation is no evidence either way.
    known_B = permuted_B[~np.isnan(permuted_B)]
    return float((np.abs(known_B) >= abs(value) - 1e-9).mean())


def _percentile(draws_B: Floats, value: float) -> Bounds | None:
    known_B = draws_B[~np.isnan(draws_B)]
    if len(known_B) == 0 or np.ptp(known_B) < 1e-12:
        return None
    low, high = np.quantile(known_B, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Bounds(low=min(float(low), value), high=max(float(high), value))


def _bca(value: float, draws_B: Floats, jackknife_N: Floats) -> Bounds | None:
    """Return Efron's bias-corrected and accelerated interval."""
    known_B = draws_B[~np.isnan(draws_B)]
    if len(known_B) == 0 or np.ptp(known_B) < 1e-12:
        return None
    below = float(((known_B < value).mean() + (known_B <= value).mean()) / 2)
    # A point beyond every draw has no finite correction.
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / len(known_B)), 1 - 0.5 / len(known_B)))
    off_N = np.nanmean(jackknife_N) - jackknife_N[~np.isnan(jackknife_N)]
    spread = float((off_N**2).sum())
    bend = float((off_N**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    shares = [_NORMAL.cdf(bias + (bias + z) / max(1 - bend * (bias + z), 1e-6)) for z in (-_Z, _Z)]
    low, high = np.quantile(known_B, shares)
    return Bounds(low=min(float(low), value), high=max(float(high), value))


def _written(p_value: float) -> str:
    return "under 0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"
