"""Designs: which languages a training set is made of. Each gives a training set of the size asked for.

| design | what it is | paper |
| --- | --- | --- |
| `monolingual` | one language | Fig. 1 |
| `pinch` | base language, some examples replaced by their counterparts, even over the languages | Figs. 3, 4 |
| `uniform` | an even split over languages | Fig. 5 |
| `custom` | counts or shares per language | |

Counts and fractions are two different fields everywhere. Source: Shaham et al. 2024, arXiv 2401.01854, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pinchtune.errors import PinchError
from pinchtune.mixtures.draw import draw, index, ranked
from pinchtune.records import Example


def monolingual(examples: Iterable[Example], *, language: str, n_examples: int, seed: int = 0) -> list[Example]:
    """Draw `n_examples` in one language.

    Raises:
        PinchError: there are too few.
    """
    return draw(index(examples), base=language, n_examples=n_examples, replacements=(), seed=seed)


def pinch(
    examples: Iterable[Example],
    *,
    base: str = "en",
    languages: Sequence[str],
    n_examples: int,
    pinch_examples: int | None = None,
    pinch_percent: float | None = None,
    seed: int = 0,
) -> list[Example]:
    """Draw `n_examples` in the base language and replace some by their counterparts in `languages`.

    Args:
        examples: Parallel examples (same id, several languages).
        base: Language of the rest.
        languages: Languages of the pinch, dealt out in turn, so that counts differ by one at most. May hold the base
            language, as in the paper's split of P percent over twelve languages.
        n_examples: Size of the training set.
        pinch_examples: How many to replace, as a count.
        pinch_percent: How many to replace, in percent of `n_examples`, rounded to the nearest whole example.
        seed: The same seed draws the same ids for every design and size of pinch; a smaller pinch is inside a larger.

    Raises:
        PinchError: not exactly one of the two sizes, one out of range, or too little data.
    """
    if (pinch_examples is None) == (pinch_percent is None):
        raise PinchError("A pinch has one size.", hint="Give either pinch_examples (a count) or pinch_percent.")
    count = pinch_examples if pinch_examples is not None else round(n_examples * (pinch_percent or 0) / 100)
    if not 0 <= count <= n_examples:
        raise PinchError(f"A pinch of {count} does not fit into {n_examples} examples.", hint="0 to 100 percent.")
    if not languages or len(set(languages)) != len(languages):
        raise PinchError(f"The pinch's languages are {', '.join(languages) or 'none'}.", hint="Name each one once.")
    replacements = [languages[position % len(languages)] for position in range(count)]
    return draw(index(examples), base=base, n_examples=n_examples, replacements=replacements, seed=seed)


def uniform(examples: Iterable[Example], *, languages: Sequence[str], n_examples: int, seed: int = 0) -> list[Example]:
    """Split `n_examples` evenly over `languages`; no id in two of them.

    Raises:
        PinchError: too little data.
    """
    return pinch(examples, base=languages[0], languages=languages, n_examples=n_examples, pinch_percent=100, seed=seed)


def custom(
    examples: Iterable[Example],
    *,
    counts: Mapping[str, int] | None = None,
    shares: Mapping[str, float] | None = None,
    n_examples: int | None = None,
    seed: int = 0,
) -> list[Example]:
    """Draw given counts, or given shares of `n_examples`, per language; no id in two languages.

    Args:
        examples: The pool; need not be parallel.
        counts: Language -> number of examples.
        shares: Language -> fraction of `n_examples`; they sum to 1. Whole numbers by largest remainder.
        n_examples: With `shares`, the size of the training set.
        seed: Seed of the draw.

    Raises:
        PinchError: both or neither of counts and shares, shares that do not sum to 1, or too little data.
    """
    if (counts is None) == (shares is None):
        raise PinchError("A custom mixture has either counts or shares.", hint="counts: {en: 90, es: 10}")
    if counts is None:
        assert shares is not None
        if n_examples is None or not abs(sum(shares.values()) - 1) <= 1e-6 or min(shares.values()) < 0:
            raise PinchError(
                f"Shares sum to {sum(shares.values()):g}; they are fractions that sum to 1, of n_examples.",
                hint="shares: {en: 0.9, es: 0.1} with n_examples: 1000",
            )
        counts = _largest_remainder(shares, n_examples)
    elif n_examples is not None:
        raise PinchError("n_examples goes with shares; counts say themselves how many.", hint="Leave n_examples out.")
    if not counts or min(counts.values()) < 0 or sum(counts.values()) == 0:
        raise PinchError(
            f"Counts are {dict(counts)}; each is 0 or more, and not all are 0.", hint="counts: {en: 90, es: 10}"
        )
    pool = index(examples)
    order = ranked(pool, seed, "base")
    drawn: list[Example] = []
    used: set[str] = set()
    # The scarcest language chooses first, so that a common one does not take its ids.
    available = Counter(language for versions in pool.values() for language in versions)
    for language in sorted(counts, key=lambda tag: (available[tag], tag)):
        ids = [identifier for identifier in order if identifier not in used and language in pool[identifier]]
        if len(ids) < counts[language]:
            raise PinchError(
                f"{counts[language]} examples in {language} were asked for; {len(ids)} are left.",
                hint="Ask for fewer or add data.",
            )
        used.update(ids[: counts[language]])
        drawn.extend(pool[identifier][language] for identifier in ids[: counts[language]])
    place = {identifier: number for number, identifier in enumerate(order)}
    return sorted(drawn, key=lambda example: place[example.id])


def _largest_remainder(shares: Mapping[str, float], total: int) -> dict[str, int]:
    whole = {tag: int(share * total) for tag, share in shares.items()}
    by_remainder = sorted(shares, key=lambda tag: (whole[tag] - shares[tag] * total, tag))
    for tag in by_remainder[: total - sum(whole.values())]:
        whole[tag] += 1
    return whole


DESIGNS: dict[str, Callable[..., list[Example]]] = {
    "monolingual": monolingual,
    "pinch": pinch,
    "uniform": uniform,
    "custom": custom,
}


def describe(mixture: Sequence[Example]) -> dict[str, Any]:
    """Return what a mixture's manifest says of it: counts, shares, and the ids of each language."""
    by_language: dict[str, list[str]] = {}
    for example in mixture:
        by_language.setdefault(example.language, []).append(example.id)
    return {
        "n_examples": len(mixture),
        "counts": {tag: len(ids) for tag, ids in sorted(by_language.items())},
        "ids": {tag: sorted(ids) for tag, ids in sorted(by_language.items())},
    }
