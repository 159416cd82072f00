"""Running a study: what is there is skipped, what another study made is linked, the rest is done, step by step.

A run folder is readable by hand: RUN/<step>/{records.jsonl, manifest.json}.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pinchtune import store
from pinchtune.errors import PinchError, RunError
from pinchtune.recipe import Recipe
from pinchtune.study.graph import VERSIONS, Graph, Step, build
from pinchtune.study.keep import RECORDS, is_kept, keep
from pinchtune.study.progress import Reporter, Silent
from pinchtune.study.steps import RUNNERS, Context


class Ran(msgspec.Struct, frozen=True):
    """What a run did."""

    folder: Path
    done: tuple[str, ...]
    reused: tuple[str, ...]


def run(recipe: Recipe, folder: Path, *, reporter: Reporter | None = None) -> Ran:
    """Run a study in `folder`; a second run of the same does nothing again.

    Args:
        recipe: What to do.
        folder: The run folder; sibling folders that share a step share its result.
        reporter: Told how far it is.

    Raises:
        RunError: steps failed; what does not depend on them is done.
        PinchError: the only failing step's own error, where there was one step that failed for a user's reason.
    """
    reporter = reporter or Silent()
    graph = build(recipe)
    with store.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    store.write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    todo = list(_missing(graph, folder))
    reporter.begin(len(graph.steps), len(graph.steps) - len(todo), sum(step.cost for step in todo))
    failed: dict[str, PinchError] = {}
    skipped: set[str] = set()
    with Context(folder, graph, reporter) as context:
        for step in todo:
            if any(one in failed or one in skipped for one in step.inputs):
                skipped.add(step.name)
                continue
            try:
                _do(step, context)
            except PinchError as error:
                failed[step.name] = error
    if failed:
        raise _summary(failed, skipped)
    # At the top as well, where people look; also when the step itself was there already.
    store.write_text(folder / "scores.jsonl", (folder / "score" / RECORDS).read_text(encoding="utf-8"))
    names = {step.name for step in todo}
    return Ran(folder, tuple(names), tuple(name for name in graph.steps if name not in names))


def _missing(graph: Graph, folder: Path) -> Iterator[Step]:
    """Yield the steps that have no result of their key here, linking those that a sibling run has."""
    siblings: dict[str, Path] | None = None
    for step in graph.steps.values():
        target = folder / step.name
        if is_kept(target, step.key):
            continue
        if siblings is None:
            siblings = _results_beside(folder)
        if step.key in siblings and step.kind != "report":
            _link(siblings[step.key], target)
            continue
        yield step


def _results_beside(folder: Path) -> dict[str, Path]:
    """Return key -> step folder of every finished step of the run folders beside this one."""
    found = {}
    for recipe in folder.resolve().parent.glob("*/recipe.json"):
        if recipe.parent == folder.resolve():
            continue
        for path in recipe.parent.rglob("manifest.json"):
            manifest = store.read_manifest(path.parent)
            if manifest is not None:
                found[manifest.key] = path.parent
    return found


def _link(source: Path, target: Path) -> None:
    """Make `target` the same as `source`, by hard links where the file system has them. Results never change."""

    def link_or_copy(one: str, other: str) -> str:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
        return other

    with store.atomic_folder(target) as partial:
        shutil.copytree(source, partial, copy_function=link_or_copy, dirs_exist_ok=True)


def _do(step: Step, context: Context) -> None:
    target = context.folder / step.name
    draft = store.Manifest(
        key=step.key,
        step=step.name,
        kind=step.kind,
        version=VERSIONS[step.kind],
        settings=step.settings,
        inputs={one: context.graph.steps[one].key for one in step.inputs},
    )
    context.reporter.step(step.name, step.cost)
    began = time.monotonic()
    error: str | None = None
    try:
        keep(target, draft, lambda: RUNNERS[step.kind](step, target, context))
    except PinchError as caught:
        error = caught.message
        raise
    finally:
        context.reporter.done(step.name, time.monotonic() - began, error)


def _summary(failed: dict[str, PinchError], skipped: set[str]) -> PinchError:
    if len(failed) == 1:
        ((name, error),) = failed.items()
        error.message = f"Step {name} failed: {error.message}"
        if skipped:
            error.hint = f"{error.hint}\n{len(skipped)} steps that need it were left; run again once it is mended."
        return error
    lines = "\n".join(f"  - {name}: {error.message}" for name, error in failed.items())
    return RunError(f"{len(failed)} steps failed, {len(skipped)} that need them were left:\n{lines}", hint="")
