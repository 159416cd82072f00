"""Translations paid for once: one SQLite file, shared by all runs and processes.

The key is a hash of the text, both languages, the engine, its version and its settings. Write-ahead logging lets
several processes read while one writes; a killed one leaves whole rows or none.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pinchtune import store
from pinchtune.errors import DataError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS translations (
    key TEXT PRIMARY KEY, engine TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID
"""


def default_path() -> Path:
    """Return where translations are kept unless told otherwise."""
    from pinchtune.models import cache_folder

    return cache_folder() / "translations.sqlite"


class TranslationCache:
    """Finished translations by key; safe with several threads and processes.

    Args:
        path: The file; made on first use.

    Raises:
        DataError: the file is not such a cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise DataError(path, None, "is a folder; the cache is a file.", hint="Give another --cache.")
        self._connection = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        try:
            _patiently(self._connection, "PRAGMA journal_mode=WAL")
            _patiently(self._connection, "PRAGMA synchronous=NORMAL")
            _patiently(self._connection, _SCHEMA)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DataError(path, None, f"is not a translation cache: {error}.", hint="Give another --cache.") from None

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Return key -> translation of those that are there."""
        found: dict[str, str] = {}
        with self._lock:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                # The marks are question marks alone; the keys are bound.
                query = f"SELECT key, text FROM translations WHERE key IN ({marks})"  # noqa: S608
                found.update(self._connection.execute(query, some))
        return found

    def put(self, rows: Iterable[tuple[str, str]], *, engine: str, source: str, target: str) -> None:
        """Keep (key, translation) pairs; they are on disk, safe from a killed process, when this returns."""
        values = [(key, engine, source, target, text) for key, text in rows]
        with self._lock, store.disk_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)", values)
            self._connection.execute("COMMIT")

    def counts(self) -> list[dict[str, Any]]:
        """Return how many translations each engine has for each pair."""
        query = "SELECT engine, source, target, COUNT(*), SUM(LENGTH(text)) FROM translations GROUP BY 1, 2, 3"
        names = ("engine", "source", "target", "translations", "characters")
        with self._lock:
            return [dict(zip(names, row, strict=True)) for row in self._connection.execute(query)]

    def clear(self, *, engine: str | None = None) -> int:
        """Forget an engine's translations, or all, and return how many."""
        with self._lock:
            where, values = ("WHERE engine = ?", (engine,)) if engine else ("", ())
            return self._connection.execute(f"DELETE FROM translations {where}", values).rowcount  # noqa: S608

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute, waiting for others: SQLite's own patience does not cover the change to write-ahead logging."""
    for attempt in range(400):
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 399:
                raise
            time.sleep(0.05)
        else:
            return


def segment_key(text: str, source: str, target: str, *, engine: str, version: str, context: str = "") -> str:
    """Return the key of one segment's translation.

    Args:
        text: The masked text.
        source: Tag translated from.
        target: Tag translated into.
        engine: Its name, which holds every setting that changes its translations.
        version: Of its model or service.
        context: What stood before the text, where the engine reads that.
    """
    return store.content_key([text, source, target, engine, version, context])
