"""To and from `datasets.Dataset`, for those who have one already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pinchtune import plugins
from pinchtune.errors import DataError
from pinchtune.records import Example, Record
from pinchtune.sources.files import Loaded
from pinchtune.sources.shapes import SHAPES, ShapeError, to_example


def from_dataset(dataset: Any, *, language: str | None = None, source: str = "dataset") -> Loaded:
    """Read a `datasets.Dataset` (or any iterable of rows) in any of the field's shapes.

    Raises:
        DataError: a row that is no conversation; names its number from 1.
    """
    kept: dict[tuple[str, str], Example] = {}
    rows = 0
    for rows, row in enumerate(dataset, 1):
        try:
            example = to_example(row, language=language, source=source)
        except ShapeError as error:
            raise DataError(source, rows, f"{error}.", hint=f"A row has one of these shapes: {SHAPES}") from None
        kept.setdefault((example.id, example.language), example)
    return Loaded(tuple(kept.values()), rows - len(kept))


def to_dataset(records: Iterable[Record]) -> Any:
    """Return records as a `datasets.Dataset`, one column per field, `messages` in the conversational format.

    Raises:
        MissingExtraError: `datasets` is not installed.
    """
    datasets = plugins.require("datasets", "datasets.Dataset")
    rows = [msgspec.to_builtins(record) | record.to_dict() for record in records]
    return datasets.Dataset.from_list(rows)
