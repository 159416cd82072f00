#!/usr/bin/env python3
"""Run the benchmarks and write docs/benchmarks.md: our figure, the peer's in the same run, and their ratio.

A benchmark that cannot run here, for want of a library or a machine, is said so, and its last line stays with the date
it has. The lines are kept in benchmarks/results.jsonl, one for each benchmark.

    python benchmarks/run_all.py [NAME ...]
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.jsonl"
PAGE = FOLDER.parent / "docs" / "benchmarks.md"

Line = dict[str, Any]


class Row(NamedTuple):
    """A row of the table; a ratio over 1 is in our favour."""

    what: str
    unit: str
    ours: Any
    peer: Any
    peer_name: str
    ratio: float | None
    notes: tuple[str, ...] = ()


class Benchmark(NamedTuple):
    """A script of this folder, how it measures, and what of its line goes into the table."""

    what: str
    how: str
    rows: Callable[[str, Line], list[Row]]


def plain(what: str, line: Line) -> list[Row]:
    """Return the row of a line with `unit`, `ours`, `peer` and `ratio`."""
    ours, peer = line["ours"], line["peer"]
    notes = []
    if "loss_ratio" in line:
        notes.append(f"loss {line['loss_ratio']} of the peer's; both in float32: {line['ratio_both_in_float32']}")
    if "identical_greedy_answers" in line:
        notes.append(f"identical answers: {line['identical_greedy_answers']}")
    if "peak_mb" in ours and "peak_mb" in peer:
        notes.append(f"peak memory {ours['peak_mb']:,} MB, peer {peer['peak_mb']:,} MB")
    return [Row(what, line["unit"], _figure(ours), _figure(peer), peer["name"], line["ratio"], tuple(notes))]


def answering(what: str, line: Line) -> list[Row]:
    """Return the default engine's row, and that of our transformers engine beside transformers in bfloat16."""
    engine, peer = line["our_transformers_engine"], line["peer_in_bfloat16"]
    ours, theirs, unit = engine["tokens_per_second"], peer["tokens_per_second"], line["unit"]
    name = "transformers `generate`, bfloat16"
    same = (f"identical to float32's: {engine['identical']}, peer {peer['identical']}",)
    other = Row(f"{what}, the transformers engine", unit, ours, theirs, name, round(ours / theirs, 2), same)
    return [*plain(f"{what}, the default engine", line), other]


def identification(what: str, line: Line) -> list[Row]:
    """Return a row with models loaded and one with all that a stage takes."""
    ours, peer, unit = line["ours"], line["peer"], line["unit"]
    accuracy = (
        f"{ours['right_doubted_percent']}% of right answers doubted, {ours['wrong_passed_percent']}% of wrong passed"
    )
    alone = line["py3langid_alone"]
    notes = (
        accuracy,
        f"in one process {line['one_process']['answers_per_second']:,}",
        f"py3langid alone, one process: {alone['answers_per_second']:,}, {alone['right_doubted_percent']}% doubted",
    )
    warm, cold = "answers_per_second", "cold_answers_per_second"
    return [
        Row(f"{what}, models loaded", unit, ours[warm], peer[warm], f"`{peer['name']}`", line["ratio"], notes),
        Row(
            f"{what}, loading included",
            unit,
            ours[cold],
            peer[cold],
            f"`{peer['name']}`",
            line["ratio_cold"],
            (f"of {line['answers']:,} answers; in one process {line['one_process'][cold]:,}",),
        ),
    ]


def endpoint(what: str, line: Line) -> list[Row]:
    """Return a row for each speed of the server."""
    servers = {"at_once": "a server that answers at once", "after_half_a_second": "one that takes half a second"}
    return [
        Row(
            f"{what}, {server}",
            "calls per second",
            line[key]["ours_per_second"],
            line[key]["peer_per_second"],
            "bare `AsyncOpenAI`",
            line[key]["ratio"],
            (f"processor {line[key]['ours_processor_ms']} ms a call, peer {line[key]['peer_processor_ms']} ms",),
        )
        for key, server in servers.items()
    ]


