"""Judging by files: requests written for a batch service, results read back as if the calls had been live.

The format is OpenAI's (https://platform.openai.com/docs/guides/batch), which vLLM's `run-batch` and others take too: a
line of a request has `custom_id`, `method`, `url` and `body`; a line of a result has `custom_id`, `response` and
`error`, in any order. The custom_id is the judge's key of the call, so that nothing but the calls themselves is needed
to read results, on any day, and a verdict goes into the cache under the key that a live call would have.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec

from pinchtune import store
from pinchtune.engine import Generated
from pinchtune.errors import CallFailure, DataError, PinchError
from pinchtune.judging.batch_replies import read_result
from pinchtune.judging.judge import Call, Judge, JudgeFailure, Judgement

#: Most requests and bytes of a file that OpenAI takes (https://platform.openai.com/docs/guides/batch).
MAX_LINES = 50_000
MAX_BYTES = 200_000_000
URL = "/v1/chat/completions"
_BOM = b"\xef\xbb\xbf"


class BatchJudge(Protocol):
    """What a judge needs beside its name for its calls to be made by file; the llm judge has it."""

    def key(self, call: Call) -> str:
        """Return the hash of everything that the verdict depends on."""
        ...

    def request(self, call: Call) -> dict[str, Any]:
        """Return the body of the request."""
        ...

    def parse(self, call: Call, made: Generated) -> Judgement | None:
        """Return the verdict in the reply, or None."""
        ...


class BatchCounts(msgspec.Struct):
    """What the lines of result files were.

    Every line is counted once: `n_lines` is the sum of `n_verdicts`, `failed`, `n_unreadable`, `n_duplicates` and
    `n_unknown`.
    """

    n_lines: int = 0
    n_verdicts: int = 0
    #: Reason code -> calls that have lines and no verdict.
    failed: Counter[str] = msgspec.field(default_factory=Counter)
    #: Lines that are no result: no JSON, or no custom_id, or neither a response nor an error.
    n_unreadable: int = 0
    #: Lines of an id beyond its first; the first of them with a verdict is the one that counts.
    n_duplicates: int = 0
    #: Ids that are of no call: of another judge, another prompt's text, or answers that have changed.
    n_unknown: int = 0
    #: Calls without a line.
    n_missing: int = 0


# ------------------------------------------------------------------------------------------- requests


def write_requests(
    calls: Iterable[Call], judge: Judge, path: Path, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES
) -> int:
    """Write a request for each call and return how many there are.

    Calls of one key are asked once, and two answers of one text not at all (`pinchtune.judging.driver`). What fits
    into one file is `path`; else there are several, each with -00001, -00002 ... before its suffix. They replace what
    an earlier writing to `path` left. Without a call there is no file.

    Args:
        calls: Read one by one; memory holds their keys.
        judge: The llm judge, or another `BatchJudge`.
        path: A name that ends in .jsonl.
        max_lines: Most requests of a file.
        max_bytes: Most bytes of a file.

    Raises:
        PinchError: the judge makes no such requests, or one is larger than a file may be.
        RunError: the disk refused.
    """
    lines = _request_lines(calls, _batch_judge(judge), max_bytes)
    folder = store.temporary_beside(path)
    with store.disk_errors(path):
        try:
            folder.mkdir(parents=True)
            counts = _write_parts(lines, folder, max_lines, max_bytes)
            for old in request_files(path):
                old.unlink()
            for number in range(1, len(counts) + 1):
                final = path if len(counts) == 1 else path.with_stem(f"{path.stem}-{number:05}")
                os.replace(folder / str(number), final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return sum(counts)


def request_files(path: Path) -> list[Path]:
    """Return the files that `write_requests` to `path` made, in order."""
    numbered = re.compile(re.escape(path.stem) + r"-\d{5}" + re.escape(path.suffix))
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    parts = sorted(one for one in there if numbered.fullmatch(one.name))
    return [path, *parts] if path.is_file() else parts


def _request_lines(calls: Iterable[Call], judge: BatchJudge, max_bytes: int) -> Iterator[bytes]:
    seen: set[str] = set()
    for call in calls:
        if call.first.text == call.second.text:
            continue
        key = judge.key(call)
        if key in seen:
            continue
        seen.add(key)
        line = store.encode_line({"custom_id": key, "method": "POST", "url": URL, "body": judge.request(call)})
        if len(line) > max_bytes:
            raise PinchError(
                f"The request about {call.prompt.id!r} in {call.prompt.language} has {len(line)} bytes; "
                f"a file has {max_bytes} at most.",
                hint="Leave the pair out, or cut its answers.",
            )
        yield line


def _write_parts(lines: Iterator[bytes], folder: Path, max_lines: int, max_bytes: int) -> list[int]:
    """Write files named 1, 2 ... and return the lines of each."""
    counts: list[int] = []
    line = next(lines, None)
    while line is not None:
        count = size = 0
        with (folder / str(len(counts) + 1)).open("xb") as stream:
            while line is not None and count < max_lines and size + len(line) <= max_bytes:
                stream.write(line)
                count, size = count + 1, size + len(line)
                line = next(lines, None)
            stream.flush()
            os.fsync(stream.fileno())
        counts.append(count)
    return counts


# -------------------------------------------------------------------------------------------- results


def read_results(
    paths: Iterable[Path], calls: Iterable[Call], judge: Judge, *, counts: BatchCounts | None = None
) -> Iterator[tuple[str, Call, Judgement | JudgeFailure]]:
    """Yield (key, call, result) of each call that has a line in the files, in the order of the calls.

    Where a call has several lines, the first with a verdict counts; tokens of those before it are added, as of a call
    that was made again.

    Args:
        paths: Files of results, and of errors; one call may be in several.
        calls: All that were asked about, or more; read one by one. Memory holds keys and places in the files.
        judge: As it was for `write_requests`.
        counts: Filled up, whole when the last result was yielded.

    Raises:
        PinchError: the judge makes no such requests.
        DataError: no such file, or one without a single result.
    """
    judge_ = _batch_judge(judge)
    counts = BatchCounts() if counts is None else counts
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_open(path)) for path in paths]
        places = _places(files, counts)
        for call in calls:
            if call.first.text == call.second.text:
                continue
            key = judge_.key(call)
            counts.n_missing += key not in places
            found = places.get(key, [])
            # Nothing is left for a second call of the same key.
            places[key] = []
            if not found:
                continue
            made = _first_good((_line_at(files[number], offset) for number, offset in found), call, judge_)
            if isinstance(made, JudgeFailure):
                counts.failed[made.reason] += 1
            else:
                counts.n_verdicts += 1
            yield key, call, made
    counts.n_unknown = sum(bool(left) for left in places.values())


def _batch_judge(judge: Judge) -> BatchJudge:
    if not all(hasattr(judge, name) for name in ("key", "request", "parse")):
        raise PinchError(
            f"The judge {judge.name} makes no requests that could be written to a file.",
            hint="Batch files are for the llm judge: --judge llm:MODEL",
        )
    return cast("BatchJudge", judge)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(path, None, f"cannot be read: {error.strerror}.", hint="Check the path.") from None


class _Head(msgspec.Struct):
    custom_id: str
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


def _places(files: Sequence[IO[bytes]], counts: BatchCounts) -> dict[str, list[tuple[int, int]]]:
    """Return id -> (file, offset in bytes) of its lines."""
    decoder = msgspec.json.Decoder(_Head)
    places: dict[str, list[tuple[int, int]]] = {}
    for number, stream in enumerate(files):
        offset = n_lines = n_bad = 0
        for line in stream:
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            n_lines += 1
            try:
                head = decoder.decode(line.removeprefix(_BOM))
            except (msgspec.DecodeError, UnicodeDecodeError):
                n_bad += 1
                continue
            if bytes(head.response) == bytes(head.error) == b"null":
                n_bad += 1
                continue
            known = places.setdefault(head.custom_id, [])
            counts.n_duplicates += bool(known)
            known.append((number, start))
        if n_lines and n_lines == n_bad:
            raise DataError(
                stream.name,
                None,
                f"none of its {n_lines} lines is a result of a batch.",
                hint="Give the output file of the batch: each line has custom_id, and response or error.",
            )
        counts.n_lines += n_lines
        counts.n_unreadable += n_bad
    return places


def _line_at(stream: IO[bytes], offset: int) -> bytes:
    stream.seek(offset)
    return stream.readline().removeprefix(_BOM)


def _first_good(lines: Iterable[bytes], call: Call, judge: BatchJudge) -> Judgement | JudgeFailure:
    """Return the first verdict, or else the last failure, with the tokens of all that were read."""
    read = written = 0
    failure = None
    for line in lines:
        try:
            made = read_result(line)
        except CallFailure as fault:
            failure = JudgeFailure(fault.reason, fault.detail, n_prompt_tokens=read, n_tokens=written)
            continue
        read, written = read + (made.n_prompt_tokens or 0), written + made.n_tokens
        judgement = judge.parse(call, made)
        if judgement is not None:
            return msgspec.structs.replace(judgement, n_prompt_tokens=read, n_tokens=written)
        said = " ".join(made.text.split())[:200]
        failure = JudgeFailure("unparsable", said, n_prompt_tokens=read, n_tokens=written)
    assert failure is not None
    return failure
