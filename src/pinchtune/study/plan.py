"""What a study would do before it does anything: models, examples, answers, judge calls, time and money.

Nothing is fetched, opened or called. What only its source knows (how many prompts a data set has) is None, with a
sentence among the notes. Texts that are not here yet are counted with `pinchtune.study.sizes`, tokens with
`pinchtune.judging.tally.BYTES_PER_TOKEN`, and an answer as long as it may be: an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pinchtune import models
from pinchtune.design_words import BASE, Mixture, mixture_counts, mixture_size
from pinchtune.experiments import Expanded, expand
from pinchtune.judging.tally import BYTES_PER_TOKEN, Price
from pinchtune.recipe import Recipe
from pinchtune.records import Record
from pinchtune.study import plan_inputs
from pinchtune.study.calibrate import Calibration
from pinchtune.study.graph import STEPS, Graph, Step, build

#: Engines that ask a service: the time of their calls is the service's, and not in the plan.
_REMOTE = ("deepl", "google", "llm")
#: Tokens of an explained verdict, as the llm judge's own estimate has them.
_EXPLANATION = 200


class Count(Record, frozen=True, kw_only=True):
    """How many there are in the study, and how many of them are still to be done."""

    all: int
    todo: int


class ExperimentPlan(Record, frozen=True, kw_only=True):
    """What one experiment needs; new is what none before it in the recipe needs."""

    name: str
    design: str
    #: Tuned models, baselines among them.
    n_models: int
    n_new_models: int
    #: A cell is two models and a language.
    n_cells: int
    n_new_cells: int
    #: Of all cells, by all judges, in both orders.
    n_judge_calls: int | None


class Plan(Record, frozen=True, kw_only=True):
    """A study in numbers. Money in US dollars, time in seconds, both of what is still to be done."""

    name: str
    base_model: str
    judges: tuple[str, ...]
    #: Kind of step -> steps.
    steps: dict[str, Count]
    models: Count
    #: Training examples over all models, and tokens over all passes.
    examples: Count
    training_tokens: Count | None
    answers: Count | None
    judge_calls: Count | None
    experiments: tuple[ExperimentPlan, ...] = ()
    #: Characters sent to the translation engine, and what it asks for them.
    characters: Count | None = None
    translation_cost: float | None = None
    #: Read and written by LLM judges, at most.
    judge_tokens: Count | None = None
    judge_cost: float | None = None
    #: Kind of step -> seconds; None where that is not known here.
    seconds: dict[str, float | None]
    #: Whether seconds were measured here.
    calibrated: bool = False
    notes: tuple[str, ...] = ()
    #: Names of the steps to do, in their order; each name of one mixture, so there may be more than `steps` counts.
    todo: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float | None:
        """Seconds of all steps, or None where a kind's are not known."""
        known = [one for one in self.seconds.values() if one is not None]
        return sum(known) if len(known) == len(self.seconds) else None


def plan(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    prices: Mapping[str, Price] = {},
    calibration: Calibration | None = None,
) -> Plan:
    """Expand a recipe and count.

    Args:
        recipe: The study; `pinchtune.experiments.only` cuts it down to one experiment.
        folder: Its run folder; what is finished there, or in run folders beside it, is not to do.
        prices: Model -> price, of LLM judges.
        calibration: Speeds measured here.
    """
    return _Planner(recipe, folder, prices, calibration).plan()


