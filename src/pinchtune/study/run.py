"""Running a study: what is there is skipped, what another study made is linked, an executor does the rest.

A run folder is readable by hand: RUN/<step>/{records.jsonl, manifest.json}. It may be on another machine's disks: then
it is given as a URL of fsspec ("s3://bucket/runs/mine").
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from pinchtune import experiments, store
from pinchtune.errors import DataError, PinchError, did_you_mean
from pinchtune.recipe import Recipe, parse
from pinchtune.records import Record
from pinchtune.study.executors import Do, Ended, Executor, Study, doing, failures, load
from pinchtune.study.executors.folders import Folder, Place
from pinchtune.study.executors.folders import results_beside as _results_beside  # noqa: F401 - the plan finds it here
from pinchtune.study.executors.locks import write_top
from pinchtune.study.executors.needs import Resources
from pinchtune.study.executors.remote import open_place
from pinchtune.study.executors.warm import Warm
from pinchtune.study.graph import Graph, Step, build
from pinchtune.study.keep import _MARKER as MARKER
from pinchtune.study.keep import RECORDS
from pinchtune.study.progress import Reporter, Silent

State = Literal["done", "linked", "missing", "failed", "unfinished"]


class Ran(msgspec.Struct, frozen=True):
    """What a run did."""

    folder: Path
    done: tuple[str, ...]
    reused: tuple[str, ...]


class StepState(Record, frozen=True, kw_only=True):
    """Where one step of a study stands."""

    step: str
    #: done: its result is here. linked: a study beside has it, or this one under another name, and the next run links
    #: it. failed: in the last run.
    #: unfinished: begun and not ended; the next run goes on with it. missing: none of these.
    state: State
    #: Why it failed, or which failed step it needs.
    reason: str | None = None


class Status(Record, frozen=True, kw_only=True):
    """Where a study stands."""

    counts: dict[State, int]
    steps: tuple[StepState, ...]


def run(
    recipe: Recipe,
    folder: Path | str,
    *,
    reporter: Reporter | None = None,
    executor: str | Executor = "local",
    jobs: int = 1,
    only: str | None = None,
    resources: Mapping[str, Resources] = {},
) -> Ran:
    """Run a study in `folder`; a second run of the same does nothing again.

    Args:
        recipe: What to do.
        folder: The run folder, or a URL of fsspec; sibling folders that share a step share its result. Of a URL, the
            scores and the page are in the folder that is returned too, on this machine.
        reporter: Told how far it is.
        executor: "local", "ray", or one that is made already.
        jobs: Steps done at a time.
        only: One of the recipe's experiments: nothing is done that it does not need, and the scores are its own.
        resources: Kind of step -> what one takes, instead of `needs.RESOURCES`.

    Raises:
        RunError: steps failed; what does not depend on them is done.
        PinchError: the folder holds what a single command wrote; or the only failing step's own error, where there
            was one step that failed for a user's reason.
    """
    recipe = recipe if only is None else only_experiment(recipe, only)
    graph = build(recipe)
    place = open_place(folder)
    _check_free(place, folder, recipe, reporter or Silent())
    working = place.working()
    with store.disk_errors(working):
        working.mkdir(parents=True, exist_ok=True)
    write_top(working, "recipe.json", json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n")
    place.publish(["recipe.json"])
    ran = run_graph(graph, place, reporter=reporter, executor=executor, jobs=jobs, resources=resources)
    for name in ("score", "report"):
        place.fetch(graph.steps[name])
    # At the top as well, where people look; also when the step itself was there already.
    write_top(working, "scores.jsonl", (working / "score" / RECORDS).read_text(encoding="utf-8"))
    place.publish(["scores.jsonl"])
    return ran


def _check_free(place: Place, folder: Path | str, recipe: Recipe, reporter: Reporter) -> None:
    """Refuse a folder that a single command wrote, and say so where another study has been run in it.

    Raises:
        PinchError: what is there is no study's.
    """
    if place.published("manifest.json") is not None or place.published(MARKER) is not None:
        raise PinchError(
            f"{folder} holds what a single command wrote, not a study: it is left as it is.",
            hint="Choose another --output.",
        )
    try:
        before = json.loads(place.published("recipe.json") or b"{}")
    except ValueError:
        return
    name = before.get("name", recipe.name) if isinstance(before, dict) else recipe.name
    if name != recipe.name:
        reporter.note(f"{folder} is the run folder of the study {name!r}; {recipe.name!r} is run there now.")


def report_again(folder: Path | str, *, reporter: Reporter | None = None) -> Ran:
    """Make the page of a finished study again; here, the old page stays until the new one is there.

    Args:
        folder: The run folder, or a URL of fsspec.
        reporter: Told how far it is.

    Returns:
        What was done.

    Raises:
        DataError: not a run folder.
        PinchError: the study is not finished.
    """
    place = open_place(folder)
    text = place.published("recipe.json")
    if text is None:
        raise DataError(folder, None, "is not a run folder: it has no recipe.json.", hint="Give a study's --output.")
    recipe = parse(json.loads(text), source=f"{str(folder).rstrip('/')}/recipe.json")
    left = [one.step for one in status(recipe, folder).steps if one.state not in ("done", "linked")]
    if set(left) - {"score", "report"}:
        said = "1 step is" if len(left) == 1 else f"{len(left)} steps are"
        raise PinchError(
            f"{folder} is not finished: {said} left.",
            hint=f"`pinch study run RECIPE --output {folder}` goes on with it.",
        )
    if "report" in left or not isinstance(place, Folder):
        if "report" not in left:
            place.remove("report")
        return run(recipe, folder, reporter=reporter)
    ran = run(recipe, folder, reporter=reporter)
    graph = build(recipe)
    doing.do_again(graph.steps["report"], Warm(place.path, graph, reporter or Silent()))
    reused = tuple(name for name in ran.reused if name != "report")
    return Ran(ran.folder, (*ran.done, "report"), reused)


def only_experiment(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe with one of its experiments alone.

    Raises:
        PinchError: there is none of that name.
    """
    if not recipe.experiments:
        raise PinchError("The recipe has no experiments.", hint="Leave --only away.")
    if name not in recipe.experiments:
        raise PinchError(f"The recipe has no experiment {name!r}.", hint=did_you_mean(name, recipe.experiments))
    return experiments.only(recipe, name)