def judging(what: str, line: Line) -> list[Row]:
    """Return the row, with the peaks of memory."""
    peaks = ", ".join(f"{mib} MiB after {int(pairs):,} pairs" for pairs, mib in line["peak_mib"].items())
    ours, peer = line["ours_per_second"], line["peer_per_second"]
    return [
        Row(what, "verdicts per second", ours, peer, "bare `AsyncOpenAI`", line["ratio"], (f"peak memory {peaks}",))
    ]


def translation(what: str, line: Line) -> list[Row]:
    """Return the row, which has no peer."""
    rates = [line[state]["segments_per_second"] for state in ("cold", "warm")]
    return [Row(what, "segments per second", rates[0], None, "", None, (f"{rates[1]:,} from a filled cache",))]


def mixing(what: str, line: Line) -> list[Row]:
    """Return a row for each design at its largest size, against the peer from files and from its own cache."""
    rows = []
    for name in ("pinch", "uniform"):
        run = line["runs"][
            max((key for key in line["runs"] if key.startswith(name)), key=lambda key: int(key.split()[1]))
        ]
        ours = run["pinchtune"]
        for way, peer in (("cold", "from the files"), ("warm", "from its cache"), ("streaming", "streaming")):
            memory = f"peak memory {ours['peak_mb']:,} MB, peer {run[way]['peak_mb']:,} MB"
            again = f"an id again in {run[way]['ids_again']:,} of {run[way]['rows']:,} rows, ours {ours['ids_again']:,}"
            peer_name = f"`datasets.interleave_datasets`, {peer}"
            ratio = run[way]["seconds_to_ours"]
            rows.append(
                Row(
                    f"{what}, {name}",
                    "seconds",
                    ours["seconds"],
                    run[way]["seconds"],
                    peer_name,
                    ratio,
                    (memory, again),
                )
            )
    return rows


def scheduling(what: str, line: Line) -> list[Row]:
    """Return a row with nothing to do, and one with what a step writes."""
    found, unit = line["milliseconds_a_step"], "ms a step"
    bare = round(found["peer_2"] / found["local_2"], 2)
    # No ratio: a whole run does the writing too, so that whichever is ahead is ahead by the disk's moods.
    again = (f"{found['bare_keep']} ms for its writing alone", f"{found['second_run']} ms where all is done already")
    return [
        Row(f"{what}, two processes", unit, found["local_2"], found["peer_2"], "bare `concurrent.futures`", bare),
        Row(f"{what}, a whole run", unit, found["whole_run"], None, "", None, again),
    ]


BENCHMARKS = {
    "training_speed": Benchmark(
        "Training, LoRA",
        "The same conversations, base model and settings in Pinchtune and in TRL's SFTTrainer, each in a process of "
        "its own. One function computes the loss of both tuned models: faster and worse would be no gain.",
        plain,
    ),
    "answering_speed": Benchmark(
        "Answering",
        "One batch of prompts in several languages, greedy, through our engines and through `generate` of transformers "
        "as it comes, each in a process of its own. Opening the engine is not counted.",
        answering,
    ),
    "endpoint_overhead": Benchmark(
        "64 requests under way",
        "A server of one constant answer, asked by our endpoint engine and by the official client with a semaphore.",
        endpoint,
    ),
    "judging_driver": Benchmark(
        "Judging, all but the judge",
        "Pairs in both orders through prompt, call, parsing and the cache of verdicts. The peer makes as long calls, "
        "and does nothing with the replies.",
        judging,
    ),
    "translation_overhead": Benchmark(
        "Translating, all but the engine",
        "Masking, cutting, the cache and the checks, over an engine that looks up. It has no peer.",
        translation,
    ),
    "mixing": Benchmark(
        "Mixing a million examples",
        "`pinch mix` and `datasets` in processes of their own, from the start of Python to the written file. "
        "`datasets` draws rows and not ids, so an id may come in several languages, and it checks no conversation.",
        mixing,
    ),
    "identification": Benchmark(
        "Language identification",
        "Short answers of the pack in 17 languages, a tenth of them in a wrong one. Ours looks at the answer, its "
        "lines and its sentences; the peer asks the same identifiers about the whole answer alone.",
        identification,
    ),
    "scheduling": Benchmark(
        "Scheduling",
        "A graph of 10,000 steps that do nothing. The peer is handed as many calls that need nothing, all at once; "
        "a whole run is set beside the bare writing of what its steps write.",
        scheduling,
    ),
}
_HEAD = """# Benchmarks
`scripts/bench` runs what this machine can run and writes this page; `scripts/bench NAME ...` runs some. Ours and the
peer are measured in the same run on the same machine, one after the other. A **ratio over 1 is in our favour**,
whatever the unit. All lines, with versions, are in [`benchmarks/results.jsonl`](../benchmarks/results.jsonl). No test
asserts a timing.

| what | unit | ours | peer | ratio | notes | date |
| --- | --- | ---: | --- | ---: | --- | --- |
"""


