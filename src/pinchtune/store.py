"""Files: JSON lines of records, atomic writes, content keys, manifests, and logs that survive a kill.

Nothing appears under its final name half-written: files and folders are made beside it and renamed. A step's manifest
is written last, so that its presence means the step is whole.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Generic, TypeVar

import msgspec

from pinchtune.errors import DataError, RunError
from pinchtune.records import Record

R = TypeVar("R", bound=msgspec.Struct)


# ---------------------------------------------------------------------------------------------- keys


def canonical(value: object) -> bytes:
    """Return JSON bytes that are equal for equal values, whatever the order of their keys."""
    return msgspec.json.encode(value, order="deterministic")


def content_key(value: object) -> str:
    """Return the SHA-256 of `canonical(value)`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_key(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ------------------------------------------------------------------------------------- atomic writes


def temporary_beside(path: Path) -> Path:
    """Return a name beside `path` that no other process uses and that our readers pass over."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into sentences.

    Raises:
        RunError: disk full, no permission, read-only file system.
    """
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "you may not write there",
            errno.EPERM: "you may not write there",
            errno.EROFS: "the file system is read-only",
        }
        reason = reasons.get(error.errno or 0)
        if reason is None:
            raise
        raise RunError(
            f"Could not write {path}: {reason}.",
            hint="What was finished is kept. Make room or choose another --output, then run the same command again.",
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes its final name only when the block ends without an exception.

    Raises:
        RunError: the disk refused.
    """
    partial = temporary_beside(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically, in UTF-8."""
    with atomic_file(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: object) -> None:
    """Write one JSON document atomically, indented, keys in the order given."""
    write_text(path, json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a new folder that takes its final name only when the block ends without an exception; replaces an old one.

    Raises:
        RunError: the disk refused.
    """
    partial = temporary_beside(path)
    with disk_errors(path):
        partial.mkdir(parents=True)
        try:
            yield partial
            if path.exists():
                shutil.rmtree(path)
            os.replace(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


# -------------------------------------------------------------------------------------- JSON lines


def encode_line(record: object) -> bytes:
    """Return one JSON line with its line feed."""
    return msgspec.json.encode(record) + b"\n"


def write_records(path: Path, records: Iterable[msgspec.Struct]) -> int:
    """Write records as JSON lines, atomically, and return how many there were."""
    count = 0
    with atomic_file(path) as stream:
        for record in records:
            stream.write(encode_line(record))
            count += 1
    return count


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a JSON lines file; blank lines are passed over.

    Raises:
        DataError: the file is missing, or a line is not a `kind`; names the line and what was expected.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(open_lines(path), 1):
        if not line.strip():
            continue
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fields = ", ".join(kind.__struct_fields__)
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            raise DataError(
                path, number, f"not {article} {kind.__name__}: {error}.", hint=f"Its keys are: {fields}."
            ) from None


def open_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file as bytes.

    Raises:
        DataError: no such file, or it is a folder.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise DataError(path, None, "there is no such file.", hint="Check the path; it is read from here.") from None
    except IsADirectoryError:
        raise DataError(path, None, "is a folder, not a file.", hint=f"ls {path}") from None
    with stream:
        for number, line in enumerate(stream):
            # Some editors begin a file with a byte order mark.
            yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line


# ------------------------------------------------------------------------------------ resumable logs


class RecordLog(Generic[R]):
    """An append-only file of finished records by key, for costly work that may be killed at any moment.

    Each line is `{"key": ..., "record": ...}`. A torn last line is dropped and its work done again.

    Args:
        path: The file; made on the first `add`.
        kind: The record type.
    """

    def __init__(self, path: Path, kind: type[R]) -> None:
        self.path = path
        self._kind = kind
        self._stream: IO[bytes] | None = None
        self.finished: dict[str, R] = dict(self._recover())

    def _recover(self) -> Iterator[tuple[str, R]]:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            entry = msgspec.json.decode(line)
            yield entry["key"], msgspec.convert(entry["record"], self._kind)
        if whole < len(data):
            with self.path.open("r+b") as stream:
                stream.truncate(whole)

    def add(self, key: str, record: R) -> None:
        """Keep one finished record. It is on disk, safe from a killed process, when this returns.

        Raises:
            RunError: the disk refused.
        """
        with disk_errors(self.path):
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self.path.open("ab")
            self._stream.write(encode_line({"key": key, "record": record}))
            self._stream.flush()
        self.finished[key] = record

    def close(self) -> None:
        """Close the file; the log can still be read."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


# ----------------------------------------------------------------------------------------- manifests


class Manifest(Record, frozen=True, kw_only=True):
    """How a step's result was made. Written last; holds no secret and no clock, so equal work gives equal bytes."""

    #: SHA-256 over settings, the inputs' keys and the step's version.
    key: str
    step: str
    kind: str
    version: int
    settings: dict[str, Any]
    #: Input step -> its key.
    inputs: dict[str, str] = {}
    n_in: int = 0
    n_out: int = 0
    #: Reason code -> how many failed by it.
    failed: dict[str, int] = {}
    seeds: dict[str, int] = {}
    #: Library -> version.
    libraries: dict[str, str] = {}
    #: What else a reader of the folder should know (which id went to which language, a template's text...).
    notes: dict[str, Any] = {}


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a finished folder, or None where there is none."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise DataError(path, None, f"not a manifest: {error}.", hint=f"rm -r {folder}") from None


@functools.cache
def library_versions(*names: str) -> Mapping[str, str]:
    """Return the installed versions of the named distributions, pinchtune's own always among them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("pinchtune", *names):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return MappingProxyType(found)
