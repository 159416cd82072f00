"""Splitting examples into training and evaluation by content id, so that parallel text never stands on both sides.

Ids are ranked by a hash of (seed, id), as draws of mixtures are: a split depends on the ids alone, not on their order,
their languages or their texts, and a smaller evaluation set is inside a larger one of the same seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from pinchtune.errors import PinchError
from pinchtune.records import Example


class Split(msgspec.Struct, frozen=True):
    """The two sides, each in the order of the input."""

    train: tuple[Example, ...]
    eval: tuple[Example, ...]


def split(
    examples: Iterable[Example], *, eval_count: int | None = None, eval_percent: float | None = None, seed: int = 0
) -> Split:
    """Split examples by id: all languages of one id fall on one side.

    Args:
        examples: In any order; an id may be there in many languages.
        eval_count: How many ids to evaluate on.
        eval_percent: How many, in percent of the ids, rounded to the nearest whole id.
        seed: Of the ranking.

    Raises:
        PinchError: not exactly one of the two sizes, or one that leaves a side empty.
    """
    if (eval_count is None) == (eval_percent is None):
        raise PinchError("An evaluation set has one size.", hint="Give either eval_count (ids) or eval_percent.")
    found = list(examples)
    order = ranked(dict.fromkeys(example.id for example in found), seed)
    if eval_percent is not None and not 0 < eval_percent < 100:
        raise PinchError(
            f"{eval_percent:g} percent is no share to evaluate on.", hint="More than 0 and less than 100 percent."
        )
    count = eval_count if eval_count is not None else round(len(order) * (eval_percent or 0) / 100)
    if not 0 < count < len(order):
        raise PinchError(
            f"{count} of {len(order)} ids for evaluation leaves a side empty.",
            hint=f"Ask for 1 to {len(order) - 1} ids." if len(order) > 1 else "A split needs two ids or more.",
        )
    chosen = set(order[:count])
    return Split(
        train=tuple(example for example in found if example.id not in chosen),
        eval=tuple(example for example in found if example.id in chosen),
    )


def ranked(ids: Iterable[str], seed: int) -> list[str]:
    """Return ids in an order that depends only on the seed and the ids themselves."""

    def rank(identifier: str) -> bytes:
        # The purpose keeps this ranking apart from those by which mixtures are drawn.
        return hashlib.sha256(f"{seed}\x1fsplit\x1f{identifier}".encode("utf-8", "surrogatepass")).digest()

    return sorted(ids, key=rank)
