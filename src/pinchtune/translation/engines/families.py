"""What family a local translation model is of, and so how it is told the languages.

- NLLB-200 (https://arxiv.org/abs/2207.04672): the source's FLORES code leads the text, the target's leads the output.
- MADLAD-400 (https://huggingface.co/google/madlad400-3b-mt), a T5: `<2fi> text`.
- OPUS-MT (https://github.com/Helsinki-NLP/Opus-MT), a Marian: one pair, or targets told apart by `>>fin<< text`.

The family is seen in the tokenizer's vocabulary, so that a folder converted to CTranslate2, which has no transformers
configuration any more, is recognised too.
"""

from __future__ import annotations

import re
from typing import Any

from pinchtune import languages
from pinchtune.errors import ModelError
from pinchtune.translation.engines import codes

_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_PLAIN_NAME = re.compile(r"opus-(?:mt|tatoeba)-(?:tc-)?(?:bible-)?(?:big-|base-|tiny-)?(\w+)-(\w+)$", re.IGNORECASE)
#: Members of the groups that OPUS-MT models are named after (ISO 639-5: https://www.loc.gov/standards/iso639-5/).
_GROUPS = {
    "zle": "be ru uk",
    "zls": "bg bs hr mk sl sr",
    "zlw": "cs pl sk",
    "sla": "be bg bs cs hr mk pl ru sk sl sr uk",
    "gmq": "da fo is nb nn no sv",
    "gmw": "af de en fy lb nl yi",
    "gem": "af da de en fo fy is lb nb nl nn no sv yi",
    "itc": "ast ca es fr gl it la oc pt ro",
    "roa": "ast ca es fr gl it oc pt ro",
    "romance": "ast ca es fr gl it oc pt ro",
    "bat": "lt lv",
    "fiu": "et fi hu",
    "urj": "et fi hu",
    "sem": "am ar he mt",
    "bnt": "lg ln ny rn rw sn st sw tn ts xh zu",
    "trk": "az ba kk ky tk tr tt ug uz",
}


class Family:
    """How models of one family are told languages; made by `recognise`.

    Args:
        tokenizer: The model's.
        positions: Most tokens that the model reads or writes.
    """

    kind = ""

    def __init__(self, tokenizer: Any, positions: int) -> None:
        self.tokenizer = tokenizer
        self.positions = positions
        self.end = int(tokenizer.eos_token_id)
        self._vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._has_bytes = "<0x41>" in self._vocabulary

    def supports(self, source: str, target: str) -> bool:
        """Return whether the model knows both languages as two."""
        codes_of_both = self.code(source), self.code(target)
        return None not in codes_of_both and codes_of_both[0] != codes_of_both[1]

    def code(self, tag: str) -> str | None:
        """Return the token that stands for a language, or None."""
        raise NotImplementedError

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """Return the model's input for a text, with all that tells the languages."""
        raise NotImplementedError

    def forced(self, target: str) -> list[int]:
        """Return the tokens that the output has to begin with."""
        del target
        return []

    def decode(self, ids: list[int]) -> str:
        """Return the text of an output."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        # The byte pieces of a vocabulary, which not every tokenizer puts together.
        if self._has_bytes:
            text = _BYTES.sub(_from_byte_pieces, text)
        return text.strip()

    def _pieces(self, text: str) -> list[int]:
        """Return a text's tokens and no other; what the text holds of special tokens is text."""
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        # transformers 5 gives T5 tokenizers 2 as the unknown token, which is MADLAD's end; no text holds an end.
        return [self.tokenizer.unk_token_id if token == self.end else int(token) for token in ids]


class Nllb(Family):
    """NLLB-200: the source's code, the text, the end; the output begins with the target's code."""

    kind = "nllb"

    def code(self, tag: str) -> str | None:
        """Return the FLORES code, where the model has it."""
        code = codes.flores(tag)
        return code if code in self._vocabulary else None

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """As the tokenizer does with `src_lang` set, without setting it: threads share the tokenizer."""
        del target
        return [self._vocabulary[str(self.code(source))], *self._pieces(text), self.end]

    def forced(self, target: str) -> list[int]:
        """Return the target's code."""
        return [self._vocabulary[str(self.code(target))]]


