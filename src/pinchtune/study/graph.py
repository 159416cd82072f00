"""A study as a graph of steps: each keyed by its settings, its inputs' keys and its kind's version.

Same key, same result. Names are paths in the run folder: "answer/pinch/es". They hold what a recipe calls its mixtures,
which no key does but those of the steps that show these names: score and report. A mixture of another name is so the
same steps; their records say what the mixture is (`pinchtune.mixture_names.content_name`), and `Step.names` what the
recipe calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from pinchtune import languages, models, store
from pinchtune.design_words import BASE, MONOLINGUAL, Mixture, mixture_languages, mixture_size
from pinchtune.experiments import Figure, expand
from pinchtune.identification import CANDIDATES
from pinchtune.mixture_names import content_name, plainest
from pinchtune.recipe import Recipe, SourceSettings
from pinchtune.study import factors, sizes

#: Moves when a kind of step would give another result for the same settings.
STEPS = (
    *("base", "examples", "prompts", "translate", "mix", "tune", "answer", "identify", "judge", "factors"),
    *("score", "report"),
)
#: Those whose results hold the names that a recipe gives, and their keys with them.
_NAMING = ("score", "report")
#: Made by single commands alone.
COMMANDS = ("annotate", "annotations", "correlate")
#: After the content of a baseline that is the candidate itself, by another name.
_AGAIN = "-again"
#: Prompts of a language, for the costs of steps, where the number is not known.
_TYPICAL = 500
VERSIONS = dict.fromkeys((*STEPS, *COMMANDS), 1) | {"score": 4, "identify": 2, "report": 2}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a study."""

    name: str
    kind: str
    #: JSON values that, with the inputs, determine the result.
    settings: dict[str, Any]
    #: Names of the steps whose results it reads.
    inputs: tuple[str, ...] = ()
    key: str
    #: Model in its records -> what the recipe calls it; the candidate before the baseline. Not part of the key.
    names: dict[str, str] = {}
    #: Seconds on two slow cores, roughly: what the progress bar weighs steps by. Not part of the key.
    cost: float = 0.5


