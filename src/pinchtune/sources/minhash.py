"""Texts that share most of their character 8-grams: MinHash and banding find candidates, an exact count decides.

MinHash: Broder 1997, doi 10.1109/SEQUEN.1997.666900. Banding: Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, section 3.4. A candidate's Jaccard similarity is counted on its grams, so that chance can only miss a pair
(about two in a thousand at the threshold itself, fewer above), never make one.
Legend: T texts, P permutations, B bands, N grams of a text, G grams of many texts, U distinct ones of those.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Grams = npt.NDArray[np.uint64]

GRAM = 8
PERMUTATIONS = 128
#: Of pairs at the threshold, at least this share becomes candidates.
RECALL = 0.999
_NO_CHARACTER = 0x110000  # one above Unicode's last
_RARE = 128  # texts that may have a gram for it to be in the index of rare grams
_CROWD = 256  # candidates, once for each band in which they agree, from which that index is worth its while
_CHUNK = 1024  # grams hashed at a time: what 128 permutations of them take fits into a processor's cache


def fold(text: str) -> str:
    """Return a text without what makes no difference to a reader: case, kinds and runs of space, composed accents."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def grams(folded: str) -> Grams:
    """Return the distinct 8-grams of a folded text as sorted 64-bit numbers; a shorter text is one gram."""
    import numpy as np

    code_N = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    if len(code_N) < GRAM:
        code_N = np.pad(code_N, (0, GRAM - len(code_N)), constant_values=_NO_CHARACTER)
    gram_N = np.zeros(len(code_N) - GRAM + 1, dtype=np.uint64)
    for place, factor in enumerate(_odd_numbers(GRAM, seed=0)):
        gram_N += code_N[place : place + len(gram_N)] * factor
    # The finaliser of splitmix64: one to one, and every bit of the result depends on every bit of the sum.
    gram_N = (gram_N ^ (gram_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    gram_N = (gram_N ^ (gram_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.unique(gram_N ^ (gram_N >> np.uint64(31)))


def jaccard(one: Grams, other: Grams) -> float:
    """Return the share of grams that two texts have in common, of those that either has."""
    import numpy as np

    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def rows_per_band(threshold: float) -> int:
    """Return how many hashes make a band, the most with which pairs at the threshold are found (see `RECALL`)."""
    for rows in range(PERMUTATIONS, 1, -1):
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= RECALL:
            return rows
    return 1


class NearTexts:
    """Folded texts, and for each the earlier ones like it.

    Args:
        texts: Folded.
        threshold: Jaccard similarity from which texts are alike, in (0, 1].
        seed: Of the permutations.
        advance: Called with the share of texts sketched.
    """

    def __init__(
        self, texts: Sequence[str], *, threshold: float, seed: int = 0, advance: Callable[[float], None] | None = None
    ) -> None:
        import numpy as np

        self._texts = texts
        self._threshold = threshold
        self._grams = functools.lru_cache(maxsize=2048)(grams)
        self._hash_TP = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
        self._size_T = np.empty(len(texts), dtype=np.int64)
        sketch = _sketcher(seed)
        for place, text in enumerate(texts):
            gram_N = grams(text)
            self._hash_TP[place] = sketch(gram_N)
            self._size_T[place] = len(gram_N)
            if advance is not None and place % 256 == 0:
                advance(place / len(texts))
        n_alike_T = self._band(rows_per_band(threshold))
        self._crowded_T = n_alike_T > max(_CROWD, len(texts) / 50)
        self._rare = _RareGrams(texts, self._crowded_T)

    def _band(self, rows: int) -> npt.NDArray[np.int64]:
        """Sort the texts by each band, so that those that are equal in it stand in a run, earlier ones first.

        Returns:
            How many texts each one is equal to, itself counted, summed over the bands.
        """
        import numpy as np

        n_texts, n_bands = len(self._texts), PERMUTATIONS // rows
        self._order_BT = np.empty((n_bands, n_texts), dtype=np.int32)
        #: Where in the order a text stands, and where its run begins.
        self._place_BT = np.empty_like(self._order_BT)
        self._begin_BT = np.empty_like(self._order_BT)
        step_T = np.arange(n_texts, dtype=np.int32)
        n_alike_T = np.zeros(n_texts, dtype=np.int64)
        factor_R = _odd_numbers(rows, seed=1)
        for band in range(n_bands):
            # One number for each band; two bands with the same number make a candidate too many, which costs little.
            key_T = self._hash_TP[:, band * rows : (band + 1) * rows].astype(np.uint64) @ factor_R
            _, run_T, size_R = np.unique(key_T, return_inverse=True, return_counts=True)
            n_alike_T += size_R[run_T]
            order_T = np.argsort(run_T, kind="stable")
            first_T = np.flatnonzero(np.diff(run_T[order_T], prepend=-1))
            self._order_BT[band] = order_T
            self._place_BT[band, order_T] = step_T
            self._begin_BT[band] = first_T[run_T]
        self._n_candidates_T = (self._place_BT - self._begin_BT).sum(axis=0, dtype=np.int64)
        return n_alike_T

    def before(self, place: int, allowed_T: npt.NDArray[np.bool_]) -> list[tuple[int, float]]:
        """Return (place, similarity) of the earlier texts like the one at `place`, the most alike first.

        Args:
            place: Which text, from 0.
            allowed_T: Which texts may be returned.
        """
        import numpy as np

        if not self._n_candidates_T[place]:
            return []
        if self._n_candidates_T[place] > place:  # in texts that all look alike, looking at all is less work
            candidates = np.arange(place)
        else:
            runs = zip(self._order_BT, self._begin_BT[:, place], self._place_BT[:, place], strict=True)
            candidates = np.unique(np.concatenate([order_T[begin:end] for order_T, begin, end in runs]))
        candidates = candidates[allowed_T[candidates]]
        own = self._grams(self._texts[place])
        # What two texts have in common at most bounds their similarity, and the intersection is what costs.
        size_C = self._size_T[candidates]
        most_C = np.minimum(size_C, len(own))
        if self._crowded_T[place]:
            most_C = np.minimum(most_C, self._rare.most_shared(place, own)[candidates])
        candidates = candidates[most_C * (1 + self._threshold) >= self._threshold * (size_C + len(own)) - 1e-6]
        # The share of equal hashes estimates the similarity; what lies three standard errors below is not counted.
        estimate_C = (self._hash_TP[candidates] == self._hash_TP[place]).mean(axis=1)
        error = (self._threshold * (1 - self._threshold) / PERMUTATIONS) ** 0.5
        candidates = candidates[estimate_C >= self._threshold - 3 * error]
        found = [(one, jaccard(own, self._grams(self._texts[one]))) for one in candidates.tolist()]
        return sorted((pair for pair in found if pair[1] >= self._threshold), key=lambda pair: (-pair[1], pair[0]))


class _RareGrams:
    """An index of the grams that few texts have. It bounds what a text shares with all others at once.

    Texts made from one template are all candidates of each other, alike in most of their grams and yet under the
    threshold; comparing them pair by pair takes hours. What tells them apart is their rare grams.

    Args:
        texts: Folded.
        crowded_T: Which of them to index.
    """

    def __init__(self, texts: Sequence[str], crowded_T: npt.NDArray[np.bool_]) -> None:
        import numpy as np

        members = np.flatnonzero(crowded_T)
        parts = [grams(texts[place]) for place in members.tolist()]
        gram_G = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
        owner_G = np.repeat(members.astype(np.int32), [len(part) for part in parts])
        order_G = np.argsort(gram_G, kind="stable")
        self._owner_G = owner_G[order_G]
        self._gram_U, self._begin_U, self._count_U = np.unique(gram_G[order_G], return_index=True, return_counts=True)
        common_G = np.repeat(self._count_U > _RARE, self._count_U)
        self._common_T = np.bincount(self._owner_G[common_G], minlength=len(texts))
        #: Nothing is known of texts that are not in the index.
        self._unknown_T = np.where(crowded_T, 0, 2**32)

    def most_shared(self, place: int, own: Grams) -> npt.NDArray[np.int64]:
        """Return, for each text, a number of grams that it and the one at `place` cannot have more of in common."""
        import numpy as np

        found = np.searchsorted(self._gram_U, own)
        found = found[self._count_U[found] <= _RARE]
        begin, count = self._begin_U[found], self._count_U[found]
        # The runs begin[i] ... begin[i] + count[i], one after the other.
        run = np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())
        shared_T = np.bincount(self._owner_G[run], minlength=len(self._common_T))
        most_T: npt.NDArray[np.int64] = np.minimum(self._common_T, self._common_T[place]) + shared_T + self._unknown_T
        return most_T


@functools.lru_cache(maxsize=8)
def _odd_numbers(count: int, *, seed: int) -> Grams:
    import numpy as np

    return np.random.default_rng(seed).integers(1, 2**64, size=count, dtype=np.uint64) | np.uint64(1)


def _sketcher(seed: int) -> Callable[[Grams], npt.NDArray[np.uint32]]:
    import numpy as np

    generator = np.random.default_rng(seed)
    factor_P1 = generator.integers(1, 2**64, size=(PERMUTATIONS, 1), dtype=np.uint64) | np.uint64(1)
    shift_P1 = generator.integers(0, 2**64, size=(PERMUTATIONS, 1), dtype=np.uint64)

    def sketch(gram_N: Grams) -> npt.NDArray[np.uint32]:
        least_P = np.full(PERMUTATIONS, 2**64 - 1, dtype=np.uint64)
        for start in range(0, len(gram_N), _CHUNK):
            hash_PN = gram_N[start : start + _CHUNK] * factor_P1
            hash_PN += shift_P1
            np.minimum(least_P, hash_PN.min(axis=1), out=least_P)
        return (least_P >> np.uint64(32)).astype(np.uint32)

    return sketch
