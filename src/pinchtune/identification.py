"""Which language is a text in? Two identifiers, restricted to likely languages; either may vouch for the expected one.

Rule and accuracies: with candidates restricted to 17 languages, accepting a text where either lingua or py3langid names
the expected language raises no false alarm in 16 of them and 3.2% in Czech, and lets 0.07% of wrong-language sentences
pass (250 sentences per language of lingua-py's test files; docs/language-fidelity.md). Serbian in Latin script is taken
for Croatian by both, hence the accepted relatives below.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from pinchtune import languages

#: Always among the candidates: the paper's twelve, its Slavic seven, and Bosnian, which stands in for hr and sr.
CANDIDATES = tuple(sorted({*languages.PAPER, *languages.SLAVIC, "bs"}))
#: Languages that identifiers cannot tell from the expected one, or name differently.
RELATIVES = {
    "sr": {"hr", "bs", "sh"},
    "hr": {"bs", "sh"},
    "bs": {"hr", "sr", "sh"},
    "nb": {"no", "nn"},
    "nn": {"no", "nb"},
    "no": {"nb", "nn"},
}
MIN_LETTERS = 20
MIN_WORDS = 3
#: Texts from which on walking through all of them at once is faster than through one after the other.
MANY = 16

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
# An address of mail is looked for where a word begins only: a page without spaces would else cost its length squared.
_URL = re.compile(r"(?:https?://|www\.)\S+|(?<!\S)\S+@\S+\.\w+")
# Scripts written without spaces: a character carries about as much as three letters of an alphabet.
_DENSE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "KHMER", "LAO", "MYANMAR")
_FLOOR = np.finfo(np.float32).min
# First word of a character's Unicode name -> ISO 15924.
_SCRIPTS = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GURMUKHI": "Guru",
    "GUJARATI": "Gujr",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "SINHALA": "Sinh",
    "THAI": "Thai",
    "LAO": "Laoo",
    "KHMER": "Khmr",
    "MYANMAR": "Mymr",
    "GEORGIAN": "Geor",
    "ARMENIAN": "Armn",
    "ETHIOPIC": "Ethi",
    "HANGUL": "Kore",
    "HIRAGANA": "Jpan",
    "KATAKANA": "Jpan",
    "CJK": "Hani",
}


class Identification(msgspec.Struct, frozen=True):
    """What the identifiers said of one text."""

    #: Whether the text is in the expected language; None where it cannot be told.
    expected: bool | None
    #: The language found, the expected one where either identifier names it.
    found: str | None
    #: Why it cannot be told: "too_short" or "unsupported_language".
    reason: str | None = None


def strip_unspoken(text: str, *, prompt: str = "") -> str:
    """Remove what says nothing of the writer's language: code, addresses, and lines quoted from the prompt."""
    if "`" in text:
        text = _INLINE_CODE.sub(" ", _FENCED.sub(" ", text))
    if "@" in text or "://" in text or "www." in text:
        text = _URL.sub(" ", text)
    for line in prompt.splitlines():
        quoted = line.strip()
        if len(quoted) >= MIN_LETTERS:
            text = text.replace(quoted, " ")
    return text


def long_enough(text: str) -> bool:
    """Return whether a stripped text has letters and words enough to tell its language."""
    # Words enough settle it whichever the script, and mostly the first letters; only then need all be looked at.
    if len(text.split(None, MIN_WORDS)) >= MIN_WORDS and (
        sum(map(str.isalpha, text[: 3 * MIN_LETTERS])) >= MIN_LETTERS or sum(map(str.isalpha, text)) >= MIN_LETTERS
    ):
        return True
    if text.isascii():
        return False
    letters, dense = count_letters(text)
    return 2 * dense > letters and 3 * letters >= MIN_LETTERS


def count_letters(text: str) -> tuple[int, int]:
    """Return how many letters a text has, and how many of them are of scripts written without spaces."""
    counts = [(character, n) for character, n in Counter(text).items() if character.isalpha()]
    return sum(n for _, n in counts), sum(n for character, n in counts if _is_dense(character))