def run_graph(
    graph: Graph,
    place: Place,
    *,
    reporter: Reporter | None = None,
    executor: str | Executor = "local",
    jobs: int = 1,
    resources: Mapping[str, Resources] = {},
    do: Do = doing.do,
) -> Ran:
    """Do what is missing of a graph of steps.

    Args:
        graph: The steps.
        place: The run folder.
        reporter: Told how far it is.
        executor: A name, or one that is made already.
        jobs: Steps done at a time.
        resources: Kind of step -> what one takes.
        do: Does one step.

    Raises:
        RunError: steps failed; what does not depend on them is done.
        PinchError: the only failing step's own error, where there was one step that failed for a user's reason.
    """
    reporter = reporter or Silent()
    chosen = load(executor, jobs=jobs) if isinstance(executor, str) else executor
    with store.disk_errors(place.working()):
        place.working().mkdir(parents=True, exist_ok=True)
    todo = place.missing(graph)
    study = Study(place=place, graph=graph, do=place.around(do), resources=resources, twins=_twins(graph, todo, place))
    reporter.begin(len(graph.steps), len(graph.steps) - len(todo), sum(step.cost for step in todo))
    failed: list[Ended] = []
    with contextlib.closing(chosen.run(todo, study, reporter)) as running:
        for ended in running:
            if ended.fault is not None:
                failed.append(ended)
                # At once: a run that is killed later has said why already.
                failures.write(failures.of(failed, todo, study), place)
    found = failures.of(failed, todo, study)
    failures.write(found, place)
    if failed:
        raise failures.summary(failed, found, place)
    names = {step.name for step in todo}
    return Ran(
        place.working(),
        tuple(name for name in graph.steps if name in names),
        tuple(name for name in graph.steps if name not in names),
    )


