#!/usr/bin/env python3
"""Mixing a million examples in twelve languages: seconds and peak memory of `pinch mix`, and of `datasets` beside it.

The promise: pinch and uniform in under 30 seconds and under 1 GB on two cores. The peer is
`datasets.interleave_datasets` with probabilities, written as JSON lines: `cold` converts the files to Arrow first,
`warm` finds them converted, `streaming` takes the beginnings of the files. It draws rows, not ids: its counts vary, an
id may be there in several languages, and no conversation is checked. Every run is a process of its own, from the start
of Python on; the files are in the page cache. Prints one JSON line; needs 2 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from pinchtune.languages import PAPER
from pinchtune.records import Example, Message
from pinchtune.sources import pack
from pinchtune.store import library_versions, write_records

N_IDS = 83_334
OTHERS = [tag for tag in PAPER if tag != "en"]
#: Characters kept of a response: lines then have 590 bytes in the mean, those of Alpaca 420.
CUT = 200
SIZES = (50_000, N_IDS)


def make(folder: Path) -> None:
    """Write a file for each language, with the same ids in the same order."""
    for tag in PAPER:
        texts = [(one.id, *(turn.content for turn in one.turns[:2])) for one in pack.entries(tag)]
        numbered = zip(range(N_IDS), itertools.cycle(texts), strict=False)
        write_records(
            folder / f"{tag}.jsonl",
            (
                Example(
                    id=f"{name}-{number}",
                    language=tag,
                    messages=(
                        Message(role="user", content=f"{asked} #{number}"),
                        Message(role="assistant", content=said[:CUT]),
                    ),
                    source="pinch-pack",
                )
                for number, (name, asked, said) in numbered
            ),
        )


def peer(folder: Path, design: str, size: int, *, streaming: bool) -> None:
    """Mix with datasets, into `folder / "peer.jsonl"`."""
    import datasets

    datasets.disable_progress_bars()
    tags = ["en", *OTHERS]
    each = [1 / len(tags)] * len(tags) if design == "uniform" else [0.9] + [0.1 / len(OTHERS)] * len(OTHERS)
    loaded = [
        datasets.load_dataset("json", data_files=str(folder / f"{tag}.jsonl"), split="train", streaming=streaming)
        for tag in tags
    ]
    mixed = datasets.interleave_datasets(loaded, probabilities=each, seed=0, stopping_strategy="first_exhausted")
    if streaming:
        with (folder / "peer.jsonl").open("wb") as stream:
            for row in mixed.take(size):
                stream.write(msgspec.json.encode(row) + b"\n")
    else:
        mixed.select(range(size)).to_json(folder / "peer.jsonl", force_ascii=False)


def measured(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run a command and return its seconds and its peak of resident memory."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}.")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_mb": round(kilobytes / 1024)}


def repeated(path: Path) -> dict[str, int]:
    """Return how many rows a mixture has, and how many of them have an id that was there before."""
    ids = [json.loads(line)["id"] for line in path.open("rb")]
    return {"rows": len(ids), "ids_again": len(ids) - len(set(ids))}


def compare(folder: Path, design: str, size: int) -> dict[str, Any]:
    """Run ours, then the peer in its three ways."""
    environment = os.environ | {"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    options = ["--languages", ",".join(PAPER)]
    if design == "pinch":
        options = ["--languages", ",".join(OTHERS), "--pinch-percent", "10"]
    ours = [sys.executable, "-c", "from pinchtune.cli import main; main()", "mix", "--quiet", "--design", design]
    ours += ["--n-examples", str(size), *options, "--output", str(folder / "mixture")]
    runs = {"pinchtune": measured([*ours, *(str(folder / f"{tag}.jsonl") for tag in PAPER)], environment)}
    runs["pinchtune"] |= repeated(folder / "mixture/records.jsonl")
    shutil.rmtree(folder / "mixture")
    for way in ("cold", "warm", "streaming"):
        runs[way] = measured([sys.executable, __file__, "peer", str(folder), design, str(size), way], environment)
        runs[way] |= repeated(folder / "peer.jsonl")
        (folder / "peer.jsonl").unlink()
        if way == "warm":
            shutil.rmtree(folder / "cache")
    for name in ("seconds", "peak_mb"):
        for way in ("cold", "warm", "streaming"):
            runs[way][f"{name}_to_ours"] = round(runs[way][name] / runs["pinchtune"][name], 2)
    return runs


def main() -> None:
    """Make the examples, run everything, and print what each took."""
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
        return
    if sys.argv[1:2] == ["peer"]:
        peer(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), streaming=sys.argv[5] == "streaming")
        return
    argparse.ArgumentParser(description=__doc__).parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak is never under its parent's size when it was started.
        subprocess.run([sys.executable, __file__, "make", name], check=True)
        size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
        found = {f"{design} {n}": compare(folder, design, n) for design in ("pinch", "uniform") for n in SIZES}
    about = {"examples": N_IDS * len(PAPER), "megabytes": round(size / 1e6), "load_before": round(load, 2)}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(
        json.dumps(
            {"benchmark": "mixing", **about, "runs": found, "machine": machine} | dict(library_versions("datasets"))
        )
    )


if __name__ == "__main__":
    main()
