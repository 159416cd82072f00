"""Conversations that do not survive translation: spelling and grammar exercises, rhymes, letter puzzles, wordplay.

Found by rules on the English instruction. A translated «correct the grammar» comes out correct before the model sees
it; a translated rhyme does not rhyme. The caller decides what becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pinchtune.records import Message

_RULES: tuple[tuple[str, str], ...] = (
    (
        "translation",
        r"\btranslat(?:e|ion|ing)\b.{0,80}\b(?:to|into|from|in|of)\b|\bhow do (?:you|i|we) say\b.{0,60}\bin [A-Z]",
    ),
    ("grammar", r"\b(?:grammar|grammatical(?:ly)?|punctuat\w+|proofread\w*|typos?|misspel\w+)\b"),
    ("spelling", r"\bspell(?:ing|ed|s)?\b(?! of cold| of magic)|\bcapitali[sz]\w+"),
    (
        "rhyme",
        r"\brhym(?:e|es|ed|ing)\b|\blimericks?\b|\bhaikus?\b|\biambic\b|\bsyllables?\b|\balliterat\w+|\bacrostic\w*",
    ),
    (
        "letters",
        r"\banagrams?\b|\bpalindromes?\b|\bscrabble\b|\bhangman\b|\bcrossword\b|\bletters? (?:in|of) the word\b"
        r"|\b(?:start|begin|end)(?:s|ing)? with the (?:letter|sound)\b|\bunscramble\b|\bvowels?\b|\bconsonants?\b",
    ),
    (
        "words",
        r"\bsynonyms?\b|\bantonyms?\b|\bhomophones?\b|\bhomonyms?\b|\bpuns?\b|\bword ?play\b|\btongue.twisters?\b",
    ),
    (
        "language",
        r"\b(?:past|present|future) (?:tense|perfect|participle)\b|\bplural of\b|\bpart of speech\b|\bpronounc\w+",
    ),
)
_COMPILED = tuple((reason, re.compile(pattern, re.IGNORECASE)) for reason, pattern in _RULES)


def why_untranslatable(messages: Sequence[Message]) -> str | None:
    """Return the reason code of the first rule that a user's turn meets, or None.

    Args:
        messages: A conversation in English.
    """
    for message in messages:
        if message.role != "user":
            continue
        for reason, pattern in _COMPILED:
            if pattern.search(message.content):
                return reason
    return None
