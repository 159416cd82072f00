"""What is in a file of examples: counts, lengths, turns, categories, duplicates, and whether the languages are right.

One pass over the examples; texts are not kept, only their digests, so that memory grows with the number of examples and
not with their length.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from pinchtune import languages
from pinchtune.identification import Identification, Identifier
from pinchtune.records import Example, Message

#: Ids listed of examples that are not in their declared language.
MAX_LISTED = 20
# Scripts written without spaces: words cannot be counted by splitting at them.
_UNSPACED = frozenset(["Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"])


class Lengths(msgspec.Struct, frozen=True):
    """The spread of a length."""

    shortest: int
    median: float
    longest: int


class Disagreement(msgspec.Struct, frozen=True):
    """An example whose response is not in the language it declares, as far as identifiers can tell."""

    id: str
    language: str
    #: What the identifiers found; None where they could not name it.
    found: str | None


class Agreement(msgspec.Struct, frozen=True):
    """Declared against identified language, of responses."""

    #: Responses whose language could be told, and how many of them are in the declared one.
    n_told: int
    n_agreeing: int
    #: The share that agrees, of those that could be told; None where none could.
    share: float | None
    #: Why the others could not be told ("too_short", "unsupported_language") -> how many.
    untold: dict[str, int]
    #: The first `MAX_LISTED` that are not in the declared language.
    disagreeing: tuple[Disagreement, ...]


class Profile(msgspec.Struct, frozen=True):
    """What a set of examples is like. Prompts are all turns before the response, the system's left out."""

    n_examples: int
    #: Examples whose language, roles and texts were all there already under this or another id.
    n_duplicates: int
    #: Words are what stands between spaces; None where there is no example in a script that has them.
    prompt_words: Lengths | None
    response_words: Lengths | None
    #: Unicode characters; None where there is no example.
    prompt_characters: Lengths | None
    response_characters: Lengths | None
    #: Number of turns, the system's left out -> examples.
    turns: dict[int, int]
    #: Category -> examples, commonest first; examples without one are not in it.
    categories: dict[str, int]
    #: None where languages were not identified.
    agreement: Agreement | None


class Description(msgspec.Struct, frozen=True):
    """What is in a set of examples, all together and per language."""

    #: Distinct ids, and how many of them are there in more than one language (parallel).
    n_ids: int
    n_parallel_ids: int
    #: Examples whose id was there already in their language, with another text: an id names one content.
    n_reused_ids: int
    total: Profile
    #: Language tag -> its examples, in alphabetical order.
    languages: dict[str, Profile]


def describe(examples: Iterable[Example], *, identifier: Identifier | None = None) -> Description:
    """Describe examples, in one pass.

    Args:
        examples: In any order; may hold duplicates.
        identifier: Says which language a response is in; best made with the languages that the examples declare. None
            leaves the declared languages unchecked, which is much faster.
    """
    total = _Tally(checked=identifier is not None)
    by_language: dict[str, _Tally] = {}
    versions: dict[str, dict[str, bytes]] = {}
    seen: set[bytes] = set()
    n_reused = 0
    for example in examples:
        digest = _digest(example)
        n_reused += versions.setdefault(example.id, {}).setdefault(example.language, digest) != digest
        prompt = spoken(example.prompt)
        said = identifier.check(example.response, example.language, prompt=prompt) if identifier else None
        if example.language not in by_language:
            by_language[example.language] = _Tally(checked=identifier is not None)
        for tally in (total, by_language[example.language]):
            tally.add(example, prompt, said, duplicate=digest in seen)
        seen.add(digest)
    return Description(
        n_ids=len(versions),
        n_parallel_ids=sum(len(one) > 1 for one in versions.values()),
        n_reused_ids=n_reused,
        total=total.profile(),
        languages={tag: by_language[tag].profile() for tag in sorted(by_language)},
    )


def spoken(messages: Iterable[Message]) -> str:
    """Return the texts of the turns, one after the other; a system turn, often the same throughout, is left out."""
    return "\n".join(message.content for message in messages if message.role != "system")


class _Tally:
    """Counts of one set of examples while they pass."""

    def __init__(self, *, checked: bool) -> None:
        self._checked = checked
        self._n_examples = self._n_duplicates = self._n_told = self._n_agreeing = 0
        self._lengths: dict[str, Counter[int]] = {
            f"{part}_{unit}": Counter() for part in ("prompt", "response") for unit in ("words", "characters")
        }
        self._turns: Counter[int] = Counter()
        self._categories: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._disagreeing: list[Disagreement] = []

    def add(self, example: Example, prompt: str, said: Identification | None, *, duplicate: bool) -> None:
        self._n_examples += 1
        self._n_duplicates += duplicate
        spaced = languages.parse(example.language).script not in _UNSPACED
        for part, text in (("prompt", prompt), ("response", example.response)):
            self._lengths[f"{part}_characters"][len(text)] += 1
            if spaced:
                self._lengths[f"{part}_words"][len(text.split())] += 1
        self._turns[sum(message.role != "system" for message in example.messages)] += 1
        if example.category is not None:
            self._categories[example.category] += 1
        if said is not None:
            self._compare(example, said)

    def _compare(self, example: Example, said: Identification) -> None:
        if said.expected is None:
            self._untold[said.reason or "unknown"] += 1
            return
        self._n_told += 1
        self._n_agreeing += said.expected
        if not said.expected and len(self._disagreeing) < MAX_LISTED:
            self._disagreeing.append(Disagreement(example.id, example.language, said.found))

    def profile(self) -> Profile:
        agreement = Agreement(
            n_told=self._n_told,
            n_agreeing=self._n_agreeing,
            share=self._n_agreeing / self._n_told if self._n_told else None,
            untold=dict(self._untold),
            disagreeing=tuple(self._disagreeing),
        )
        by_size = sorted(self._categories.items(), key=lambda item: (-item[1], item[0]))
        return Profile(
            n_examples=self._n_examples,
            n_duplicates=self._n_duplicates,
            turns=dict(sorted(self._turns.items())),
            categories=dict(by_size),
            agreement=agreement if self._checked else None,
            **{name: lengths(counts) for name, counts in self._lengths.items()},
        )


def lengths(counts: Mapping[int, int]) -> Lengths | None:
    """Return the shortest, median and longest of lengths given as length -> how often; None where there are none."""
    if not counts:
        return None
    n = sum(counts.values())
    ordered = sorted(counts)
    wanted = ((n - 1) // 2, n // 2)  # the two in the middle, the same one where n is odd
    middle = []
    passed = 0
    for length in ordered:
        middle += [length for place in wanted if passed <= place < passed + counts[length]]
        passed += counts[length]
    return Lengths(ordered[0], sum(middle) / 2, ordered[-1])


def _digest(example: Example) -> bytes:
    parts = [example.language]
    for message in example.messages:
        parts += [message.role, message.content]
    # Lengths in front, so that no text can be taken for a boundary.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
