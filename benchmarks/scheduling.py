#!/usr/bin/env python3
"""Scheduling overhead: seconds that an executor adds to each step of a graph of 10,000, beside bare submission.

The promise: under 5 ms a step. The steps do nothing, in 100 layers of 100 that need two of the layer before, so that
all the time is overhead: readiness, hand-over, the reporter. The peer, `concurrent.futures`, is given 10,000 calls that
need nothing, all at once. `whole_run` is a run as users have it, with a step that writes its folder, its records and
its manifest, each safe on disk (fsync), and `second_run` one that finds everything there; `bare_keep` is that same
writing without graph, executor or lock. Prints one JSON line; takes some minutes on a slow disk.

    python benchmarks/scheduling.py [STEPS] [--ray]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pinchtune import store
from pinchtune.study.executors import Executor, Study, load
from pinchtune.study.executors.folders import Folder
from pinchtune.study.executors.warm import Warm
from pinchtune.study.graph import Graph, Step
from pinchtune.study.keep import RECORDS, Result, keep
from pinchtune.study.progress import Silent
from pinchtune.study.run import run_graph
from pinchtune.study.steps import RUNNERS

WIDTH = 100


def layered(n_steps: int) -> Graph:
    """Return a graph in layers, each step needing two of the layer before."""
    graph = Graph()
    for number in range(n_steps):
        layer, place = divmod(number, WIDTH)
        before = [f"mix/{layer - 1}-{one % WIDTH}" for one in (place, place + 1)] if layer else []
        graph.add(f"mix/{layer}-{place}", "mix", {"number": number}, before)
    return graph


def nothing(_step: Step, _context: Warm) -> None:
    """Do nothing."""


def small(_step: Step, folder: Path, _context: Any) -> Result:
    """Write no records."""
    store.write_records(folder / RECORDS, [])
    return Result()


def call(_number: int) -> None:
    """Do nothing, for the peer."""


def milliseconds(n_steps: int, work: Callable[[], object]) -> float:
    """Return the milliseconds for each step that a call takes."""
    began = time.perf_counter()
    work()
    return round(1000 * (time.perf_counter() - began) / n_steps, 3)


def scheduled(executor: Executor, graph: Graph) -> None:
    """Run steps that do nothing, and check that all were done, and each after its inputs."""
    with tempfile.TemporaryDirectory() as name:
        study = Study(place=Folder(Path(name)), graph=graph, do=nothing)
        ended: set[str] = set()
        for one in executor.run(list(graph.steps.values()), study, Silent()):
            if one.fault is not None or not ended.issuperset(one.step.inputs):
                sys.exit(f"{one.step.name}: {one.message or 'before its inputs'}")
            ended.add(one.step.name)
        if len(ended) != len(graph.steps):
            sys.exit(f"{len(ended)} of {len(graph.steps)} steps were done.")


def bare(n_steps: int, jobs: int) -> None:
    """Submit calls to a pool of processes, started the same way."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(call, number) for number in range(n_steps)]):
            future.result()


def bare_keep(graph: Graph) -> None:
    """Write what the steps of a run write, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        for step in graph.steps.values():
            target = Path(name) / step.name
            draft = store.Manifest(key=step.key, step=step.name, kind=step.kind, version=1, settings=step.settings)

            def work(target: Path = target, step: Step = step) -> Result:
                return small(step, target, None)

            keep(target, draft, work)


def main() -> None:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int, nargs="?", default=10_000)
    parser.add_argument("--ray", action="store_true", help="the executor of Ray too")
    given = parser.parse_args()
    n_steps = given.steps
    load_before = os.getloadavg()[0]
    graph = layered(n_steps)
    found: dict[str, float] = {"graph": milliseconds(n_steps, lambda: layered(n_steps))}
    for jobs in (1, 2):
        found[f"local_{jobs}"] = milliseconds(n_steps, lambda jobs=jobs: scheduled(load("local", jobs=jobs), graph))
        found[f"peer_{jobs}"] = milliseconds(n_steps, lambda jobs=jobs: bare(n_steps, jobs))
    if given.ray:
        found["ray_2"] = milliseconds(n_steps, lambda: scheduled(load("ray", jobs=2), graph))
    RUNNERS["mix"] = small
    with tempfile.TemporaryDirectory() as name:
        place = Folder(Path(name) / "one")
        found["whole_run"] = milliseconds(n_steps, lambda: run_graph(graph, place))
        found["second_run"] = milliseconds(n_steps, lambda: run_graph(graph, place))
    found["bare_keep"] = milliseconds(n_steps, lambda: bare_keep(graph))
    about = {"steps": n_steps, "load_before": round(load_before, 2)}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    result = {"benchmark": "scheduling", **about, "milliseconds_a_step": found, "machine": machine}
    print(json.dumps(result | dict(store.library_versions("ray"))))


if __name__ == "__main__":
    main()