class Graph:
    """Steps in an order in which each comes after its inputs."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def add(
        self,
        name: str,
        kind: str,
        settings: dict[str, Any],
        inputs: Iterable[str] = (),
        cost: float = 0.5,
        names: Mapping[str, str] = {},
    ) -> str:
        """Add a step, key it, and return its name."""
        needed = tuple(inputs)
        keys = [self.steps[one].key for one in needed]
        keyed = {
            "kind": kind,
            "version": VERSIONS[kind],
            "settings": settings,
            "inputs": dict(zip(needed, keys, strict=True)) if kind in _NAMING else keys,
        }
        self.steps[name] = Step(
            name=name,
            kind=kind,
            settings=settings,
            inputs=needed,
            key=store.content_key(keyed),
            names=dict(names),
            cost=cost,
        )
        return name


def build(recipe: Recipe) -> Graph:
    """Expand a recipe, its experiments too, into its graph of steps.

    Raises:
        DataError: a file that the recipe names is not there.
    """
    expanded = expand(recipe)
    flat, answering = expanded.recipe, expanded.answers
    graph = Graph()
    base = graph.add("base", "base", _model_settings(flat.base_model), cost=_base_cost(flat.base_model))
    mixed = [tag for mixture in flat.mixtures.values() for tag in mixture_languages(plainest(mixture))]
    examples = _add_sources(graph, flat, "examples", mixed)
    asked = _add_sources(graph, flat, "prompts", flat.languages)
    prompts = {tag: asked[tag][0] for tag in flat.languages}
    trained = {name: _add_model(graph, flat, name, mixture, base, examples) for name, mixture in flat.mixtures.items()}
    trained[BASE] = base
    seeds = {name: flat.seed if mixture.seed is None else mixture.seed for name, mixture in flat.mixtures.items()}
    contents = {BASE: BASE} | {name: content_name(mixture, flat.seed) for name, mixture in flat.mixtures.items()}
    cells = [(model, tag) for model in flat.models for tag in answering[model]]
    generation = flat.generation.model_dump()
    n_prompts = _n_prompts(flat)
    answers = {
        (model, tag): graph.add(
            f"answer/{model}/{tag}",
            "answer",
            {"model": contents[model], "seed": seeds.get(model, flat.seed), **generation},
            [trained[model], prompts[tag]],
            cost=2 + 0.008 * n_prompts * flat.generation.max_new_tokens,
            names={contents[model]: model},
        )
        for model, tag in cells
    }
    told_apart = _told_apart(flat)
    identified = [
        graph.add(
            f"identify/{model}/{tag}",
            "identify",
            {"languages": told_apart},
            [prompts[tag], answers[model, tag]],
            cost=0.4 + 0.01 * n_prompts,
            names={contents[model]: model},
        )
        for model, tag in cells
    ]
    judged = _add_judging(graph, flat, prompts, answers, contents, told_apart, n_prompts)
    mixes = [f"mix/{name}" for name in flat.mixtures]
    inputs = [*prompts.values(), *mixes, *answers.values(), *identified, *judged]
    pairs = [
        {"candidate": one.candidate, "baseline": one.baseline}
        | ({"languages": list(one.languages)} if one.languages else {})
        for one in flat.comparisons
    ]
    counted: dict[str, Any] = {"seed": flat.seed, "comparisons": pairs}
    if flat.judging.panel:
        counted["panel"] = flat.judging.combine
    if rows := _rows(expanded.figures):
        counted["rows"] = rows
    scored = graph.add("score", "score", counted, inputs)
    tuned = [f"tune/{name}" for name in flat.mixtures]
    figures = {"figures": msgspec.to_builtins(expanded.figures)} if expanded.figures else {}
    shown = {"recipe": flat.model_dump(mode="json")} | figures
    looked_at = factors.add_steps(graph, flat, base, [*flat.languages, *mixed])
    graph.add("report", "report", shown, [*inputs, *tuned, scored, *looked_at], cost=5)
    return graph


def _add_judging(
    graph: Graph,
    flat: Recipe,
    prompts: Mapping[str, str],
    answers: Mapping[tuple[str, str], str],
    contents: Mapping[str, str],
    told_apart: Sequence[str],
    n_prompts: int,
) -> list[str]:
    added = []
    for number, judge in enumerate(flat.judging.judges, 1):
        # An LLM is not told which languages may come, so adding one changes nothing of its verdicts.
        known = [] if judge.judge.partition(":")[0] == "llm" else told_apart
        settings = {**judge.model_dump(), "languages": known}
        prompt = Path(str(judge.settings.get("prompt", "")))
        if prompt.is_file():
            settings["prompt_key"] = store.file_key(prompt)
        by = f"-by-{number}" if number > 1 else ""
        for one in flat.comparisons:
            candidate, baseline = contents[one.candidate], contents[one.baseline]
            if candidate == baseline:
                baseline += _AGAIN
            for tag in one.languages or flat.languages:
                added.append(
                    graph.add(
                        f"judge/{one.candidate}-vs-{one.baseline}{by}/{tag}",
                        "judge",
                        {"candidate": candidate, "baseline": baseline, **settings},
                        [prompts[tag], answers[one.candidate, tag], answers[one.baseline, tag]],
                        cost=0.3 + 0.02 * n_prompts,
                        names={candidate: one.candidate, baseline: one.baseline},
                    )
                )
    return added


def _rows(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the rows of a study's experiments whose baseline differs by language, each model's once, for the score."""
    found: dict[str, dict[str, Any]] = {}
    for arm in (arm for figure in figures if figure.baseline == MONOLINGUAL for arm in figure.arms if arm.cells):
        row = found.setdefault(
            arm.model, {"model": arm.model, "baseline": MONOLINGUAL, "cells": {}, "seen": list(arm.languages)}
        )
        row["cells"] |= arm.cells
    return list(found.values())