def script_of(text: str) -> str | None:
    """Return the ISO 15924 code of the script that most letters are in; None without letters of a script we know.

    Han characters are "Hans" or "Hant" as more of them are in GB 2312 and not in Big5, or the other way round (the
    national standards of the simplified and the traditional set); "Hani" where that is even.
    """
    found: Counter[str] = Counter()
    variants: Counter[str] = Counter()
    for character in set(text):
        script = _script(character)
        if script is None:
            continue
        n = text.count(character)
        found[script] += n
        if script == "Hani":
            variants[_variant(character)] += n
    if not found:
        return None
    script = max(found, key=lambda one: (found[one], one))
    if script != "Hani":
        return script
    if 10 * found["Jpan"] >= found["Hani"]:
        return "Jpan"  # kana between the Han characters, more than a borrowed one
    return "Hani" if variants["Hans"] == variants["Hant"] else max(("Hans", "Hant"), key=variants.__getitem__)


@functools.lru_cache(maxsize=1 << 16)
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    return _SCRIPTS.get(unicodedata.name(character, "").split(" ")[0])


@functools.lru_cache(maxsize=1 << 16)
def _variant(character: str) -> str:
    simplified, traditional = (_encodes(character, codec) for codec in ("gb2312", "big5"))
    return "Hani" if simplified == traditional else "Hans" if simplified else "Hant"


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


@functools.lru_cache(maxsize=1 << 16)
def _is_dense(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_DENSE)


class Identifier:
    """Language identification among likely candidates.

    Args:
        extra: Tags of languages that may also occur, besides `CANDIDATES`.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.candidates = tuple(sorted({*CANDIDATES, *(languages.parse(tag).base for tag in extra)}))
        self._lingua, lingua_knows = _lingua(self.candidates)
        self._langid, langid_knows = _langid(self.candidates)
        self.known = lingua_knows | langid_knows

    def check(self, text: str, expected: str, *, prompt: str = "") -> Identification:
        """Say whether `text` is in the language `expected`.

        Args:
            text: What a model or a person wrote.
            expected: The tag wanted.
            prompt: The instruction; lines quoted from it are left out.
        """
        return self.check_spoken(strip_unspoken(text, prompt=prompt), expected)

    def check_spoken(
        self,
        spoken: str,
        expected: str,
        *,
        whole: Identification | None = None,
        names: Mapping[str, str] = {},
    ) -> Identification:
        """Say whether a text, or a part of one, is in the language `expected`, all of it counting.

        Args:
            spoken: What `strip_unspoken` left, or a part of it.
            expected: The tag wanted.
            whole: Of a part, what was said of the whole text: where that is in another language, which py3langid names
                for the part too, lingua (several times slower) is not asked again.
            names: What `name_all` said of texts that are long enough; those not among them are looked at here.
        """
        base = languages.parse(expected).base
        if base not in self.known:
            return Identification(None, None, "unsupported_language")
        first = names.get(spoken)
        if first is None and not long_enough(spoken):
            return Identification(None, None, "too_short")
        accepted = {base} | RELATIVES.get(base, set())
        first = first or self._name_by_langid(spoken)
        if first in accepted:
            return Identification(True, base)
        if whole is not None and whole.expected is False and whole.found == first:
            return Identification(False, first)
        second = self._name_by_lingua(spoken)
        if second in accepted:
            return Identification(True, base)
        return Identification(False, second or first)

    def name_all(self, texts: Iterable[str]) -> dict[str, str]:
        """Return py3langid's language of each text: what it says of one after the other, several times faster."""
        different = list(dict.fromkeys(texts))
        return dict(zip(different, _walk(self.candidates).names(different), strict=True))

    def _name_by_langid(self, text: str) -> str:
        return str(self._langid.classify(text)[0])

    def _name_by_lingua(self, text: str) -> str | None:
        found = self._lingua.detect_language_of(text)
        return None if found is None else str(found.iso_code_639_1.name).lower()