class Madlad(Family):
    """MADLAD-400: the target's code leads the text; the source is not told."""

    kind = "madlad"

    def code(self, tag: str) -> str | None:
        """Return a token such as «<2fi>», where the model has it."""
        spelled = (f"<2{name}>" for name in sorted(codes.spellings(tag), key=len))
        return next((token for token in spelled if token in self._vocabulary), None)

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """As the model's card does."""
        del source
        return [*self._pieces(f"{self.code(target)} {text}"), self.end]


class Marian(Family):
    """OPUS-MT: one pair, or several targets, each with a token such as «>>fin<<» that leads the text.

    Args:
        tokenizer: The model's.
        positions: Most tokens that the model reads or writes.
        source: What its makers call the source side: a language, or a group of them.
        target: The same of the target side.
    """

    kind = "marian"

    def __init__(self, tokenizer: Any, positions: int, *, source: str, target: str) -> None:
        super().__init__(tokenizer, positions)
        self.sides = (source, target)
        self._tokens = {token[2:-2].casefold(): token for token in tokenizer.supported_language_codes}

    def supports(self, source: str, target: str) -> bool:
        """Return whether the sides are of these languages."""
        two = codes.flores(source) != codes.flores(target)
        return two and _speaks(self.sides[0], source) and self.code(target) is not None

    def code(self, tag: str) -> str | None:
        """Return the target's token; "" where the model has one target and needs none."""
        if self._tokens:
            return next((self._tokens[n] for n in map(str.casefold, codes.spellings(tag)) if n in self._tokens), None)
        return "" if _speaks(self.sides[1], tag) else None

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """Return the text's tokens, led by the target's."""
        del source
        token = self.code(target)
        # The space keeps the tokenizer from taking a text such as «>> a << b» for a language and dropping it.
        return [*([self._vocabulary[token]] if token else []), *self._pieces(f" {text}"), self.end]


def _from_byte_pieces(run: re.Match[str]) -> str:
    return bytes.fromhex(re.sub(r"<0x|>", "", run.group())).decode(errors="replace")


def _speaks(side: str, tag: str) -> bool:
    """Return whether a side of an OPUS-MT model's name ("fi", "fin", "zls", "deu_eng_fra", "mul") is of a language."""
    base = languages.parse(tag).base
    names = {name.casefold() for name in codes.spellings(base)}
    for part in side.casefold().split("_"):
        if part == "mul" or part in names or base in _GROUPS.get(part, "").split():
            return True
    return False


def recognise(
    tokenizer: Any, name: str, *, positions: int | None = None, source: str | None = None, target: str | None = None
) -> Family:
    """Return the family that a tokenizer shows a model to be of.

    Args:
        tokenizer: The model's.
        name: The model's folder or name; an OPUS-MT model's languages are in it.
        positions: Most tokens that the model reads or writes, where its configuration says so.
        source: An OPUS-MT model's source side, where neither its name nor its tokenizer says it.
        target: Its target side.

    Raises:
        ModelError: of no family we know, or an OPUS-MT model that does not say its languages.
    """
    vocabulary = tokenizer.get_vocab()
    if hasattr(tokenizer, "supported_language_codes"):
        named = _PLAIN_NAME.search(name.rstrip("/"))
        sides = (
            source or (named[1] if named else tokenizer.source_lang),
            target or (named[2] if named else tokenizer.target_lang),
        )
        if not all(sides):
            raise ModelError(
                f"The OPUS-MT model {name} does not say which languages it is for.",
                hint='Give the settings source and target, such as source="en", target="fi".',
            )
        return Marian(tokenizer, positions or 512, source=sides[0], target=sides[1])
    if "eng_Latn" in vocabulary:
        return Nllb(tokenizer, positions or 1024)
    if "<2en>" in vocabulary:
        return Madlad(tokenizer, positions or 512)
    raise ModelError(
        f"{name} is not a translation model of a family we know.",
        hint="Known are NLLB-200, MADLAD-400 and OPUS-MT (Marian). For an instruction-tuned model, use --engine llm.",
    )
