"""The pinch pack in the field's formats, for those who tune elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import plugins, store
from pinchtune.sources.pack import PackEntry


def write(entries: Sequence[PackEntry], path: Path, format_: str) -> int:
    """Write entries and return how many: single-exchange formats leave longer conversations out.

    Args:
        entries: What to write.
        path: The file.
        format_: "jsonl", "messages", "alpaca", "csv" or "parquet".

    Raises:
        RunError: the disk refused.
        MissingExtraError: Parquet without pyarrow.
    """
    if format_ == "jsonl":
        return store.write_records(path, entries)
    if format_ == "messages":
        rows = [_names(entry) | {"messages": msgspec.to_builtins(entry.turns)} for entry in entries]
    else:
        extra = {"input": ""} if format_ == "alpaca" else {}
        rows = [
            _names(entry) | {"instruction": entry.turns[0].content, **extra, "output": entry.turns[1].content}
            for entry in entries
            if len(entry.turns) == 2
        ]
    if format_ in ("messages", "alpaca"):
        store.write_text(path, "".join(store.encode_line(row).decode() for row in rows))
    elif format_ == "csv":
        store.write_text(path, _csv(rows))
    else:
        _parquet(rows, path)
    return len(rows)


def _names(entry: PackEntry) -> dict[str, Any]:
    return {"id": entry.id, "language": entry.language, "category": entry.category}


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["id", "language", "category", "instruction", "output"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    arrow = plugins.require("pyarrow", "Writing Parquet")
    parquet = plugins.require("pyarrow.parquet", "Writing Parquet")
    with store.atomic_file(path) as stream:
        parquet.write_table(arrow.Table.from_pylist(list(rows)), stream)
