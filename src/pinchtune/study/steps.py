"""What each kind of step does: reads its inputs' records, calls a stage, writes its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pinchtune import models, store
from pinchtune.errors import DataError
from pinchtune.generation.answer import answer
from pinchtune.generation.engine import Engine, open_engine
from pinchtune.identification import Identifier
from pinchtune.judging.fidelity import fidelity
from pinchtune.judging.judge import Judge, open_judge
from pinchtune.judging.side_by_side import judge_both_orders, outcomes, pair_up
from pinchtune.mixtures.designs import DESIGNS, describe
from pinchtune.records import Answer, Example, Failure, Identified, Prompt, Sampling, Score, Verdict
from pinchtune.scoring.scores import Comparison, score_study
from pinchtune.sources import files, pack
from pinchtune.study.graph import Graph, Step
from pinchtune.study.progress import Reporter
from pinchtune.tuning.settings import TuningSettings

R = TypeVar("R", bound=msgspec.Struct)
RECORDS = "records.jsonl"
FAILURES = "failures.jsonl"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's manifest says of its work."""

    n_in: int = 0
    n_out: int = 0
    failed: dict[str, int] = {}
    notes: dict[str, Any] = {}
    #: Distributions whose versions matter to the result.
    libraries: tuple[str, ...] = ()


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
        """Close the engine."""
        self._close_engine()

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
            self._judge = key, open_judge(name, languages=languages, **settings)
        return self._judge[1]

    def _close_engine(self) -> None:
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None


def _base(step: Step, _folder: Path, context: Context) -> Result:
    source = models.resolve(step.settings["base_model"], on_note=context.reporter.note)
    del source  # where it lies is this machine's business; the manifest names the model
    notes = {"licence": models.GEMMA_TERMS} if step.settings["base_model"] == models.EMBEDDED else {}
    return Result(notes=notes, libraries=("transformers", "gguf"))


def _load(settings: Mapping[str, Any]) -> tuple[list[Example], int]:
    """Return one language's examples of a source, and how many duplicates were left out."""
    tag, limit = settings["tag"], settings.get("limit")
    if settings["source"] == "pack":
        split = settings["split"]
        found = [pack.to_example(e) for e in pack.select([tag], split=split, max_words=settings.get("max_words"))]
        duplicates = 0
    else:
        path = Path(settings["source"])
        loaded = files.load_examples(path, language=settings.get("language"))
        found = [example for example in loaded.examples if example.language == tag]
        duplicates = loaded.n_duplicates
        if not found:
            there = ", ".join(sorted({example.language for example in loaded.examples})) or "none"
            raise DataError(path, None, f"has no example in {tag}.", hint=f"Its languages: {there}.")
    return found[:limit], duplicates


def _examples(step: Step, folder: Path, _context: Context) -> Result:
    found, duplicates = _load(step.settings | {"split": "train"})
    store.write_records(folder / RECORDS, found)
    return Result(n_in=len(found) + duplicates, n_out=len(found), notes={"n_duplicates": duplicates})


def _prompts(step: Step, folder: Path, _context: Context) -> Result:
    found, duplicates = _load(step.settings | {"split": "eval"})
    store.write_records(folder / RECORDS, files.examples_to_prompts(found))
    return Result(n_in=len(found) + duplicates, n_out=len(found), notes={"n_duplicates": duplicates})


def _mix(step: Step, folder: Path, context: Context) -> Result:
    pool = [example for one in step.inputs for example in context.read(one, Example)]
    settings = dict(step.settings)
    drawn = DESIGNS[settings.pop("design")](pool, **settings)
    store.write_records(folder / RECORDS, drawn)
    return Result(n_in=len(pool), n_out=len(drawn), notes=describe(drawn))


def _tune(step: Step, folder: Path, context: Context) -> Result:
    from pinchtune.tuning.train import tune

    settings = dict(step.settings)
    seed, base = settings.pop("seed"), settings.pop("base_model")
    settings.pop("chat_template_key", None)
    examples = context.read(step.inputs[1], Example)
    tuned = tune(
        examples,
        base=base,
        output=folder / "model",
        settings=TuningSettings(**settings),
        seed=seed,
        texts=(turn.content for entry in pack.select(split="train") for turn in entry.turns),
        on_note=context.reporter.note,
        on_progress=lambda done, total: context.reporter.advance(done / max(total, 1)),
    )
    notes = {"n_tokens": tuned.n_tokens, "n_labels": tuned.n_labels, "loss": [list(pair) for pair in tuned.loss]}
    libraries = ("torch", "transformers", "peft", "accelerate")
    return _with_failures(folder, len(examples), tuned.n_examples, tuned.failures, notes=notes, libraries=libraries)


