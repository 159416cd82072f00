"""Well-known data sets by name: `open_source("lima")`, from the Hugging Face Hub or from a copy of it here.

| name | records | what it is |
| --- | --- | --- |
| lima | Example | `pinchtune.sources.lima` |
| oasst, oasst2 | Example | `pinchtune.sources.oasst`, its first and second release |
| alpacafarm | Prompt | `pinchtune.sources.alpacafarm`; AlpacaEval's files, too |
| aya | Example | `pinchtune.sources.aya` |
| hub:owner/name | Example | `pinchtune.sources.hub`, any data set of the Hub |
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pinchtune.errors import PinchError, did_you_mean
from pinchtune.records import Example, Prompt
from pinchtune.sources import alpacafarm, aya, hub, lima, oasst
from pinchtune.sources.files import iter_rows
from pinchtune.sources.rows import Source

Reader = Callable[..., Iterator[Example | Prompt]]
_NAMED: dict[str, tuple[Source, Reader]] = {
    "lima": (lima.SOURCE, lima.read),
    "oasst": (oasst.SOURCE, oasst.read),
    "oasst2": (oasst.SOURCE_2, oasst.read),
    "alpacafarm": (alpacafarm.SOURCE, alpacafarm.read),
    "aya": (aya.SOURCE, aya.read),
}
_PREFIX = "hub:"


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A data set that can be read, once: iterate over it, or over `records`."""

    #: What it is, with the commit that is read; its `revision` is None for a local file.
    source: Source
    #: Made as they are asked for.
    records: Iterator[Example | Prompt]

    def __iter__(self) -> Iterator[Example | Prompt]:
        return self.records


def names() -> tuple[str, ...]:
    """Return the names that `open_source` takes; the last stands for every data set of the Hub."""
    return (*_NAMED, f"{_PREFIX}NAME")


def describe(name: str) -> Source:
    """Return what is known of a data set without asking the Hub: its page, licence, whether it is gated.

    Raises:
        PinchError: no such name; suggests the nearest.
    """
    return _find(name)[0]


def open_source(
    name: str,
    *,
    path: Path | None = None,
    revision: str | None = None,
    split: str | None = None,
    config: str | None = None,
    **options: Any,
) -> Opened:
    """Open a data set by name, to be read row by row.

    Args:
        name: lima, oasst, oasst2, alpacafarm, aya, or hub:owner/name.
        path: A copy of the data set here, in the schema it has on the Hub (.jsonl, .json or .parquet); the Hub is not
            asked then.
        revision: Branch, tag or commit on the Hub, instead of the data set's own.
        split: Split on the Hub, instead of the data set's own.
        config: Configuration on the Hub, for data sets with several.
        **options: What the data set's `read` takes: `single_turn` for lima, `without` for alpacafarm...

    Raises:
        PinchError: no such name or option, or the Hub gives no access; says what is allowed or what to type next.
        MissingExtraError: the library for the Hub or for Parquet is not installed.
        DataError: while records are read: a row that is not of this data set; names its place and what is wrong.
    """
    source, read = _find(name)
    reserved = {"rows", "place", "source"}
    allowed = [option for option in inspect.signature(read).parameters if option not in reserved]
    for option in options:
        if option not in allowed:
            raise PinchError(f"{name} has no option {option!r}.", hint=did_you_mean(option, allowed))
    of_hub = {"revision": revision, "split": split, "config": config}
    given = {key: value for key, value in of_hub.items() if value is not None}
    if path is not None:
        for key in given:
            raise PinchError(
                f"{name}: {key!r} is given with a path.",
                hint=f"Leave {key!r} out: it chooses what is read from the Hub.",
            )
        source = msgspec.structs.replace(source, revision=None)
        return Opened(source, read(iter_rows(Path(path)), source=source, place=path, **options))
    source = hub.resolve(msgspec.structs.replace(source, **given))
    return Opened(source, read(hub.stream(source), source=source, place=source.name, **options))


def _find(name: str) -> tuple[Source, Reader]:
    if name in _NAMED:
        return _NAMED[name]
    wanted = name.removeprefix(_PREFIX)
    if name.startswith(_PREFIX) and wanted:
        return Source(name=wanted), hub.read
    hint = did_you_mean(name, names())
    if "/" in name:
        hint = f"A data set of the Hub is named {_PREFIX}{wanted}. {hint}"
    raise PinchError(f"There is no data set named {name!r}.", hint=hint)
