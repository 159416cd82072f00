"""What each kind of step does in a study: reads its inputs' records, does the work, writes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pinchtune import models, store
from pinchtune.engine import Engine, open_engine
from pinchtune.errors import DataError
from pinchtune.experiments import Figure
from pinchtune.judging.judge import Judge, open_judge
from pinchtune.records import Answer, Example, Failure, Identified, Outcome, Prompt, Sampling, Score, Verdict
from pinchtune.scoring.factors import Factor
from pinchtune.scoring.scores import Comparison, Row
from pinchtune.scoring.similarity import PairFactor
from pinchtune.sources import pack
from pinchtune.sources.rows import Source
from pinchtune.study import cards, factors, judging, reading, translating, work
from pinchtune.study.graph import Graph, Step
from pinchtune.study.keep import FAILURES, OUTCOMES, RECORDS, Result
from pinchtune.study.progress import Reporter
from pinchtune.tuning.settings import TuningSettings

R = TypeVar("R", bound=msgspec.Struct)
#: Fields of answers, identifications and verdicts that name a model.
_MODELS = ("model", "first", "second")


class Context:
    """What steps share while a study runs: folders, the reporter, and an engine kept warm over consecutive steps."""

    def __init__(self, folder: Path, graph: Graph, reporter: Reporter) -> None:
        self.folder = folder
        self.graph = graph
        self.reporter = reporter
        self._engine: tuple[tuple[str, str], Engine] | None = None
        self._judge: tuple[bytes, Judge] | None = None

    def __enter__(self) -> Context:
        """Nothing is opened before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine, the judge and the verdict cache."""
        self._close_engine()
        self._close_judge()

    def read(self, step: str, kind: type[R], name: str = RECORDS) -> list[R]:
        """Return the records of a finished step; none where it wrote no such file."""
        path = self.folder / step / name
        return list(store.read_records(path, kind)) if path.is_file() else []

    def engine(self, name: str, model: str) -> Engine:
        """Return an open engine on a model, the running one if it is the same."""
        if self._engine is None or self._engine[0] != (name, model):
            self._close_engine()
            self._engine = (name, model), open_engine(name, model, on_note=self.reporter.note)
        return self._engine[1]

    def judge(self, name: str, languages: Sequence[str], settings: Mapping[str, Any]) -> Judge:
        """Return an open judge, the running one if it is the same."""
        key = store.canonical([name, languages, settings])
        if self._judge is None or self._judge[0] != key:
            self._close_judge()
            self._judge = key, open_judge(name, languages=languages, **settings)
        return self._judge[1]

    def _close_judge(self) -> None:
        if self._judge is not None:
            judging.close(self._judge[1])
            self._judge = None

    def _close_engine(self) -> None:
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None


def _base(step: Step, _folder: Path, context: Context) -> Result:
    # Where it lies is this machine's business; the manifest names the model.
    models.resolve(step.settings["base_model"], on_note=context.reporter.note, on_progress=context.reporter.advance)
    notes = {"licence": models.GEMMA_TERMS} if step.settings["base_model"] == models.EMBEDDED else {}
    return Result(notes=notes, libraries=("transformers", "gguf"))


def _examples(step: Step, folder: Path, context: Context) -> Result:
    settings = step.settings
    tag, limit = settings["tag"], settings.get("limit")
    seen: list[Source] = []
    if settings["source"] == reading.PACK:
        found = list(pack.examples([tag], max_words=settings.get("max_words")))
        duplicates = 0
    else:
        every, duplicates = reading.read_examples(
            [settings["source"]],
            language=settings.get("language"),
            options=settings["options"],
            on_source=seen.append,
        )
        found = [example for example in every if example.language == tag]
        if not found:
            there = ", ".join(sorted({example.language for example in every})) or "none"
            raise DataError(settings["source"], None, f"has no example in {tag}.", hint=f"Its languages: {there}.")
    found = found[:limit]
    store.write_records(folder / RECORDS, found)
    notes = {"n_duplicates": duplicates} | _terms(seen, context)
    return Result(n_in=len(found) + duplicates, n_out=len(found), notes=notes)


def _prompts(step: Step, folder: Path, context: Context) -> Result:
    settings = step.settings
    tag, limit = settings["tag"], settings.get("limit")
    seen: list[Source] = []
    if settings["source"] == reading.PACK:
        found = list(pack.prompts([tag], limit=limit, max_words=settings.get("max_words")))
    else:
        found = reading.read_prompts(
            settings["source"],
            wanted=[tag],
            language=settings.get("language"),
            limit=limit,
            options=settings["options"],
            on_source=seen.append,
        )
    store.write_records(folder / RECORDS, found)
    return Result(n_in=len(found), n_out=len(found), notes=_terms(seen, context))


def _terms(seen: Sequence[Source], context: Context) -> dict[str, Any]:
    """Say on what terms data sets come, and return them for the manifest."""
    for source in seen:
        context.reporter.note(reading.terms(source))
    return {"sources": [source.to_dict() for source in seen]} if seen else {}


def _translate(step: Step, folder: Path, context: Context) -> Result:
    settings = step.settings
    of_prompts = settings["records"] == "prompts"
    read = context.read(step.inputs[0], Prompt) if of_prompts else context.read(step.inputs[0], Example)
    result = translating.translate(
        folder,
        read,
        engine=settings["engine"],
        engine_settings=settings["settings"],
        source=settings["source"],
        target=settings["target"],
        names=settings["names"],
        untranslatable=settings["untranslatable"],
        ask=settings["ask"],
        keep_source=False,
        advance=context.reporter.advance,
    )
    sources = _sources(step, context)
    return msgspec.structs.replace(result, notes=result.notes | ({"sources": sources} if sources else {}))


def _mix(step: Step, folder: Path, context: Context) -> Result:
    pool = [example for one in step.inputs for example in context.read(one, Example)]
    options = dict(step.settings)
    result = work.mix(folder, pool, design=options.pop("design"), options=options)
    return cards.with_mixture_card(folder, step, result, _sources(step, context))


def _sources(step: Step, context: Context) -> list[dict[str, Any]]:
    """Return the data sets that a step's inputs came from, each once."""
    manifests = [store.read_manifest(context.folder / one) for one in step.inputs]
    told = [source for manifest in manifests if manifest for source in manifest.notes.get("sources", [])]
    return [source for number, source in enumerate(told) if source not in told[:number]]


