"""What the loaders of well-known data sets share: the description of a data set, and a row made an example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pinchtune.errors import DataError, LanguageError
from pinchtune.languages import Language, parse
from pinchtune.records import Example, Record
from pinchtune.sources.shapes import ShapeError, to_example

#: (line or item number from 1, row), as `iter_rows` of `pinchtune.sources.files` and `stream` of `hub` give them.
Rows = Iterable[tuple[int, Mapping[str, Any]]]


class Source(Record, frozen=True, kw_only=True):
    """Where a data set is, in which version, and on what terms."""

    #: Owner and name on the Hugging Face Hub: "GAIR/lima".
    name: str
    #: In the words of its card; "" where the card was not read.
    licence: str = ""
    #: Whether the licence must be accepted, logged in, before the Hub gives a row.
    gated: bool = False
    #: Branch, tag or commit on the Hub; None for a local file.
    revision: str | None = "main"
    split: str = "train"
    #: The data set's configuration, where it has several.
    config: str | None = None
    #: Split -> JSON file, for repositories with a loading script, which `datasets` 4 and later refuse to run.
    files: dict[str, str] = {}

    @property
    def page(self) -> str:
        """Its page, where a licence is read and accepted."""
        return f"https://huggingface.co/datasets/{self.name}"


def make_example(
    row: Mapping[str, Any], *, language: str | None, source: Source, place: object, number: int, hint: str
) -> Example:
    """Make an example of a row in one of the field's shapes.

    Args:
        row: As `pinchtune.sources.shapes.to_example` takes it.
        language: The language of a row that names none.
        source: The data set, whose name the example keeps.
        place: The file or data set, for the message.
        number: Line or item number from 1, for the message.
        hint: What a row of this data set must hold.

    Raises:
        DataError: the row is no conversation.
    """
    try:
        return to_example(row, language=language, source=source.name)
    except ShapeError as error:
        raise DataError(place, number, f"{error}.", hint=hint) from None


def parse_wanted(languages: Sequence[str] | str | None) -> tuple[Language, ...] | None:
    """Return the languages asked for, or None for every language.

    Raises:
        LanguageError: for the first tag that cannot be used, or where none is given.
    """
    if languages is None:
        return None
    wanted = tuple(parse(tag) for tag in ([languages] if isinstance(languages, str) else languages))
    if not wanted:
        raise LanguageError("No language is asked for.", hint="Give tags such as en, fi, or None for all.")
    return wanted


def choose_language(tag: str, wanted: Sequence[Language] | None) -> str | None:
    """Return the tag under which a row is kept, or None where it is not wanted.

    A wanted "pt" takes rows in pt-BR and keeps them as "pt"; a wanted "zh" takes no zh-Hant, which is another script.

    Args:
        tag: The row's language.
        wanted: As `parse_wanted` returns them.

    Raises:
        LanguageError: `tag` is no language tag.
    """
    found = parse(tag)
    if wanted is None or any(one.tag == found.tag for one in wanted):
        return found.tag
    broader = {found.base, f"{found.base}-{found.script}"}
    return next((one.tag for one in wanted if one.tag in broader and one.script == found.script), None)
