"""One stage into one folder: skipped where its result is there, refused where another result is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.errors import PinchError
from pinchtune.study.graph import VERSIONS
from pinchtune.study.keep import PASSING, Result, holds_other, is_kept, keep

#: Told sentences that a user should read.
Note = Callable[[str], None]


class Kept(msgspec.Struct, frozen=True):
    """What a command has in its output folder."""

    folder: Path
    manifest: store.Manifest
    #: The result was there already.
    reused: bool
    #: What this run did of it: `Result.spent`.
    spent: dict[str, Any] = {}


def stage(
    kind: str,
    output: Path,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Any],
    do: Callable[[], Result],
    *,
    overwrite: bool,
    hashed: Mapping[str, str] | None = None,
) -> Kept:
    """Do a stage's work into `output`, unless it is there already.

    Args:
        kind: The kind of step.
        output: Its folder.
        settings: What determines the result, beside the inputs.
        inputs: Name -> records read.
        do: Writes into `output`, and says what came of it.
        overwrite: Replace another result.
        hashed: Name -> `store.content_key` of further inputs, which are too many to hold.

    Raises:
        PinchError: `output` holds another result.
    """
    keys = {name: store.content_key(records) for name, records in inputs.items()} | dict(hashed or {})
    keyed = {"kind": kind, "version": VERSIONS[kind], "settings": dict(settings), "inputs": keys}
    key = store.content_key(keyed)
    manifest = store.read_manifest(output)
    # A result with failures that may be gone the next time is made again; what was finished comes from the cache.
    if manifest is not None and is_kept(output, key) and not PASSING & manifest.failed.keys():
        return Kept(output, manifest, reused=True)
    if holds_other(output, key) and not overwrite:
        raise PinchError(
            f"{output} holds the result of other settings or other data.",
            hint="Choose another --output, or add --overwrite to replace it.",
        )
    draft = store.Manifest(
        key=key, step=output.name, kind=kind, version=VERSIONS[kind], settings=dict(settings), inputs=keys
    )
    spent: dict[str, Any] = {}

    def told() -> Result:
        result = do()
        spent.update(result.spent)
        return result

    return Kept(output, keep(output, draft, told), reused=False, spent=spent)
