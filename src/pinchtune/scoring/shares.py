"""A user's table of how much of a base model's pretraining each language was.

Model cards and papers give such tables (documents or tokens per language); none is shipped, because no two count the
same. The paper's own table, PaLM 2's, is not public (Shaham et al. 2024, arXiv 2401.01854, Fig. 8).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinchtune import languages
from pinchtune.errors import DataError, LanguageError

#: Line from 1, or None where the format does not tell; tag; share as written.
_Row = tuple[int | None, str, str]
_TAG_NAMES = ("tag", "language", "lang", "code")
_HINT = (
    'Give a CSV or TSV file with the columns tag and share, or JSON or YAML such as {"fi": 0.004, "ru": "2.1%"}; '
    "shares are fractions from 0 to 1, or percentages with a % sign."
)


def pretraining_shares(path: str | Path) -> dict[str, float]:
    """Read language -> share of pretraining, as fractions from 0 to 1, from a CSV, TSV, JSON or YAML file.

    Raises:
        DataError: no such file, another format, no such columns, something that is no tag or no share, a language given
            twice, or shares that add up to more than 1.
    """
    file = Path(path).expanduser()
    read = {".csv": _delimited, ".tsv": _delimited, ".json": _json, ".yaml": _yaml, ".yml": _yaml}.get(
        file.suffix.lower()
    )
    if read is None:
        raise DataError(
            file, None, f"A table of shares cannot be read from a {file.suffix or 'nameless'} file.", hint=_HINT
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(file, None, f"It cannot be read: {error}.", hint=_HINT) from None
    found: dict[str, float] = {}
    for line, given, share in read(file, text):
        tag = _tag(file, line, given)
        if tag in found:
            raise DataError(file, line, f"The language {tag} is given twice.", hint="Add its shares up.")
        found[tag] = _share(file, line, tag, share)
    if not found:
        raise DataError(file, None, "It holds no language.", hint=_HINT)
    total = math.fsum(found.values())
    if total > 1 + 1e-3:
        raise DataError(file, None, f"The shares add up to {total:.4g}, more than 1.", hint=_HINT)
    return found


def _tag(file: Path, line: int | None, given: str) -> str:
    try:
        return languages.parse(given.strip()).tag
    except LanguageError as error:
        raise DataError(file, line, error.message, hint=error.hint) from None


def _share(file: Path, line: int | None, tag: str, written: str) -> float:
    percent = written.strip().endswith("%")
    try:
        value = float(written.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    share = value / 100 if percent else value
    if not 0 <= share <= 1:
        raise DataError(file, line, f"The share of {tag} is {written!r}, which is no fraction from 0 to 1.", hint=_HINT)
    return share


def _delimited(file: Path, text: str) -> Iterator[_Row]:
    rows = csv.reader(text.splitlines(), delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
    header = [name.strip().lower() for name in next(rows, [])]
    tag = next((place for place, name in enumerate(header) if name in _TAG_NAMES), None)
    if tag is None or "share" not in header:
        raise DataError(file, 1, f"The columns are {', '.join(header) or 'none'}.", hint=_HINT)
    share = header.index("share")
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise DataError(
                file, rows.line_num, f"There are {len(row)} cells under {len(header)} columns.", hint="Quote commas."
            )
        yield rows.line_num, row[tag], row[share]


def _json(file: Path, text: str) -> Iterator[_Row]:
    try:
        # Pairs, not a dictionary: a language given twice must be seen.
        given: Any = json.loads(text, object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        raise DataError(file, error.lineno, f"It is not JSON: {error.msg}.", hint=_HINT) from None
    if not isinstance(given, _Pairs):
        raise DataError(file, None, "It holds no object of languages and shares.", hint=_HINT)
    for tag, share in given:
        if not isinstance(share, str):
            raise DataError(file, None, f"The share of {tag} is no number.", hint=_HINT)
        yield None, tag, share


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs."""


def _yaml(file: Path, text: str) -> Iterator[_Row]:
    import yaml

    try:
        # Nodes, not values: YAML takes the Norwegian tag "no" for false, and hides what is given twice.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise DataError(file, mark.line + 1 if mark else None, f"It is not YAML: {problem}.", hint=_HINT) from None
    if not isinstance(node, yaml.MappingNode):
        raise DataError(file, None, "It holds no mapping from languages to shares.", hint=_HINT)
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise DataError(file, line, "It is not a language and a share.", hint=_HINT)
        yield line, key.value, value.value
