"""Exact and near duplicates within a set of examples, and its overlap with an evaluation set.

Duplicates are sought within a language and the first is kept. Near means that two whole conversations, and also their
responses alone, share at least a threshold of their character 8-grams (Jaccard similarity, counted exactly on what
MinHash proposes): questions on one long passage, or an exercise with other numbers, are alike but for the response, and
stay. Overlap compares prompts only, in whatever language they are declared, since an evaluation set may have no
references; all languages of an id that overlaps go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from pinchtune.errors import PinchError
from pinchtune.records import Example, Message, Prompt
from pinchtune.sources.describe import spoken

THRESHOLD = 0.7
Advance = Callable[[float], None]
Reason = Literal["exact", "near", "same_id", "parallel"]


class Match(msgspec.Struct, frozen=True):
    """An example that repeats another one."""

    id: str
    language: str
    #: "exact": the same turns. "near": alike. "same_id": only the id is that of an evaluation instruction.
    #: "parallel": this example's id overlaps with the evaluation set in another language.
    reason: Reason
    #: What it repeats: an example that is kept or, for overlap, an evaluation instruction.
    of_id: str
    of_language: str
    #: Jaccard similarity of the 8-grams; None where the reason is not the text.
    similarity: float | None


class Deduplicated(msgspec.Struct, frozen=True):
    """What is left, and why the rest is not."""

    kept: tuple[Example, ...]
    #: Repeat an example that is kept; in the order of the input, as are the overlaps.
    duplicates: tuple[Match, ...]
    #: Repeat an evaluation instruction.
    overlaps: tuple[Match, ...] = ()
    #: Ids of kept examples that an evaluation instruction also has, with another text.
    n_shared_ids: int = 0


def dedupe(
    examples: Iterable[Example],
    *,
    against: Iterable[Prompt] = (),
    threshold: float = THRESHOLD,
    same_id: bool = False,
    seed: int = 0,
    advance: Advance | None = None,
) -> Deduplicated:
    """Leave out what overlaps with an evaluation set, then, of the rest, all but the first of each content.

    Args:
        examples: To tune on.
        against: Evaluation instructions that must not be trained.
        threshold: Jaccard similarity of character 8-grams from which texts are near duplicates, in (0, 1].
        same_id: Whether the id of an evaluation instruction is overlap, whatever the text; right where both sets count
            their ids alike, as parts of one parallel set do.
        seed: Of the MinHash permutations.
        advance: Called with the share done.

    Raises:
        PinchError: a threshold out of range, or an id left with two different texts in one language.
    """
    if not 0 < threshold <= 1:
        raise PinchError(f"A threshold of {threshold:g} means nothing.", hint="More than 0 and at most 1.")
    found, prompts = list(examples), list(against)
    share = 0.4 if prompts else 0.0
    overlaps = _overlaps(found, prompts, threshold, same_id=same_id, seed=seed, advance=_part(advance, 0, share))
    rest = [place for place in range(len(found)) if place not in overlaps]
    duplicates: dict[int, Match] = {}
    by_language: dict[str, list[int]] = {}
    for place in rest:
        by_language.setdefault(found[place].language, []).append(place)
    done = 0
    for places in by_language.values():
        ends = (share + (1 - share) * n / max(len(rest), 1) for n in (done, done + len(places)))
        part = _part(advance, *ends)
        duplicates |= _duplicates(found, places, threshold, seed=seed, advance=part)
        done += len(places)
    if advance is not None:
        advance(1.0)
    kept = tuple(found[place] for place in rest if place not in duplicates)
    _check_ids(kept)
    shared = {example.id for example in kept} & {prompt.id for prompt in prompts}
    return Deduplicated(
        kept=kept,
        duplicates=tuple(duplicates[place] for place in sorted(duplicates)),
        overlaps=tuple(overlaps[place] for place in sorted(overlaps)),
        n_shared_ids=len(shared),
    )


def _duplicates(
    examples: Sequence[Example], places: Sequence[int], threshold: float, *, seed: int, advance: Advance | None
) -> dict[int, Match]:
    """Return place -> match of the examples of one language that repeat an earlier one that is kept."""
    import numpy as np

    from pinchtune.sources.minhash import NearTexts, fold, grams, jaccard

    firsts: dict[tuple[Message, ...], int] = {}
    copies = {
        place: first for place in places if (first := firsts.setdefault(examples[place].messages, place)) != place
    }
    distinct = list(firsts.values())
    texts = [fold(spoken(examples[place].messages)) for place in distinct]
    near = NearTexts(texts, threshold=threshold, seed=seed, advance=advance)
    kept_T = np.zeros(len(distinct), dtype=np.bool_)
    found: dict[int, Match] = {}
    for number, place in enumerate(distinct):
        for other, similarity in near.before(number, kept_T):
            original = examples[distinct[other]]
            responses = (grams(fold(one.response)) for one in (examples[place], original))
            if jaccard(*responses) >= threshold:
                found[place] = _match(examples[place], original, "near", similarity)
                break
        kept_T[number] = place not in found
    for place, first in copies.items():
        # A copy of what was left out is like what that is like.
        found[place] = found[first] if first in found else _match(examples[place], examples[first], "exact", 1.0)
        found[place] = msgspec.structs.replace(found[place], id=examples[place].id)
    return found


def _overlaps(
    examples: Sequence[Example],
    prompts: Sequence[Prompt],
    threshold: float,
    *,
    same_id: bool,
    seed: int,
    advance: Advance | None,
) -> dict[int, Match]:
    """Return place -> match of the examples that repeat an evaluation instruction."""
    import numpy as np

    from pinchtune.sources.minhash import NearTexts, fold

    if not prompts:
        return {}
    exact: dict[tuple[Message, ...], Prompt] = {}
    by_id: dict[str, Prompt] = {}
    for prompt in prompts:
        exact.setdefault(_turns(prompt.messages), prompt)
        by_id.setdefault(prompt.id, prompt)
    asked = list(exact.values())
    texts = [fold(spoken(one.messages)) for one in asked] + [fold(spoken(one.prompt)) for one in examples]
    near = NearTexts(texts, threshold=threshold, seed=seed, advance=advance)
    asked_T = np.arange(len(texts)) < len(asked)
    found: dict[int, Match] = {}
    for place, example in enumerate(examples):
        if (same := exact.get(_turns(example.prompt))) is not None:
            found[place] = _match(example, same, "exact", 1.0)
        elif alike := near.before(len(asked) + place, asked_T):
            found[place] = _match(example, asked[alike[0][0]], "near", alike[0][1])
        elif same_id and example.id in by_id:
            found[place] = _match(example, by_id[example.id], "same_id", None)
    leaked: dict[str, Match] = {}
    for match in found.values():
        leaked.setdefault(match.id, match)
    for place, example in enumerate(examples):
        if place not in found and example.id in leaked:
            match = leaked[example.id]
            found[place] = msgspec.structs.replace(match, language=example.language, reason="parallel", similarity=None)
    return found


def _match(example: Example, other: Example | Prompt, reason: Reason, similarity: float | None) -> Match:
    return Match(example.id, example.language, reason, other.id, other.language, similarity)


def _turns(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple(message for message in messages if message.role != "system")


def _part(advance: Advance | None, begin: float, end: float) -> Advance | None:
    return None if advance is None else lambda share: advance(begin + (end - begin) * share)


def _check_ids(examples: Iterable[Example]) -> None:
    seen: set[tuple[str, str]] = set()
    for example in examples:
        if (example.id, example.language) in seen:
            raise PinchError(
                f"The id {example.id!r} is used twice in {example.language} for different texts.",
                hint="An id names one content: give each conversation its own, or leave `id` out to have one made.",
            )
        seen.add((example.id, example.language))