def _told_apart(flat: Recipe) -> list[str]:
    """Return the languages that identification is to know beside those that it always does.

    Not all that are evaluated in: then adding one of the usual languages would do all identification again.
    """
    return sorted({languages.parse(tag).base for tag in flat.languages} - set(CANDIDATES))


def _source_first(recipe: Recipe, tags: Iterable[str]) -> list[str]:
    """Return the tags, the one translated from before those that are made from it."""
    translation = recipe.data.translation
    return list(dict.fromkeys([*([translation.source] if translation else []), *tags]))


def _add_sources(
    graph: Graph, recipe: Recipe, kind: Literal["examples", "prompts"], tags: Iterable[str]
) -> dict[str, list[str]]:
    """Add the steps that bring conversations in, language by language, and return their names, one of each source."""
    split: Literal["train", "eval"] = "train" if kind == "examples" else "eval"
    translation = recipe.data.translation
    added: dict[str, list[str]] = {}
    for tag in _source_first(recipe, tags):
        for number, source in enumerate(recipe.data.train.sources if split == "train" else [recipe.data.eval], 1):
            room = kind if number == 1 else f"{kind}-{number}"
            if translation is None or tag == translation.source:
                name = graph.add(f"{room}/{tag}", kind, _source(source, tag, split))
            else:
                settings = translation.model_dump(mode="json") | {"target": tag, "records": kind}
                name = graph.add(f"{room}/{tag}", "translate", settings, [f"{room}/{translation.source}"], cost=30)
            added.setdefault(tag, []).append(name)
    return added


def _n_prompts(recipe: Recipe) -> int:
    """Return the prompts of a language, roughly, for the costs of steps."""
    tag = recipe.data.translation.source if recipe.data.translation else recipe.languages[0]
    held = sizes.of_source(recipe.data.eval, tag, "eval", read_files=False)
    return held.n if held else _TYPICAL


def _base_cost(model: str) -> float:
    ready = model != models.EMBEDDED or models.embedded_folder().is_dir()
    return 1 if ready else 40


def _add_model(
    graph: Graph, recipe: Recipe, name: str, mixture: Mixture, base: str, examples: Mapping[str, Sequence[str]]
) -> str:
    plain = plainest(mixture)
    # A draw does not depend on the order of its pool.
    wanted = [one for tag in sorted(mixture_languages(plain)) for one in examples[tag]]
    seed = recipe.seed if mixture.seed is None else mixture.seed
    drawn = plain.model_dump(exclude_none=True) | {"seed": seed}
    mix = graph.add(f"mix/{name}", "mix", drawn, wanted)
    n_examples = mixture_size(mixture)
    settings = {"seed": seed, "base_model": recipe.base_model, **recipe.tuning.model_dump(mode="json")}
    template = recipe.tuning.chat_template
    if template is not None and Path(template).is_file():
        settings["chat_template_key"] = store.file_key(Path(template))
    return graph.add(f"tune/{name}", "tune", settings, [base, mix], cost=15 + 0.4 * n_examples * recipe.tuning.epochs)


def _source(source: SourceSettings, tag: str, split: Literal["train", "eval"]) -> dict[str, Any]:
    """Return a source's settings with a key of what it holds, so that an edited file is read again."""
    from pinchtune.sources import pack

    settings = source.model_dump(exclude_none=True, exclude={"also"}) | {"tag": tag}
    if source.source == "pack":
        if tag not in pack.tags():
            return settings
        # Of the conversations meant, not of the file: the pack may grow without anything being done again.
        found = list(pack.select([tag], split=split, max_words=source.max_words))
        return settings | {"content_key": store.content_key(found[: source.limit])}
    path = Path(source.source.partition("=")[2] or source.source)
    return settings | ({"file_key": store.file_key(path)} if path.is_file() else {})


def _model_settings(model: str) -> dict[str, Any]:
    folder = Path(model)
    if model == models.EMBEDDED or not folder.is_dir():
        return {"base_model": model}
    # Weights are named, not read: their sizes and times tell a changed folder without hashing gigabytes.
    files = {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.iterdir()) if p.is_file()}
    return {"base_model": model, "files": files}
