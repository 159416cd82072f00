"""What a plan knows beforehand: which steps are there, how long texts are, what services ask for."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinchtune import store
from pinchtune.recipe import Recipe
from pinchtune.study import sizes
from pinchtune.study.executors.folders import Folder, results_beside
from pinchtune.study.graph import Graph, Step
from pinchtune.study.keep import RECORDS, is_kept
from pinchtune.study.run import renamed

#: Bytes of a record beside its text, roughly.
_RECORD = 160


def there(graph: Graph, folder: Path | None) -> set[str]:
    """Return the steps whose results are in a run folder, or in one beside it, as a run would find them."""
    if folder is None or not folder.parent.is_dir():
        return set()
    kept = {step.name for step in graph.steps.values() if is_kept(folder / step.name, step.key)}
    taken_over = {*results_beside(folder), *renamed(graph, Folder(folder)), *(graph.steps[name].key for name in kept)}
    return kept | {step.name for step in graph.steps.values() if step.key in taken_over and step.kind != "report"}


def texts(graph: Graph, recipe: Recipe, folder: Path | None) -> dict[str, sizes.Texts | None]:
    """Return what each step that brings texts in holds, or would hold; None where that is not known."""
    found: dict[str, sizes.Texts | None] = {}
    sources = recipe.data.train.sources
    for step in graph.steps.values():
        if step.kind == "translate":
            before = found[step.inputs[0]]
            held = before and sizes.translated(before, step.settings["source"], step.settings["target"])
        elif step.kind == "examples":
            number = int(step.name.partition("/")[0].partition("-")[2] or 1)
            held = sizes.of_source(sources[number - 1], step.settings["tag"], "train")
        elif step.kind == "prompts":
            held = sizes.of_source(recipe.data.eval, step.settings["tag"], "eval")
        else:
            continue
        if folder is not None and (held is None or not held.measured):
            held = _kept(step, folder) or held
        found[step.name] = held
    return found


def _kept(step: Step, folder: Path) -> sizes.Texts | None:
    """Return what a finished step holds, its texts' length by the size of its file."""
    target = folder / step.name
    manifest = store.read_manifest(target)
    if manifest is None or manifest.key != step.key or not manifest.n_out:
        return None
    length = max((target / RECORDS).stat().st_size / manifest.n_out - _RECORD, 1.0)
    return sizes.Texts(manifest.n_out, length, length)


def price_of_characters(engine: str, settings: Mapping[str, Any]) -> float | None:
    """Return US dollars for a million characters; None where an engine costs nothing or its price is not known."""
    from pinchtune.translation.engines import deepl, google

    kind, _, model = engine.partition(":")
    if "price" in settings:
        return float(settings["price"])
    if kind == "google":
        return google._PRICES.get(settings.get("model") or model or "general/nmt")
    return deepl._PRICE if kind == "deepl" else None


def template_bytes(settings: Mapping[str, Any]) -> int:
    """Return the length of an LLM judge's prompt without what is put into it."""
    name = settings.get("prompt") or ("side-by-side-explained-1" if settings.get("explain") else "side-by-side-1")
    shipped = importlib.resources.files("pinchtune.judging") / "prompts" / f"{name}.txt"
    path = Path(name)
    if shipped.is_file():
        return len(shipped.read_bytes())
    return path.stat().st_size if path.is_file() else 0
