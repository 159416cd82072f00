#!/usr/bin/env python3
"""Language identification of short answers a second: ours in two processes against `datasets.map` in two.

20,000 answers of one to three sentences that follow each other in a response of the pinch pack, in 17 languages; one in
ten is in another language than was asked for, so that the second identifier has work. Ours is `fidelity`, which asks
about the whole answer, its lines and its sentences. The peer asks the same two identifiers by the same rule about the
whole answer alone, row by row, with `num_proc=2`. `py3langid` is the first identifier alone, in one process.

Warm counts from when the models are loaded: the peer's before the map forks its processes, ours once each process has
answered some. Cold is the whole stage, the loading of the models and the start of the processes included.
`one_process` is a step of a study: warm from its second language on. The accuracy is over the answers long enough to
tell. Each run is a process of its own; the median of the rounds counts, as others use the machine. Prints one JSON
line; a ratio over 1: ours is faster.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pinchtune.identification import CANDIDATES, Identifier
from pinchtune.judging.fidelity import CHUNK, fidelity
from pinchtune.records import Answer, Sampling
from pinchtune.sources import pack
from pinchtune.store import library_versions

PROCESSES = 2
#: The share of answers that are in another language than was asked for.
WRONG = 0.1
_SENTENCE_END = re.compile(r"(?<=[.!?…؟।])\s+|(?<=[。！？])")


def answers(count: int) -> list[Answer]:
    """Return short answers; `model` is the language that each is in."""
    rng = random.Random(0)
    tags = pack.tags()
    responses = {
        tag: [[part for part in _SENTENCE_END.split(entry.turns[-1].content) if part] for entry in pack.entries(tag)]
        for tag in tags
    }
    made = []
    for number in range(count):
        asked = rng.choice(tags)
        written = rng.choice([tag for tag in tags if tag != asked]) if rng.random() < WRONG else asked
        sentences = rng.choice(responses[written])
        begin = rng.randrange(len(sentences))
        text = " ".join(sentences[begin : begin + rng.randint(1, 3)])
        made.append(
            Answer(
                id=f"{number}",
                language=asked,
                model=written,
                text=text,
                stop_reason="stop",
                n_tokens=1,
                sampling=Sampling(),
            )
        )
    return made


def accuracy(given: list[Answer], expected: Iterable[bool | None]) -> dict[str, Any]:
    """Return how often right answers are doubted and wrong ones pass, in percent of those that can be told."""
    right: list[bool] = []
    wrong: list[bool] = []
    for one, said in zip(given, expected, strict=True):
        if said is not None:
            (right if one.model == one.language else wrong).append(said)
    return {
        "right_doubted_percent": round(100 * right.count(False) / len(right), 2),
        "wrong_passed_percent": round(100 * wrong.count(True) / len(wrong), 2),
        "told": len(right) + len(wrong),
    }


def one_process(given: list[Answer]) -> dict[str, Any]:
    """Run ours in this process, twice."""
    began = time.perf_counter()
    identifier = Identifier()
    found = list(fidelity(given, {}, identifier))
    loaded = time.perf_counter()
    list(fidelity(given, {}, identifier))
    ended = time.perf_counter()
    figures = {"cold": len(given) / (loaded - began), "warm": len(given) / (ended - loaded)}
    return figures | accuracy(given, (one.faithful for one in found))


def two_processes(given: list[Answer]) -> dict[str, Any]:
    """Run ours in two processes, which both have loaded their models when four chunks have come back."""
    began = time.perf_counter()
    n_before = 2 * PROCESSES * CHUNK
    loaded = began
    for number, _ in enumerate(fidelity(given, {}, Identifier(), processes=PROCESSES)):
        if number == n_before:
            loaded = time.perf_counter()
    ended = time.perf_counter()
    return {"cold": len(given) / (ended - began), "warm": (len(given) - n_before) / (ended - loaded)}


@functools.cache
def shared() -> Identifier:
    """Return the identifier of this process."""
    return Identifier()


def say(row: dict[str, Any]) -> dict[str, Any]:
    """Do the peer's work on a row."""
    said = shared().check(row["text"], row["language"])
    return {"expected": said.expected, "found": said.found}


def peer(given: list[Answer], *, warm: bool) -> dict[str, Any]:
    """Run `datasets.map`; its processes are forks, and have the models where this one has them."""
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_list([{"text": one.text, "language": one.language} for one in given])
    if warm:
        for row in rows.select(range(CHUNK)):
            say(row)
    began = time.perf_counter()
    told = rows.map(say, num_proc=PROCESSES, load_from_cache_file=False)
    per_second = len(given) / (time.perf_counter() - began)
    return {"warm" if warm else "cold": per_second} | accuracy(given, told["expected"])


def first_alone(given: list[Answer]) -> dict[str, Any]:
    """Run py3langid alone, restricted to the same languages."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(sorted(set(CANDIDATES) & set(identifier.labels)))
    began = time.perf_counter()
    named = [identifier.classify(one.text)[0] for one in given]
    per_second = len(given) / (time.perf_counter() - began)
    return {"warm": per_second} | accuracy(given, (a == one.language for a, one in zip(named, given, strict=True)))


RUNS = {
    "ours": two_processes,
    "one_process": one_process,
    "peer_cold": functools.partial(peer, warm=False),
    "peer_warm": functools.partial(peer, warm=True),
    "py3langid": first_alone,
}


def in_a_process(name: str, count: int) -> dict[str, Any]:
    """Make one run in a process of its own, this file imported by name, so that the peer's can find its functions."""
    code = f"import json, identification as it; print(json.dumps(it.RUNS[{name!r}](it.answers({count}))))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run all in turns, so often, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rounds = [{name: in_a_process(name, given.answers) for name in RUNS} for _ in range(given.rounds)]

    def figures(name: str) -> dict[str, Any]:
        runs = [one[name] for one in rounds]
        timed = {"cold": "cold_answers_per_second", "warm": "answers_per_second"}
        found = {key: round(statistics.median(run[of] for run in runs)) for of, key in timed.items() if of in runs[0]}
        return found | {key: value for key, value in runs[0].items() if key not in timed}

    ours, one, alone = figures("ours"), figures("one_process"), figures("py3langid")
    other = figures("peer_warm") | figures("peer_cold")
    ours = {"name": "fidelity, 2 processes", **ours}
    print(
        json.dumps(
            {
                "benchmark": "identification",
                "unit": "short answers per second",
                "answers": given.answers,
                "ours": ours | {key: value for key, value in one.items() if key not in ours},
                "peer": {"name": f"datasets.map, num_proc={PROCESSES}"} | other,
                "ratio": round(ours["answers_per_second"] / other["answers_per_second"], 2),
                "ratio_cold": round(ours["cold_answers_per_second"] / other["cold_answers_per_second"], 2),
                "one_process": {key: value for key, value in one.items() if key.endswith("per_second")},
                "py3langid_alone": alone,
                "rounds": given.rounds,
                "load_before": round(load, 2),
                "versions": dict(library_versions("py3langid", "lingua-language-detector", "datasets", "numpy")),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            }
        )
    )


if __name__ == "__main__":
    main()
