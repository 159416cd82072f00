"""Instruction data in local files: JSON Lines, JSON, CSV and Parquet, in any of the field's shapes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import plugins, store
from pinchtune.errors import DataError
from pinchtune.records import Example, Prompt
from pinchtune.sources.shapes import SHAPES, ShapeError, to_example

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


class Loaded(msgspec.Struct, frozen=True):
    """What a source gave."""

    examples: tuple[Example, ...]
    #: Rows whose id, language and text were there already; left out.
    n_duplicates: int = 0


def load_examples(path: Path, *, language: str | None = None) -> Loaded:
    """Read a file of examples and count its duplicates.

    Args:
        path: A .jsonl, .json (one list), .csv or .parquet file.
        language: Tag for rows without a language of their own.

    Raises:
        DataError: an unreadable file or row, or an id used twice in a language for different texts.
    """
    kept: dict[tuple[str, str], Example] = {}
    duplicates = 0
    for place, example in iter_examples(path, language=language):
        before = kept.setdefault((example.id, example.language), example)
        if before is example:
            continue
        if before.messages != example.messages:
            raise DataError(
                path,
                place,
                f"the id {example.id!r} is used twice in {example.language} for different texts.",
                hint="An id names one content: give each conversation its own, or leave `id` out to have one made.",
            )
        duplicates += 1
    return Loaded(tuple(kept.values()), duplicates)


def iter_examples(path: Path, *, language: str | None = None) -> Iterator[tuple[int, Example]]:
    """Yield (line or item number from 1, example), streaming where the format allows.

    Raises:
        DataError: an unreadable file or row; names the line and what is allowed.
    """
    for place, row in iter_rows(path):
        try:
            yield place, to_example(row, language=language, source=path.stem)
        except ShapeError as error:
            raise DataError(path, place, f"{error}.", hint=f"A row has one of these shapes: {SHAPES}") from None


def iter_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line or item number from 1, row) of a file, by its suffix.

    Raises:
        DataError: an unknown suffix, a missing file, or a line that cannot be parsed.
    """
    readers = {".jsonl": _json_lines, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if not path.exists() and path.suffix not in readers:
        raise DataError(path, None, "there is no such file.", hint="Check the path.")
    if path.suffix not in readers:
        raise DataError(path, None, f"files ending in {path.suffix or 'nothing'!r} are not read.", hint=_allowed())
    if not path.is_file():
        raise DataError(path, None, "there is no such file.", hint="Check the path.")
    for place, row in readers[path.suffix](path):
        if not isinstance(row, Mapping):
            raise DataError(path, place, f"expected an object with keys, got {type(row).__name__}.", hint=_allowed())
        yield place, row


def _allowed() -> str:
    return f"Give one of {', '.join(SUFFIXES)}, each row an object in one of these shapes: {SHAPES}"


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(store.open_lines(path), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except RecursionError:
                raise DataError(path, number, "is nested too deep.", hint="Each line is one JSON object.") from None
            except ValueError as error:
                raise DataError(path, number, f"not JSON: {error}.", hint="Each line is one JSON object.") from None


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        value = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        hint = "The file is one JSON list of objects; one object a line is called .jsonl."
        raise DataError(path, error.lineno, f"not JSON: {error.msg}.", hint=hint) from None
    except UnicodeDecodeError as error:
        raise DataError(path, None, f"not UTF-8: {error}.", hint="Save it as UTF-8.") from None
    if not isinstance(value, list):
        raise DataError(path, None, f"expected a list of objects, got {type(value).__name__}.", hint=_allowed())
    yield from enumerate(value, 1)


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        path,
                        reader.line_num,
                        f"the header has {len(reader.fieldnames or ())} columns, this row has not.",
                        hint='Quote a text that holds a comma or a line break: "…".',
                    )
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(path, None, f"not CSV in UTF-8: {error}.", hint="Save it as UTF-8 with a header row.") from None


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    parquet = plugins.require("pyarrow.parquet", "Reading Parquet")
    arrow = plugins.require("pyarrow", "Reading Parquet")
    try:
        table = parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise DataError(path, None, f"not Parquet: {error}.", hint=_allowed()) from None
    number = 0
    for batch in table.iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield number, row


def examples_to_prompts(examples: Iterable[Example]) -> Iterator[Prompt]:
    """Turn examples into evaluation prompts: the last response becomes the reference."""
    for example in examples:
        yield Prompt(
            id=example.id,
            language=example.language,
            messages=example.prompt,
            reference=example.response,
            category=example.category,
        )


def load_prompts(path: Path, *, language: str | None = None) -> list[Prompt]:
    """Read evaluation instructions: `Prompt` records, or conversations whose last response becomes the reference.

    A row with an `instruction` (or `prompt`) alone is an instruction without reference.

    Raises:
        DataError: an unreadable row, or an (id, language) that is there twice.
    """
    prompts: dict[tuple[str, str], Prompt] = {}
    for place, row in iter_rows(path):
        try:
            prompt = _to_prompt(row, language=language, source=path.stem)
        except (ShapeError, msgspec.ValidationError) as error:
            raise DataError(path, place, f"{error}.", hint=f"A row has one of these shapes: {SHAPES}") from None
        if prompts.setdefault((prompt.id, prompt.language), prompt) is not prompt:
            raise DataError(path, place, f"{prompt.id!r} is asked twice in {prompt.language}.", hint="Leave one out.")
    return list(prompts.values())


def _to_prompt(row: Mapping[str, Any], *, language: str | None, source: str) -> Prompt:
    turns = row.get("messages")
    if turns and isinstance(turns[-1], Mapping) and turns[-1].get("role") == "user":
        return msgspec.convert(dict(row), Prompt)
    if row.get("output") is None and row.get("completion") is None and not turns and not row.get("conversations"):
        text = row.get("instruction") or row.get("prompt")
        asked = {key: row[key] for key in ("id", "language", "lang", "category") if key in row}
        made = to_example(
            asked | {"instruction": text, "input": row.get("input"), "output": "-"}, language=language, source=source
        )
        return Prompt(id=made.id, language=made.language, messages=made.prompt, category=made.category)
    return next(examples_to_prompts([to_example(row, language=language, source=source)]))
