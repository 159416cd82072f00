"""Keeping a result: the folder it is made in, the key it is made for, and the manifest that says it is whole.

A folder without manifest is unfinished work of the key in its `.key` file, and is gone on with if that is still the key
wanted. A folder that no step made is never touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.errors import PinchError

RECORDS = "records.jsonl"
FAILURES = "failures.jsonl"
OUTCOMES = "outcomes.jsonl"
_MARKER = ".key"
#: Reasons of failures that the next run may not meet.
PASSING = {"rate_limited", "server_error", "timeout", "connection", "unreadable", "wrong_count", "program_failed"}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's manifest says of its work."""

    n_in: int = 0
    n_out: int = 0
    failed: dict[str, int] = {}
    notes: dict[str, Any] = {}
    #: What this run did of it, and another will not (calls, cache hits, money): told, and not kept.
    spent: dict[str, Any] = {}
    #: Distributions whose versions matter to the result.
    libraries: tuple[str, ...] = ()


def is_kept(target: Path, key: str) -> bool:
    """Return whether `target` holds the whole result of `key`."""
    manifest = store.read_manifest(target)
    return manifest is not None and manifest.key == key


def holds_other(target: Path, key: str) -> bool:
    """Return whether `target` holds a result, whole or not, of another key."""
    manifest = store.read_manifest(target)
    if manifest is not None:
        return manifest.key != key
    marker = target / _MARKER
    return marker.is_file() and marker.read_text() != key


def keep(target: Path, draft: store.Manifest, work: Callable[[], Result]) -> store.Manifest:
    """Do a step's work in `target` and write its manifest last.

    Args:
        target: The step's folder; unfinished work of the same key in it is gone on with, other results are replaced.
        draft: The manifest as far as it is known before the work.
        work: Writes into `target`, and says what came of it.

    Raises:
        RunError: the disk refused.
        PinchError: `target` holds something that is not a step's, or the work's own error.
    """
    with store.disk_errors(target):
        _prepare(target, draft.key)
        try:
            result = work()
        except BaseException:
            if [path.name for path in target.iterdir()] == [_MARKER]:
                shutil.rmtree(target)  # nothing was begun that could be gone on with
            raise
    manifest = msgspec.structs.replace(
        draft,
        n_in=result.n_in,
        n_out=result.n_out,
        failed=result.failed,
        seeds={"seed": draft.settings["seed"]} if "seed" in draft.settings else {},
        libraries=dict(store.library_versions(*result.libraries)),
        notes=result.notes,
    )
    store.write_json(target / "manifest.json", manifest)
    (target / _MARKER).unlink()
    return manifest


def _prepare(target: Path, key: str) -> None:
    marker = target / _MARKER
    manifest = target / "manifest.json"
    if target.exists() and not target.is_dir():
        raise PinchError(f"{target} is a file; a folder is written there.", hint="Choose another --output.")
    if target.exists() and any(target.iterdir()):
        if not (marker.is_file() or manifest.is_file()):
            raise PinchError(
                f"{target} is not empty, and nothing in it says that pinch made it: it is left as it is.",
                hint="Choose another --output, or empty the folder yourself.",
            )
        # A whole result of the same key is here again for what failed in it and may succeed now.
        if not (marker.is_file() and marker.read_text() == key) and not is_kept(target, key):
            shutil.rmtree(target)
    target.mkdir(parents=True, exist_ok=True)
    for torn in target.glob(".*.partial"):  # what a killed run was writing
        shutil.rmtree(torn) if torn.is_dir() else torn.unlink()
    manifest.unlink(missing_ok=True)
    marker.write_text(key)