@functools.lru_cache(maxsize=4)
def _lingua(candidates: tuple[str, ...]) -> tuple[Any, frozenset[str]]:
    from lingua import Language, LanguageDetectorBuilder

    by_tag = {language.iso_code_639_1.name.lower(): language for language in Language.all()}
    known = [by_tag[tag] for tag in candidates if tag in by_tag]
    return LanguageDetectorBuilder.from_languages(*known).build(), frozenset(by_tag) & set(candidates)


@functools.lru_cache(maxsize=4)
def _langid(candidates: tuple[str, ...]) -> tuple[Any, frozenset[str]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    known = sorted(set(candidates) & set(identifier.labels))
    identifier.set_languages(known)
    # The file keeps half-precision numbers, which every text would convert anew; the sums are the same.
    identifier.nb_ptc = np.ascontiguousarray(identifier.nb_ptc, dtype=np.float32)
    return identifier, frozenset(known)


@functools.lru_cache(maxsize=4)
def _walk(candidates: tuple[str, ...]) -> _Walk:
    return _Walk(_langid(candidates)[0])


class _Walk:
    """py3langid's naming of many texts at once, with the sums of its `classify`.

    Its automaton takes a step for each byte, in Python. Here a step is taken in all texts, the longest first, so that
    those that are left stay together; the last bytes of the longest `MANY` - 1, where few are left, do not pay.
    """

    def __init__(self, identifier: Any) -> None:
        self._one = identifier
        self._next_state = np.frombuffer(identifier.tk_nextmove, dtype=f"u{identifier.tk_nextmove.itemsize}")
        row = np.frombuffer(identifier.tk_row, dtype=f"u{identifier.tk_row.itemsize}")
        self._row = row.astype(np.int32) << 8
        self._feature_of = np.asarray(identifier.tk_output, dtype=np.int32)

    def names(self, texts: Sequence[str]) -> list[str]:
        """Return what `classify` names for each text."""
        encoded = [_encode(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda place: -len(encoded[place]))
        longest = len(encoded[order[MANY - 1]]) if len(order) >= MANY else 0
        together = [place for place in order if 0 < len(encoded[place]) <= longest]
        named: dict[int, str] = {}
        if together:
            best = self._scores([encoded[place] for place in together]).argmax(axis=1)
            named = {place: str(self._one.nb_classes[one]) for place, one in zip(together, best, strict=True)}
        return [named.get(place) or str(self._one.classify(text)[0]) for place, text in enumerate(texts)]

    def _features(self, encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return the features met as two arrays, of texts and of features; `encoded` has the longest text first."""
        letters = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        lengths = np.array([len(one) for one in encoded])
        at = np.cumsum(lengths) - lengths
        n_left = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
        state = np.zeros(len(encoded), dtype=np.uint32)
        texts, features = [], []
        for step, n in enumerate(n_left.tolist()):
            state = self._next_state[self._row[state[:n]] + letters[at[:n] + step]]
            met = self._feature_of[state]
            (hit,) = (met >= 0).nonzero()
            texts.append(hit)
            features.append(met[hit])
        return np.concatenate(texts), np.concatenate(features)

    def _scores(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Return texts x classes: sums of log(1 + count) times a feature's weight."""
        one = self._one
        texts, features = self._features(encoded)
        n_features = len(one.nb_ptc)
        pairs, counts = np.unique(texts * n_features + features, return_counts=True)
        text, feature = np.divmod(pairs, n_features)
        weighted = np.log1p(counts.astype(np.float32))[:, None] * one.nb_ptc[feature]
        # Without any feature all classes are even, and the first is named, as py3langid does.
        scores = np.full((len(encoded), len(one.nb_classes)), _FLOOR)
        present, starts = np.unique(text, return_index=True)
        if len(present):
            scores[present] = np.add.reduceat(weighted, starts, axis=0) + one.nb_pc
        # A class that stands under two labels counts once, with its better score.
        for first, again in one._alias_pairs:
            scores[:, first] = np.maximum(scores[:, first], scores[:, again])
            scores[:, again] = _FLOOR
        return scores


def _encode(text: str) -> bytes:
    # As py3langid does before it walks.
    if text.isupper():
        text = text.lower()
    return unicodedata.normalize("NFC", text).encode("utf8", errors="surrogatepass")