def _twins(graph: Graph, todo: Sequence[Step], place: Place) -> dict[str, str]:
    """Return step to do -> the step of the same key whose result it takes over, where there is one."""
    to_do = {step.name for step in todo}
    first = renamed(graph, place) if todo else {}
    first |= {step.key: step.name for step in graph.steps.values() if step.name not in to_do}
    twins = {}
    for step in todo:
        if step.kind != "report" and first.setdefault(step.key, step.name) != step.name:
            twins[step.name] = first[step.key]
    return twins


def renamed(graph: Graph, place: Place) -> dict[str, str]:
    """Return key -> step, of what a run folder holds of mixtures that had other names then than in the graph."""
    if not isinstance(place, Folder):
        return {}  # elsewhere, what is taken over is fetched as a step of the graph
    return {key: name for name, key in place.finished().items() if name not in graph.steps}


# -------------------------------------------------------------------------------- looking and tidying


def status(recipe: Recipe, folder: Path | str) -> Status:
    """Say where every step of a study stands; nothing is done.

    Args:
        recipe: The study.
        folder: Its run folder; it need not be there yet.
    """
    graph = build(recipe)
    place = open_place(folder)
    kept, unfinished = place.kept(graph), place.unfinished()
    keys = {step.name: step.key for step in graph.steps.values()}
    beside = {keys[name] for name in kept}
    if len(kept) < len(graph.steps):
        beside |= {*place.beside(), *renamed(graph, place)}
    failed = {one.step: one for one in failures.read(place) if keys.get(one.step) == one.key}
    needs = {name: one.step for one in failed.values() for name in one.left}

    def state(step: Step) -> StepState:
        if step.name in kept:
            return StepState(step=step.name, state="done")
        if step.key in beside and step.kind != "report":
            return StepState(step=step.name, state="linked")
        if step.name in failed:
            return StepState(step=step.name, state="failed", reason=failed[step.name].fault.message)
        if unfinished.get(step.name) == step.key:
            return StepState(step=step.name, state="unfinished")
        held_up = needs.get(step.name)
        return StepState(step=step.name, state="missing", reason=f"needs {held_up}, which failed" if held_up else None)

    steps = tuple(state(step) for step in graph.steps.values())
    counts: dict[State, int] = {one: sum(step.state == one for step in steps) for one in get_args(State)}
    return Status(counts=counts, steps=steps)


def show(folder: Path | str, step: str) -> store.Manifest:
    """Return the manifest of a finished step.

    Args:
        folder: A run folder.
        step: Its name, such as "answer/pinch/fi".

    Raises:
        DataError: it has not finished there; suggests the nearest that has.
    """
    place = open_place(folder)
    name = step.strip("/")
    manifest = place.manifest(name) if name and ".." not in Path(name).parts else None
    if manifest is None:
        finished = place.finished()
        if not finished and place.published("recipe.json") is None:
            hint = "Give a study's --output."
            raise DataError(folder, None, "is not a run folder: it has no recipe.json.", hint=hint)
        hint = did_you_mean(name, finished) or "No step has finished there yet."
        raise DataError(folder, None, f"has no finished step {step!r}.", hint=hint)
    return manifest


def clean(folder: Path | str, recipes: Iterable[Recipe], *, dry_run: bool = True) -> list[str]:
    """Remove the results, whole or not, that no recipe needs. What no step made is left alone.

    Args:
        folder: A run folder.
        recipes: All that count, the one that is run there among them.
        dry_run: Remove nothing.

    Returns:
        The names of the steps whose folders are, or would be, removed.

    Raises:
        DataError: not a run folder.
        PinchError: no recipe was given.
    """
    graphs = [build(recipe) for recipe in recipes]
    if not graphs:
        raise PinchError("Without a recipe, everything would be of no use.", hint="Give the recipes that count.")
    place = open_place(folder)
    found = place.unfinished() | place.finished()
    if not found and place.published("recipe.json") is None:
        raise DataError(folder, None, "is not a run folder: it has no recipe.json.", hint="Give a study's --output.")
    needed: dict[str, set[str]] = {}
    for graph in graphs:
        for step in graph.steps.values():
            needed.setdefault(step.name, set()).add(step.key)
    names = sorted(name for name, key in found.items() if key not in needed.get(name, set()))
    for name in () if dry_run else names:
        place.remove(name)
    return names