def run(name: str) -> Line | None:
    """Run one benchmark and return its line, or None where it could not."""
    print(f"{name} ...", file=sys.stderr)
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        print(f"  not run: {(done.stderr.strip().splitlines() or ['no output'])[-1]}", file=sys.stderr)
        return None
    found: Line = json.loads(lines[-1])
    return found | {"benchmark": name, "date": datetime.date.today().isoformat()}


def page(lines: list[Line]) -> str:
    """Return the page: the table, where we lose, and how each is measured."""
    rows = [(line, row) for line in lines for row in _rows(line)]
    parts = [_HEAD + "".join(f"{_cells(row, line.get('date', ''))}\n" for line, row in rows)]
    lost = [row for _, row in rows if row.ratio is not None and row.ratio < 1]
    if lost:
        said = (f"- {row.what}: {row.ratio:.2f} of the speed of {row.peer_name}.\n" for row in lost)
        parts.append("## Where a peer is ahead\n" + "".join(said))
    how = []
    for line in lines:
        name = line["benchmark"]
        what, text, _ = BENCHMARKS[name]
        how.append(f"- **{what}** ([{name}.py](../benchmarks/{name}.py)). {text} {_where(line)}")
    parts.append("## How it is measured\n" + "\n".join(how) + "\n")
    return "\n".join(parts)


def _rows(line: Line) -> list[Row]:
    benchmark = BENCHMARKS[line["benchmark"]]
    return benchmark.rows(benchmark.what, line)


def _cells(row: Row, date: str) -> str:
    peer = "none" if row.peer is None else f"{_number(row.peer)} ({row.peer_name})"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    cells = [row.what, row.unit, _number(row.ours), peer, ratio, "; ".join(row.notes), date]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _where(line: Line) -> str:
    load = f"; load before {line['load_before']}" if "load_before" in line else ""
    return f"Machine: {line['machine']}{load}."


def _figure(side: Line) -> Any:
    return next((side[key] for key in side if key.endswith("per_second") or key == "value"), None)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    wanted = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        parser.error(f"No benchmark {', '.join(unknown)}. Allowed: {', '.join(BENCHMARKS)}.")
    kept: dict[str, Line] = {}
    if RESULTS.is_file():
        kept = {line["benchmark"]: line for line in map(json.loads, RESULTS.read_text().splitlines())}
    for name in wanted:
        found = run(name)
        if found is not None:
            kept[name] = found
            ordered = [kept[one] for one in BENCHMARKS if one in kept]
            RESULTS.write_text("".join(json.dumps(line) + "\n" for line in ordered))
    PAGE.write_text(page([kept[name] for name in BENCHMARKS if name in kept]))


if __name__ == "__main__":
    main()