class _Planner:
    """The counts of one plan, each by a method."""

    def __init__(
        self, recipe: Recipe, folder: Path | None, prices: Mapping[str, Price], calibration: Calibration | None
    ) -> None:
        self.recipe = recipe
        self.prices = prices
        self.calibration = calibration
        self.expanded: Expanded = expand(recipe)
        self.graph: Graph = build(recipe)
        # Two names for one mixture are one model.
        self.once = list({step.key: step for step in reversed(self.graph.steps.values())}.values())[::-1]
        self.there = plan_inputs.there(self.graph, folder)
        self.texts = plan_inputs.texts(self.graph, recipe, folder)
        self.notes: dict[str, None] = {}

    def plan(self) -> Plan:
        mixtures = self.expanded.recipe.mixtures
        tuned = {step.name: mixtures[step.name.partition("/")[2]] for step in self._of("tune")}
        characters, translation_cost = self._translation()
        judge_tokens, judge_cost = self._judge_tokens()
        tokens = self._count("tune", lambda step: self._tokens(tuned[step.name]))
        calls = self._count("judge", lambda step: self._times(2, step.inputs[0]))
        answers = self._count("answer", lambda step: self._times(1, step.inputs[1]))
        seconds = self._seconds(tokens)
        self._note_twins()
        if any(not one.measured for one in self.texts.values() if one is not None):
            self.notes["Texts that are not here yet are counted by published means (pinchtune.study.sizes)."] = None
        return Plan(
            name=self.recipe.name,
            base_model=self.recipe.base_model,
            judges=tuple(one.judge for one in self.recipe.judging.judges),
            steps={kind: made for kind in STEPS if (made := self._steps(kind)).all},
            models=self._steps("tune"),
            examples=self._known("tune", lambda step: mixture_size(tuned[step.name])),
            training_tokens=tokens,
            answers=answers,
            judge_calls=calls,
            experiments=tuple(self._experiments()),
            characters=characters,
            translation_cost=translation_cost,
            judge_tokens=judge_tokens,
            judge_cost=judge_cost,
            seconds=seconds,
            calibrated=self.calibration is not None,
            notes=tuple(self.notes),
            todo=tuple(name for name in self.graph.steps if name not in self.there),
        )

    # -- counting

    def _of(self, kind: str) -> list[Step]:
        return [step for step in self.once if step.kind == kind]

    def _steps(self, kind: str) -> Count:
        return self._known(kind, lambda _: 1)

    def _known(self, kind: str, size: Callable[[Step], float]) -> Count:
        made = self._count(kind, size)
        assert made is not None
        return made

    def _count(self, kind: str, size: Callable[[Step], float | None]) -> Count | None:
        """Add up a size over the steps of a kind; None where it is not known of one."""
        every = todo = 0.0
        for step in self._of(kind):
            one = size(step)
            if one is None:
                return None
            every += one
            todo += 0 if step.name in self.there else one
        return Count(all=round(every), todo=round(todo))

    def _times(self, factor: int, prompts: str) -> int | None:
        held = self.texts[prompts]
        if held is None:
            self.notes[f"How many prompts {prompts} has is not known before it is fetched."] = None
            return None
        return factor * held.n

    def _tokens(self, mixture: Mixture) -> float | None:
        """Return a mixture's training tokens over all passes."""
        sources = len(self.expanded.recipe.data.train.sources)
        total = 0.0
        for tag, count in mixture_counts(mixture).items():
            rooms = [f"examples/{tag}", *(f"examples-{number}/{tag}" for number in range(2, sources + 1))]
            pool = [self.texts[room] for room in rooms]
            held = [one for one in pool if one is not None and one.n]
            if len(held) < len(pool):
                self.notes[f"How long the training texts in {tag} are is not known before they are fetched."] = None
                return None
            mean = sum(one.n * one.n_bytes for one in held) / sum(one.n for one in held)
            total += count * mean / BYTES_PER_TOKEN
        return total * self.recipe.tuning.epochs

    def _experiments(self) -> Iterator[ExperimentPlan]:
        prompts = self.texts
        n_judges = len(self.recipe.judging.judges)
        models_before: set[str] = set()
        cells_before: set[tuple[str, str, str]] = set()
        for figure in self.expanded.figures:
            cells = {(arm.model, other, tag) for arm in figure.arms for tag, other in arm.cells.items()}
            wanted = {arm.model for arm in figure.arms} | {other for _, other, _ in cells}
            tuned = wanted - {BASE}
            held = [prompts[f"prompts/{tag}"] for _, _, tag in cells]
            known = [one.n for one in held if one is not None]
            yield ExperimentPlan(
                name=figure.experiment,
                design=figure.design,
                n_models=len(tuned),
                n_new_models=len(tuned - models_before),
                n_cells=len(cells),
                n_new_cells=len(cells - cells_before),
                n_judge_calls=2 * n_judges * sum(known) if len(known) == len(held) else None,
            )
            models_before |= tuned
            cells_before |= cells

    def _note_twins(self) -> None:
        """Say of comparisons by hand that both names are of one model: allowed, and it tells nothing."""
        for pair in self.recipe.comparisons:
            one, other = (self.graph.steps.get(f"tune/{name}") for name in (pair.candidate, pair.baseline))
            if one is not None and other is not None and one.key == other.key:
                self.notes[
                    f"{pair.candidate} and {pair.baseline} are one model under two names: set against each other, "
                    "all their pairs are ties."
                ] = None

    # -- money

    def _translation(self) -> tuple[Count | None, float | None]:
        settings = self.recipe.data.translation
        if settings is None:
            return None, None
        characters = self._count("translate", self._characters)
        price = plan_inputs.price_of_characters(settings.engine, settings.settings)
        if characters is None or price is None:
            if settings.engine.partition(":")[0] in _REMOTE:
                self.notes[f"What {settings.engine} asks for a million characters is not known here."] = None
            return characters, None
        return characters, characters.todo * price / 1e6

    def _characters(self, step: Step) -> float | None:
        held = self.texts[step.inputs[0]]
        if held is None:
            self.notes[f"How long {step.inputs[0]} is, is not known before it is fetched."] = None
            return None
        return held.n * held.characters

    def _judge_tokens(self) -> tuple[Count | None, float | None]:
        every = todo = 0.0
        cost: float | None = 0.0
        asked = False
        for step in self._of("judge"):
            kind, _, model = step.settings["judge"].partition(":")
            if kind != "llm":
                continue
            asked = True
            held = self.texts[step.inputs[0]]
            if held is None:
                return None, None
            settings = step.settings["settings"]
            around = plan_inputs.template_bytes(settings) + held.n_bytes
            read = around / BYTES_PER_TOKEN + 2 * self.recipe.generation.max_new_tokens
            written = _EXPLANATION if settings.get("explain") else settings.get("max_tokens", 1)
            calls = 2 * held.n
            every += calls * (read + written)
            if step.name in self.there:
                continue
            todo += calls * (read + written)
            price = self.prices.get(settings.get("model", model))
            cost = None if price is None or cost is None else cost + price.cost(calls * read, calls * written)
        if not asked:
            return None, None
        if cost is None:
            self.notes["What the judge costs is not known: give --prices FILE with its model in it."] = None
        return Count(all=round(every), todo=round(todo)), cost

    # -- time

    def _seconds(self, tokens: Count | None) -> dict[str, float | None]:
        seconds: dict[str, float | None] = {}
        for step in self.once:
            if step.name not in self.there:
                seconds[step.kind] = (seconds.get(step.kind) or 0.0) + step.cost
        self._leave_out_services(seconds)
        if self.calibration is not None:
            self._measured(seconds, tokens, self.calibration)
        elif self.recipe.base_model != models.EMBEDDED:
            slow = {"tune", "answer"} | ({"factors"} if "factors/bits" in self.graph.steps else set())
            for kind in slow & seconds.keys():
                seconds[kind] = None
                self.notes[f"How fast {self.recipe.base_model} is here is not known: --calibrate measures it."] = None
        elif seconds:
            self.notes["Times are those of two slow cores, roughly: --calibrate measures this machine."] = None
        return seconds

    def _leave_out_services(self, seconds: dict[str, float | None]) -> None:
        translation = self.recipe.data.translation
        used = [("translate", translation.engine)] if translation else []
        used += [("judge", one.judge) for one in self.recipe.judging.judges]
        for kind, engine in used:
            todo = any(step.kind == kind and step.name not in self.there for step in self.graph.steps.values())
            if todo and engine.partition(":")[0] in _REMOTE:
                seconds.pop(kind, None)
                self.notes[f"The time of the calls to {engine} is the service's, and is not in it."] = None

    def _measured(self, seconds: dict[str, float | None], tokens: Count | None, speed: Calibration) -> None:
        todo = [step for step in self.once if step.name not in self.there]
        if "tune" in seconds:
            n_models = sum(step.kind == "tune" for step in todo)
            rate = speed.tuning_tokens_per_second
            seconds["tune"] = None if tokens is None else n_models * speed.tuning_start + tokens.todo / rate
        if "answer" in seconds:
            asked = [step for step in todo if step.kind == "answer"]
            held = [self.texts[step.inputs[1]] for step in asked]
            known = [one.n for one in held if one is not None]
            longest = sum(known) * self.recipe.generation.max_new_tokens / speed.answer_tokens_per_second
            starts = len({step.inputs[0] for step in asked}) * speed.answer_start
            seconds["answer"] = starts + longest if len(known) == len(held) else None