def _tune(step: Step, folder: Path, context: Context) -> Result:
    settings = dict(step.settings)
    seed, base = settings.pop("seed"), settings.pop("base_model")
    settings.pop("chat_template_key", None)
    result = work.tune(
        folder,
        context.read(step.inputs[1], Example),
        base=base,
        settings=TuningSettings(**settings),
        seed=seed,
        model_folder=folder / "model",
        on_note=context.reporter.note,
        advance=context.reporter.advance,
    )
    cards.say_mixture(folder / "model", context.graph.steps[step.inputs[1]])
    return result


def _answer(step: Step, folder: Path, context: Context) -> Result:
    trained, asked = step.inputs
    settings = step.settings
    source = str(context.folder / trained / "model")
    if context.graph.steps[trained].kind == "base":
        source = context.graph.steps[trained].settings["base_model"]
    result = work.generate(
        folder,
        context.read(asked, Prompt),
        open_engine=lambda: context.engine(settings["engine"], source),
        model=settings["model"],
        sampling=Sampling(
            max_new_tokens=settings["max_new_tokens"],
            temperature=settings["temperature"],
            top_p=settings["top_p"],
            seed=settings["seed"],
        ),
        batch_size=settings["batch_size"],
        advance=context.reporter.advance,
    )
    work.require_whole(result, "questions")
    return result


def _identify(step: Step, folder: Path, context: Context) -> Result:
    prompts, answers = context.read(step.inputs[0], Prompt), context.read(step.inputs[1], Answer)
    return work.identify(folder, answers, prompts, step.settings["languages"])


def _judge(step: Step, folder: Path, context: Context) -> Result:
    settings = step.settings
    candidate, baseline = (
        work.by_key(msgspec.structs.replace(one, model=settings[side]) for one in context.read(name, Answer))
        for name, side in zip(step.inputs[1:], ("candidate", "baseline"), strict=True)
    )
    judge = context.judge(settings["judge"], settings["languages"], settings["settings"])
    with judging.verdict_cache(judge) as cache:
        result = judging.judge(
            folder,
            context.read(step.inputs[0], Prompt),
            candidate,
            baseline,
            judge=judge,
            advance=context.reporter.advance,
            cache=cache,
        )
    if (said := judging.spent_sentence(result.spent)) is not None:
        context.reporter.note(f"  {step.name}: {said}")
    work.require_whole(result, "calls to the judge")
    return result