def _answer(step: Step, folder: Path, context: Context) -> Result:
    trained, asked = step.inputs
    prompts = context.read(asked, Prompt)
    model = step.settings["model"]
    source = str(context.folder / trained / "model")
    if model == "base":
        source = context.graph.steps[trained].settings["base_model"]
    settings = step.settings
    sampling = Sampling(
        max_new_tokens=settings["max_new_tokens"],
        temperature=settings["temperature"],
        top_p=settings["top_p"],
        seed=settings["seed"],
    )
    log = store.RecordLog(folder / "finished.jsonl", Answer)
    left = [prompt for prompt in prompts if prompt.id not in log.finished]
    try:
        if left:
            engine = context.engine(settings["engine"], source)
            made = answer(left, engine, model=model, sampling=sampling, batch_size=settings["batch_size"])
            for one in made:
                log.add(one.id, one)
                context.reporter.advance(len(log.finished) / len(prompts))
    finally:
        log.close()
    answers = [log.finished[prompt.id] for prompt in prompts]
    store.write_records(folder / RECORDS, answers)
    # Beside the answers, since both read the same text: which language each is in.
    identifier = Identifier([prompt.language for prompt in prompts[:1]])
    by_key = {(prompt.id, prompt.language): prompt for prompt in prompts}
    store.write_records(folder / "languages.jsonl", fidelity(answers, by_key, identifier))
    log.path.unlink(missing_ok=True)
    return Result(n_in=len(prompts), n_out=len(answers), libraries=("ctranslate2", "transformers", "py3langid"))


def _judge(step: Step, folder: Path, context: Context) -> Result:
    settings = step.settings
    prompts = context.read(step.inputs[0], Prompt)
    candidate, baseline = (
        {(one.id, one.language): one for one in context.read(name, Answer)} for name in step.inputs[1:]
    )
    judge = context.judge(settings["judge"], settings["languages"], settings["settings"])
    verdicts: list[Verdict] = []
    failures: list[Failure] = []
    for number, pair in enumerate(pair_up(prompts, candidate, baseline), 1):
        made = [pair] if isinstance(pair, Failure) else judge_both_orders(*pair, judge)
        for one in made:
            (failures if isinstance(one, Failure) else verdicts).append(one)  # type: ignore[arg-type]
        context.reporter.advance(number / len(prompts))
    store.write_records(folder / RECORDS, verdicts)
    libraries = ("sacrebleu", "py3langid", "lingua-language-detector")
    return _with_failures(folder, 2 * len(prompts), len(verdicts), failures, libraries=libraries)


def _with_failures(
    folder: Path, n_in: int, n_out: int, failures: Iterable[Failure], **more: Any
) -> Result:
    listed = list(failures)
    if listed:
        store.write_records(folder / FAILURES, listed)
    return Result(n_in=n_in, n_out=n_out, failed=dict(Counter(failure.reason for failure in listed)), **more)


def gather(step: Step, context: Context, kind: str, record: type[R], name: str = RECORDS) -> list[R]:
    """Return the records of all inputs of one kind, in the graph's order."""
    wanted = [one for one in step.inputs if context.graph.steps[one].kind == kind]
    return [found for one in wanted for found in context.read(one, record, name)]


def _score(step: Step, folder: Path, context: Context) -> Result:
    comparisons = [Comparison(**one) for one in step.settings["comparisons"]]
    verdicts = gather(step, context, "judge", Verdict)
    decided = [
        one
        for pair in comparisons
        for one in outcomes(verdicts, candidate=pair.candidate, baseline=pair.baseline)
    ]
    seen = {
        one.split("/")[1]: sorted({example.language for example in context.read(one, Example)})
        for one in step.inputs
        if context.graph.steps[one].kind == "mix"
    }
    scores = score_study(
        prompts=gather(step, context, "prompts", Prompt),
        answers=gather(step, context, "answer", Answer),
        outcomes=decided,
        identified=gather(step, context, "answer", Identified, "languages.jsonl"),
        comparisons=comparisons,
        seen=seen,
        seed=step.settings["seed"],
    )
    store.write_records(folder / RECORDS, scores)
    store.write_records(folder / "outcomes.jsonl", decided)
    store.write_records(context.folder / "scores.jsonl", scores)
    return Result(n_in=len(decided), n_out=len(scores), notes={"seen": seen}, libraries=("numpy",))


def _report(step: Step, folder: Path, context: Context) -> Result:
    from pinchtune.recipe import Recipe
    from pinchtune.records import Outcome
    from pinchtune.report.page import Study, write_page

    recipe = Recipe.model_validate(step.settings["recipe"])
    manifests = {one: store.read_manifest(context.folder / one) for one in step.inputs}
    score_manifest = manifests["score"]
    assert score_manifest is not None
    study = Study(
        recipe=recipe,
        prompts=gather(step, context, "prompts", Prompt),
        answers=gather(step, context, "answer", Answer),
        identified=gather(step, context, "answer", Identified, "languages.jsonl"),
        outcomes=context.read("score", Outcome, "outcomes.jsonl"),
        verdicts=gather(step, context, "judge", Verdict),
        scores=context.read("score", Score),
        failures=[f for one in step.inputs for f in context.read(one, Failure, FAILURES)],
        seen=score_manifest.notes["seen"],
        manifests={one: manifest for one, manifest in manifests.items() if manifest is not None},
    )
    write_page(study, folder)
    return Result(n_in=len(step.inputs), n_out=1, libraries=("matplotlib", "jinja2"))


RUNNERS: dict[str, Callable[[Step, Path, Context], Result]] = {
    "base": _base,
    "examples": _examples,
    "prompts": _prompts,
    "mix": _mix,
    "tune": _tune,
    "answer": _answer,
    "judge": _judge,
    "score": _score,
    "report": _report,
}
