"""The check of the pinch pack: what must hold of its files, found and listed; a test runs it.

Rules and bounds are those of docs/pack.md. A fault is something to mend; a remark is listed and allowed.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pinchtune import languages
from pinchtune.identification import Identifier, strip_unspoken
from pinchtune.sources import pack
from pinchtune.sources.pack import PackEntry

#: Character 8-grams that two conversations of one language may share, as a fraction of the shorter one's.
MAX_OVERLAP = 0.2
#: Letters of a language's turns that are in its script, at least, over all its turns.
MIN_SCRIPT = 0.97
#: Turns identified as the declared language, at least.
MIN_IDENTIFIED = 0.99
#: Bounds of a response's characters relative to English, by script class: dense scripts say more in a character.
RATIO = (0.4, 2.0)
DENSE_RATIO = (0.12, 1.0)
_DENSE = {"Hans", "Hant", "Jpan", "Kore", "Thai"}
_NUMBER = re.compile(r"\d+")
_CODE = re.compile(r"```.*?```", re.DOTALL)


class Checked(msgspec.Struct, frozen=True):
    """What the check found in one language."""

    language: str
    n_train: int
    n_eval: int
    #: Turns long enough to identify, and how many of them are in the declared language.
    n_turns: int
    n_identified: int
    #: Share of letters in the language's script.
    in_script: float
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def check(tags: Iterable[str] | None = None) -> list[Checked]:
    """Check the pack's languages (default: all) against English and against themselves."""
    english = {entry.id: entry for entry in pack.entries("en")}
    return [check_entries(tag, pack.entries(tag), english) for tag in (tags if tags is not None else pack.tags())]


def check_entries(tag: str, entries: Sequence[PackEntry], english: Mapping[str, PackEntry]) -> Checked:
    """Check one language.

    Args:
        tag: The language.
        entries: Its conversations.
        english: id -> English conversation.
    """
    own = {entry.id: entry for entry in entries}
    faults = list(_ids(entries, english))
    remarks: list[str] = []
    for entry in entries:
        if entry.id in english:
            faults += _against_english(entry, english[entry.id])
    faults += _near_duplicates(list(own.values()))
    n_turns, n_identified, unsure = _identify(tag, entries)
    if n_identified < MIN_IDENTIFIED * n_turns:
        faults.append(f"only {n_identified} of {n_turns} turns are identified as {tag}")
    remarks += unsure
    in_script = _script_share(tag, entries)
    if in_script < MIN_SCRIPT:
        faults.append(f"only {100 * in_script:.1f}% of letters are in {languages.parse(tag).script}")
    counts = Counter(entry.split for entry in entries)
    return Checked(
        tag, counts["train"], counts["eval"], n_turns, n_identified, in_script, tuple(faults), tuple(remarks)
    )


def _ids(entries: Sequence[PackEntry], english: Mapping[str, PackEntry]) -> Iterator[str]:
    for identifier, count in Counter(entry.id for entry in entries).items():
        if count > 1:
            yield f"{identifier}: is there {count} times"
    own = {entry.id for entry in entries}
    for missing in [identifier for identifier in english if identifier not in own]:
        yield f"{missing}: is missing"
    for unknown in sorted(own - set(english)):
        yield f"{unknown}: English has no such id"


def _against_english(entry: PackEntry, model: PackEntry) -> Iterator[str]:
    if (entry.split, entry.category) != (model.split, model.category):
        yield f"{entry.id}: is {entry.split} {entry.category}, in English {model.split} {model.category}"
    roles = [turn.role for turn in entry.turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) or len(roles) != len(model.turns):
        yield f"{entry.id}: its turns are {', '.join(roles)}; English has {len(model.turns)}"
        return
    if entry.language == "en" or entry.untranslatable:
        return
    low, high = DENSE_RATIO if languages.parse(entry.language).script in _DENSE else RATIO
    for place, (turn, other) in enumerate(zip(entry.turns, model.turns, strict=True), 1):
        where = f"{entry.id}, turn {place}"
        if not turn.content.strip():
            yield f"{where}: is empty"
            continue
        if _CODE.findall(turn.content) != _CODE.findall(other.content):
            yield f"{where}: code differs from English"
        numbers, wanted = (sorted(_NUMBER.findall(text)) for text in (turn.content, other.content))
        if numbers != wanted and not entry.numbers_differ:
            only = [f"{n} (not in English)" for n in (Counter(numbers) - Counter(wanted)).elements()]
            only += [f"{n} (in English)" for n in (Counter(wanted) - Counter(numbers)).elements()]
            yield f"{where}: numbers differ: {', '.join(only)}"
        if len(other.content) >= 80 and not low <= len(turn.content) / len(other.content) <= high:
            yield f"{where}: {len(turn.content)} characters, English has {len(other.content)}"
        yield from _left_untranslated(where, turn.content, other.content)


def _left_untranslated(where: str, text: str, english: str) -> Iterator[str]:
    lines = {line.strip() for line in _CODE.sub("", english).splitlines()}
    for line in _CODE.sub("", text).splitlines():
        letters = sum(character.isalpha() for character in strip_unspoken(line))
        if line.strip() in lines and letters >= 20:
            yield f"{where}: the line {line.strip()[:50]!r} is the English one"


def _near_duplicates(entries: Sequence[PackEntry]) -> Iterator[str]:
    grams = [_grams(" ".join(turn.content for turn in entry.turns)) for entry in entries]
    for (one, a), (other, b) in itertools.combinations(zip(entries, grams, strict=True), 2):
        # A set's size bounds an intersection, which is what costs.
        if a and b and len(a & b) > MAX_OVERLAP * min(len(a), len(b)):
            yield f"{one.id} and {other.id}: share {100 * len(a & b) / min(len(a), len(b)):.0f}% of their 8-grams"


def _grams(text: str) -> set[str]:
    folded = " ".join(_CODE.sub(" ", text).casefold().split())
    return {folded[start : start + 8] for start in range(len(folded) - 7)}


def _identify(tag: str, entries: Sequence[PackEntry]) -> tuple[int, int, list[str]]:
    identifier = Identifier([tag])
    told = right = 0
    unsure = []
    for entry in entries:
        for place, turn in enumerate(entry.turns, 1):
            found = identifier.check(turn.content, tag)
            if found.expected is None:
                continue
            told += 1
            right += found.expected
            if not found.expected:
                unsure.append(f"{entry.id}, turn {place}: identified as {found.found}")
    return told, right, unsure


def _script_share(tag: str, entries: Sequence[PackEntry]) -> float:
    script = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Arab": "ARABIC", "Hebr": "HEBREW", "Deva": "DEVANAGARI"}
    prefix = script.get(languages.parse(tag).script, "CJK")
    letters = [
        character
        for entry in entries
        for turn in entry.turns
        for character in strip_unspoken(turn.content)
        if character.isalpha()
    ]
    inside = sum(unicodedata.name(character, "").startswith(prefix) for character in letters)
    return inside / max(len(letters), 1)