def gather(step: Step, context: Context, room: str, kind: type[R]) -> list[R]:
    """Return the records of all inputs whose names begin with `room`, in the graph's order.

    Their models are called what the recipe calls them, for this is where they are shown.
    """
    found: list[R] = []
    for one in step.inputs:
        if one.split("/")[0] == room:
            names = context.graph.steps[one].names
            found += [_called(record, names) for record in context.read(one, kind)]
    return found


def _called(record: R, names: Mapping[str, str]) -> R:
    changes = {field: names[getattr(record, field)] for field in _MODELS if getattr(record, field, None) in names}
    return msgspec.structs.replace(record, **changes) if changes else record


def _score(step: Step, folder: Path, context: Context) -> Result:
    seen = {
        one.split("/")[1]: sorted({example.language for example in context.read(one, Example)})
        for one in step.inputs
        if context.graph.steps[one].kind == "mix"
    }
    inputs = work.Scored(
        prompts=gather(step, context, "prompts", Prompt),
        answers=gather(step, context, "answer", Answer),
        identified=gather(step, context, "identify", Identified),
        verdicts=gather(step, context, "judge", Verdict),
        comparisons=[msgspec.convert(one, Comparison) for one in step.settings["comparisons"]],
        rows=msgspec.convert(step.settings.get("rows", []), list[Row]),
        seen=seen,
        panel=step.settings.get("panel"),
    )
    scores, outcomes = work.score(inputs, seed=step.settings["seed"])
    store.write_records(folder / RECORDS, scores)
    store.write_records(folder / OUTCOMES, outcomes)
    return Result(n_in=len(outcomes), n_out=len(scores), notes={"seen": seen}, libraries=("numpy",))


def _report(step: Step, folder: Path, context: Context) -> Result:
    from pinchtune.recipe import Recipe
    from pinchtune.report.experiments import experiments_of
    from pinchtune.report.factors import section_of, shares_of
    from pinchtune.report.page import page_of_recipe, write_page

    recipe = Recipe.model_validate(step.settings["recipe"])
    manifests = {one: store.read_manifest(context.folder / one) for one in step.inputs}
    score_manifest = manifests["score"]
    assert score_manifest is not None
    outcomes = context.read("score", Outcome, OUTCOMES)
    scores = context.read("score", Score)
    figures = msgspec.convert(step.settings.get("figures", ()), tuple[Figure, ...])
    looked_at = gather(step, context, factors.ROOM, Factor)
    page = page_of_recipe(
        recipe,
        **experiments_of(figures, outcomes, scores, seed=recipe.seed, shares=shares_of(looked_at)),
        factors=section_of(
            looked_at,
            [pair for one in step.inputs for pair in context.read(one, PairFactor, factors.PAIRS)],
            figures,
            outcomes,
            scores,
            candidates=[one.candidate for one in recipe.comparisons],
            seed=recipe.seed,
        ),
        manifests={one: manifest for one, manifest in manifests.items() if manifest is not None},
        prompts=gather(step, context, "prompts", Prompt),
        answers=gather(step, context, "answer", Answer),
        identified=work.exempted(
            gather(step, context, "identify", Identified), gather(step, context, "prompts", Prompt)
        ),
        outcomes=outcomes,
        scores=scores,
        failures=[f for one in step.inputs for f in context.read(one, Failure, FAILURES)],
        verdicts=gather(step, context, "judge", Verdict),
        unjudged=_unjudged(step, context),
        seen=score_manifest.notes["seen"],
    )
    write_page(page, folder)
    return Result(n_in=len(step.inputs), n_out=1, libraries=("matplotlib", "jinja2"))


def _unjudged(step: Step, context: Context) -> dict[tuple[str, str, str], list[Failure]]:
    """Return (candidate, baseline, language) -> calls of the judges that gave no verdict."""
    found: dict[tuple[str, str, str], list[Failure]] = {}
    for one in step.inputs:
        if one.split("/")[0] == "judge":
            candidate, baseline = context.graph.steps[one].names.values()
            for failure in context.read(one, Failure, FAILURES):
                found.setdefault((candidate, baseline, failure.language), []).append(failure)
    return found


RUNNERS: dict[str, Callable[[Step, Path, Context], Result]] = {
    "base": _base,
    "examples": _examples,
    "prompts": _prompts,
    "translate": _translate,
    "mix": _mix,
    "tune": _tune,
    "answer": _answer,
    "identify": _identify,
    "judge": _judge,
    "factors": factors.do,
    "score": _score,
    "report": _report,
}
