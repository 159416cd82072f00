"""The pinch pack: the parallel instruction set that ships with pinchtune (docs/pack.md).

One JSON Lines file per language in `pinchtune/pack/`; adding a language is adding a file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pinchtune import languages, store
from pinchtune.errors import LanguageError, PinchError, did_you_mean
from pinchtune.records import Example, Message, Prompt, Record

Split = Literal["train", "eval"]


class PackEntry(Record, frozen=True, kw_only=True):
    """One conversation of the pack, one line of its language's file."""

    id: str
    split: Split
    category: str
    language: str
    turns: tuple[Message, ...]
    #: Why this id has no exact counterpart in other languages (each has an adapted one of the same kind).
    untranslatable: str | None = None
    #: Why its numbers are not those of the English one (a clock that counts otherwise, centuries in Roman numerals).
    numbers_differ: str | None = None


def folder() -> Path:
    """Return the folder with the pack's files."""
    return Path(str(files("pinchtune") / "pack"))


def tags() -> tuple[str, ...]:
    """Return the languages of the pack, in alphabetical order."""
    return tuple(sorted(path.stem for path in folder().glob("*.jsonl")))


@functools.lru_cache(maxsize=64)
def entries(language: str) -> tuple[PackEntry, ...]:
    """Return all entries of one language, in the file's order.

    Raises:
        LanguageError: the pack has no such language.
    """
    tag = languages.parse(language).tag
    if tag not in tags():
        raise LanguageError(
            f"The pinch pack has no {languages.parse(tag).name} ({tag}).", hint=did_you_mean(tag, tags())
        )
    return tuple(store.read_records(folder() / f"{tag}.jsonl", PackEntry))


def select(
    wanted: Iterable[str] | None = None, *, split: Split | None = None, max_words: int | None = None
) -> Iterator[PackEntry]:
    """Yield entries of the wanted languages (default: all), parallel ids in the same order in each.

    Args:
        wanted: Language tags.
        split: Only this split.
        max_words: Leave out ids of which the English response has more words than this; the same ids in every
            language, so that what is left is still parallel.
    """
    short = None
    if max_words is not None:
        short = {entry.id for entry in entries("en") if len(entry.turns[-1].content.split()) <= max_words}
    for tag in wanted if wanted is not None else tags():
        for entry in entries(tag):
            if (split is None or entry.split == split) and (short is None or entry.id in short):
                yield entry


def examples(
    wanted: Iterable[str] | None = None, *, split: Split = "train", max_words: int | None = None
) -> Iterator[Example]:
    """Yield the pack's conversations as examples to tune on."""
    for entry in select(wanted, split=split, max_words=max_words):
        yield to_example(entry)


def prompts(
    wanted: Iterable[str] | None = None, *, limit: int | None = None, max_words: int | None = None
) -> Iterator[Prompt]:
    """Yield the pack's evaluation instructions with their reference responses.

    Args:
        wanted: Language tags.
        limit: At most this many ids, the first of the file, the same in each language.
        max_words: As in `select`.
    """
    count: dict[str, int] = {}
    for entry in select(wanted, split="eval", max_words=max_words):
        count[entry.language] = count.get(entry.language, 0) + 1
        if limit is None or count[entry.language] <= limit:
            yield Prompt(
                id=entry.id,
                language=entry.language,
                messages=entry.turns[:-1],
                reference=entry.turns[-1].content,
                category=entry.category,
            )


def to_example(entry: PackEntry) -> Example:
    """Return an entry as an example to tune on."""
    return Example(
        id=entry.id, language=entry.language, messages=entry.turns, source="pinch-pack", category=entry.category
    )


def find(identifier: str) -> dict[str, PackEntry]:
    """Return language -> entry for one id.

    Raises:
        PinchError: the pack has no such id; suggests the nearest.
    """
    found = {tag: entry for tag in tags() for entry in entries(tag) if entry.id == identifier}
    if not found:
        known = [entry.id for entry in entries("en")]
        near = did_you_mean(identifier, known).split(" Allowed:")[0]
        hint = near if near.startswith("Did") else "`pinch pack list --ids` prints all ids."
        raise PinchError(f"The pinch pack has no conversation with the id {identifier!r}.", hint=hint)
    return found
