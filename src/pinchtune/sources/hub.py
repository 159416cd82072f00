"""Any data set of the Hugging Face Hub, streamed: a row is read when it is asked for, and no more than one is kept.

    from pinchtune.sources.named import open_source
    open_source("hub:owner/name", columns={"prompt": "question", "completion": "answer"}, language="en")

Streaming is `datasets.load_dataset(..., streaming=True)` (https://huggingface.co/docs/datasets/stream).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pinchtune import plugins
from pinchtune.errors import DataError, PinchError, did_you_mean
from pinchtune.records import Example
from pinchtune.sources.rows import Rows, Source, make_example
from pinchtune.sources.shapes import SHAPES

#: The keys of our shapes, to which columns can be mapped.
KEYS = (
    *("messages", "conversations", "prompt", "completion", "instruction", "input", "output"),
    *("id", "language", "category"),
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: Errors of huggingface_hub whose first line is a number alone ("404 Client Error").
_MEANINGS = {
    "RepositoryNotFoundError": "there is no data set of that name, or not for everyone",
    "RevisionNotFoundError": "it has no such revision",
    "GatedRepoError": "its licence must be accepted first",
}


def resolve(source: Source) -> Source:
    """Return the source with the commit that its revision names now, and the card's licence where we know none.

    Raises:
        PinchError: no such data set or revision, no access to it, or no Hub; says how to get at it.
        MissingExtraError: `datasets` is not installed.
    """
    if source.revision is None or _COMMIT.fullmatch(source.revision):
        return source
    plugins.require("datasets", "The Hugging Face Hub")  # which brings huggingface_hub
    from huggingface_hub import HfApi

    with _hub_errors(source):
        info = HfApi().dataset_info(source.name, revision=source.revision)
    licence = source.licence or getattr(info.card_data, "license", None) or ""
    return msgspec.structs.replace(
        source,
        revision=str(info.sha),
        licence=licence if isinstance(licence, str) else ", ".join(map(str, licence)),
        gated=source.gated or bool(info.gated),
    )


def stream(source: Source) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (number from 1, row) of one split, reading as it goes.

    Raises:
        PinchError: no such data set, split or configuration, no access to it, or no Hub; says how to get at it.
        MissingExtraError: `datasets` is not installed.
    """
    datasets = plugins.require("datasets", "The Hugging Face Hub")
    asked: dict[str, Any] = {"path": source.name, "name": source.config, "revision": source.revision}
    if source.files:
        if source.split not in source.files:
            raise PinchError(
                f"{source.name} has no split named {source.split!r}.", hint=did_you_mean(source.split, source.files)
            )
        file = f"hf://datasets/{source.name}@{source.revision}/{source.files[source.split]}"
        asked = {"path": "json", "data_files": {source.split: file}}
    with _hub_errors(source):
        rows = iter(datasets.load_dataset(**asked, split=source.split, streaming=True))
    number = 0
    while True:
        with _hub_errors(source):
            row = next(rows, None)
        if row is None:
            return
        number += 1
        yield number, row


def read(
    rows: Rows,
    *,
    source: Source,
    place: object = None,
    columns: Mapping[str, str] | None = None,
    language: str | None = None,
) -> Iterator[Example]:
    """Yield the rows of any data set as examples.

    Args:
        rows: The rows with their numbers.
        source: The data set.
        place: Where the rows are read from, for messages; the data set's name by default.
        columns: Key of one of our shapes -> the column that holds it; other columns are not looked at. Without it,
            rows must have one of the shapes as they are.
        language: The language of rows that name none.

    Raises:
        PinchError: `columns` maps to a key that no shape has.
        DataError: a row without a mapped column, or that is no conversation.
    """
    for key in columns or ():
        if key not in KEYS:
            raise PinchError(f"No column can be mapped to {key!r}.", hint=did_you_mean(key, KEYS))
    return _read(rows, source, source.name if place is None else place, columns, language)


def _read(
    rows: Rows, source: Source, place: object, columns: Mapping[str, str] | None, language: str | None
) -> Iterator[Example]:
    hint = f"A row has one of these shapes, or `columns` maps one to it: {SHAPES}"
    for number, row in rows:
        for column in (columns or {}).values():
            if column not in row:
                raise DataError(place, number, f"there is no column {column!r}.", hint=did_you_mean(column, row))
        shaped = {key: row[column] for key, column in columns.items()} if columns else row
        yield make_example(shaped, language=language, source=source, place=place, number=number, hint=hint)


@contextlib.contextmanager
def _hub_errors(source: Source) -> Iterator[None]:
    """Turn what the Hub's libraries raise into a sentence; only their calls stand in this block.

    Their errors have no common base, and that of a connection that fails belongs to the HTTP client of the day.
    """
    try:
        yield
    except Exception as error:
        said = _MEANINGS.get(type(error).__name__) or str(error).strip().split("\n")[0].rstrip(".")[:300]
        what = f"{source.name} (revision {source.revision}, split {source.split}) could not be read from the Hub"
        access = f"Accept the licence on {source.page}, then `hf auth login`."
        if isinstance(error, ValueError) and not isinstance(error, OSError):  # no such split, or no name of a data set
            access = f"Check its name, splits and configurations on {source.page}."
        raise PinchError(
            f"{what}: {said or type(error).__name__}.",
            hint=f"{access} Where the Hub cannot be reached, copy the data here and give the file (`path`).",
        ) from error
