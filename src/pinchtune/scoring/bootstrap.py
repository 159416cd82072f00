"""Means over languages with intervals from one bootstrap over prompts.

The prompts are parallel, so a drawn prompt brings all its languages, models and orders along; that one rule gives
paired and clustered intervals at once (docs/scoring.md). Where all items are equal a bootstrap has no width; Wilson's
interval for that many items stands in (Wilson 1927, doi 10.1080/01621459.1927.10502953).
Legend: I prompts, L languages, B draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

DRAWS = 10_000
CONFIDENCE = 0.95
_Z = 1.959963984540054

Floats = npt.NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True):
    """A mean with its 95% interval and how many items it is over."""

    value: float
    low: float
    high: float
    n: int


class PromptBootstrap:
    """Draws of prompts, shared by every score of a study.

    Args:
        ids: The prompts' ids.
        seed: Of the draws.
        draws: How many.
    """

    def __init__(self, ids: Sequence[str], *, seed: int = 0, draws: int = DRAWS) -> None:
        self._row = {identifier: row for row, identifier in enumerate(dict.fromkeys(ids))}
        generator = np.random.default_rng(seed)
        size = len(self._row)
        self._counts_BI: Floats = generator.multinomial(size, np.full(size, 1 / max(size, 1)), size=draws).astype(float)

    def mean(self, items: Mapping[tuple[str, str], float], languages: Sequence[str]) -> Interval | None:
        """Return the mean over languages of the mean over prompts; None where no language has an item.

        Args:
            items: (prompt id, language) -> value in [0, 1]; pairs that are missing do not count.
            languages: One tag, or several whose means are averaged, each weighing the same.
        """
        found = self._means(items, languages)
        if found is None:
            return None
        value, draws_B, values, present = found
        low, high = _percentiles(draws_B)
        if low == high:
            low, high = wilson(value, len(values))
        return Interval(value, min(low, value), max(high, value), present)

    def difference(
        self, items: Mapping[tuple[str, str], float], others: Mapping[tuple[str, str], float], languages: Sequence[str]
    ) -> Interval | None:
        """Return mean(items) - mean(others) over the pairs that both have, paired by the drawn prompts; in [-1, 1]."""
        both = items.keys() & others.keys()
        one = self._means({key: items[key] for key in both}, languages)
        two = self._means({key: others[key] for key in both}, languages)
        if one is None or two is None:
            return None
        value = one[0] - two[0]
        low, high = _percentiles(one[1] - two[1])
        if low == high:
            # No draw differs, as where all differences are equal: Wilson's interval for that share of that many items.
            share_low, share_high = wilson((value + 1) / 2, one[3])
            low, high = 2 * share_low - 1, 2 * share_high - 1
        return Interval(value, min(low, value), max(high, value), one[3])

    def _means(
        self, items: Mapping[tuple[str, str], float], languages: Sequence[str]
    ) -> tuple[float, Floats, list[float], int] | None:
        column = {language: place for place, language in enumerate(languages)}
        value_IL = np.zeros((len(self._row), len(column)))
        there_IL = np.zeros_like(value_IL)
        for (identifier, language), value in items.items():
            if language in column and identifier in self._row:
                place = self._row[identifier], column[language]
                value_IL[place], there_IL[place] = value, 1
        has_L = there_IL.any(axis=0)
        if not has_L.any():
            return None
        value_IL, there_IL = value_IL[:, has_L], there_IL[:, has_L]
        value = float((value_IL.sum(0) / there_IL.sum(0)).mean())
        n_BL = self._counts_BI @ there_IL
        mean_BL = np.divide(self._counts_BI @ value_IL, n_BL, out=np.full_like(n_BL, np.nan), where=n_BL > 0)
        # A draw may hold no prompt of a language with few items; it then says nothing of that language.
        with np.errstate(invalid="ignore"):
            draws_B = np.nansum(mean_BL, 1) / (~np.isnan(mean_BL)).sum(1)
        return value, draws_B, value_IL[there_IL > 0].tolist(), int(there_IL.sum())


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share of n items."""
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (share * (1 - share) / n + _Z**2 / (4 * n * n)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def _percentiles(draws_B: Floats) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(draws_B, [tail, 100 - tail])
    return float(low), float(high)
