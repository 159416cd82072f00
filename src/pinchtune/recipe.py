"""The recipe of a study: one YAML file, typed, documented per field; all its faults are reported at once."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from pinchtune import experiments, plugins, recipe_yaml
from pinchtune.design_words import (
    BASE,
    DESIGNS,
    MONOLINGUAL,
    ComparisonSettings,
    Experiment,
    Mixture,
    Name,
    Part,
    Size,
    Tag,
    Tags,
    mixture_languages,
    mixture_size,
)
from pinchtune.errors import DataError, MissingExtraError, PinchError, RecipeError, did_you_mean
from pinchtune.secret_settings import refuse_secrets
from pinchtune.tuning.settings import TuningSettings

__all__ = [
    "ComparisonSettings",
    "DataSettings",
    "FactorSettings",
    "GenerationSettings",
    "JudgeSettings",
    "JudgingSettings",
    "Mixture",
    "Recipe",
    "SourceSettings",
    "TranslationSettings",
    "load",
    "mixture_languages",
    "mixture_size",
    "parse",
    "schema",
    "shipped",
]


class SourceSettings(Part):
    """Where conversations come from."""

    source: str = pydantic.Field(
        "pack",
        description="pack; a data set's name (lima, oasst, alpacafarm, aya, hub:owner/name), with =PATH for a copy "
        "of it here; or the path of a .jsonl, .json, .csv or .parquet file.",
    )
    options: dict[str, Any] = pydantic.Field({}, description="Of a named data set, such as without: [oasst].")
    language: Tag | None = pydantic.Field(None, description="Language of a file's rows that name none.")
    max_words: int | None = pydantic.Field(
        None, ge=1, description="pack: leave out ids whose English response has more words, in every language."
    )
    limit: int | None = pydantic.Field(None, ge=1, description="At most this many ids, the first, in every language.")


class TrainSettings(SourceSettings):
    """Where the conversations to tune on come from: one source, or several pooled."""

    later = ("also",)
    also: list[SourceSettings] = pydantic.Field([], description="More sources, pooled with this one.")

    @property
    def sources(self) -> list[SourceSettings]:
        """Every source, the first one first."""
        return [self, *self.also]


def _no_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        refuse_secrets(settings)
    except PinchError as error:
        raise ValueError(str(error)) from None
    return settings


#: Of a judge or a translation engine; a recipe is kept in its run folder, so no key may be in it.
OpenSettings = Annotated[dict[str, Any], pydantic.AfterValidator(_no_secrets)]


def _known_settings(kind: str, name: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Refuse a setting that what is named has not; of a name that is refused itself, nothing is said."""
    try:
        if name is not None:
            plugins.check(kind, name.partition(":")[0], settings)
    except MissingExtraError:  # said where the study is run: a recipe is checked anywhere
        pass
    except PinchError as error:
        raise ValueError(f"{error.message} {error.hint}".rstrip()) from None
    return settings


class TranslationSettings(Part):
    """How languages that a source has not are made from one that it has."""

    engine: str = pydantic.Field(description="A translation engine: see `pinch engines`; NAME or NAME:MODEL.")
    source: Tag = pydantic.Field("en", description="Language translated from.")
    settings: OpenSettings = pydantic.Field({}, description="The engine's own settings, such as base_url.")
    names: tuple[str, ...] = pydantic.Field((), description="Words that are kept as they are.")
    untranslatable: Literal["keep", "drop", "flag"] = pydantic.Field(
        "keep", description="Spelling exercises, rhymes and the like: keep in the source language, drop, or flag."
    )
    ask: bool = pydantic.Field(False, description="Ask the engine, an LLM, what is untranslatable, besides the rules.")

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        kind, colon, model = name.partition(":")
        return _in_table("translators", kind) + colon + model

    @pydantic.field_validator("settings")
    @classmethod
    def _known_settings(cls, settings: dict[str, Any], info: pydantic.ValidationInfo) -> dict[str, Any]:
        return _known_settings("translators", info.data.get("engine"), settings)


class DataSettings(Part):
    """Conversations to tune on, and instructions to evaluate on."""

    train: TrainSettings = TrainSettings()
    eval: SourceSettings = SourceSettings()
    translation: TranslationSettings | None = pydantic.Field(
        None, description="Makes the languages that are not its source's; null: the sources hold every language."
    )


class GenerationSettings(Part):
    """How the evaluation instructions are answered."""

    engine: str = pydantic.Field("ctranslate2", description="An engine: see `pinch engines`.")
    max_new_tokens: int = pydantic.Field(256, ge=1, description="Tokens of an answer at most.")
    temperature: float = pydantic.Field(0.0, ge=0, description="0 is greedy.")
    top_p: float = pydantic.Field(1.0, gt=0, le=1, description="Nucleus sampling.")
    batch_size: int = pydantic.Field(32, ge=1, description="Prompts in a batch.")

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        return _in_table("engines", name)


class JudgeSettings(Part):
    """One judge."""

    judge: str = pydantic.Field("reference", description="A judge: see `pinch engines`; NAME or NAME:MODEL.")
    settings: OpenSettings = pydantic.Field({}, description="The judge's own settings, such as margin or base_url.")

    @pydantic.field_validator("judge")
    @classmethod
    def _known(cls, name: str) -> str:
        kind, colon, model = name.partition(":")
        return _in_table("judges", kind) + colon + model

    @pydantic.field_validator("settings")
    @classmethod
    def _known_settings(cls, settings: dict[str, Any], info: pydantic.ValidationInfo) -> dict[str, Any]:
        return _known_settings("judges", info.data.get("judge"), settings)


class JudgingSettings(JudgeSettings):
    """Who judges, side by side and in both orders."""

    panel: list[JudgeSettings] = pydantic.Field(
        [], description="More judges of the same pairs: each is reported alone, and all together as a panel."
    )
    combine: Literal["majority", "mean"] = pydantic.Field(
        "majority", description="How a panel decides an order: the majority of choices, or the mean of probabilities."
    )

    @property
    def judges(self) -> list[JudgeSettings]:
        """Every judge, the first one first."""
        return [JudgeSettings(judge=self.judge, settings=self.settings), *self.panel]


class FactorSettings(Part):
    """What could make a language easy or hard for the base model; each is set against the study's scores."""

    texts: int = pydantic.Field(10, ge=2, description="Parallel texts of the pack to measure on, the shortest.")
    fertility: bool = pydantic.Field(True, description="Measure tokens beside English, and per word: the tokenizer.")
    bits: bool = pydantic.Field(True, description="Measure bits beside English, and per character: the base model.")
    shares: str | None = pydantic.Field(
        None, description="A table of the base model's shares of pretraining: CSV, TSV, JSON or YAML of tag and share."
    )
    similarity: Literal["none", "slavic"] = pydantic.Field(
        "none", description="slavic: the paper's subfamilies and intelligibility, and every pair's family and script."
    )
    distances: bool = pydantic.Field(False, description="Of URIEL+ (80 s, 4 GB; pip install 'pinchtune[factors]').")


class Recipe(Part):
    """A study: mixtures of one data set, tuned from one base model, answered, and compared per language."""

    later = ("n_examples", "experiments", "factors")
    name: Name = pydantic.Field(description="Names the run folder.")
    seed: int = pydantic.Field(0, ge=0, description="Of the draw, the tuning, sampling and the bootstrap.")
    base_model: str = pydantic.Field("gemma3-270m", description="gemma3-270m, a folder, or organisation/name.")
    languages: Tags = pydantic.Field(description="Languages to evaluate in.")
    n_examples: Size | None = pydantic.Field(None, description="Size of every training set of the experiments.")
    data: DataSettings = DataSettings()
    experiments: dict[Name, Experiment] = pydantic.Field(
        {}, description="Name: design. Each makes mixtures and comparisons; what two have in common is done once."
    )
    mixtures: dict[Name, Mixture] = pydantic.Field({}, description="Name: design, for a study put together by hand.")
    tuning: TuningSettings = TuningSettings()
    generation: GenerationSettings = GenerationSettings()
    judging: JudgingSettings = JudgingSettings()
    comparisons: list[ComparisonSettings] = pydantic.Field(
        [], description="Who is set against whom, in a study put together by hand."
    )
    factors: FactorSettings | None = pydantic.Field(
        None, description="What languages cost the base model, and whether that goes with the scores; null: not asked."
    )

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        faults = _missing(self.mixtures, self.comparisons, self.experiments)
        if BASE in self.mixtures:
            faults.append("a mixture may not be called base: that is the untuned model")
        if MONOLINGUAL in self.mixtures and self.experiments:
            faults.append("a mixture beside experiments may not be called monolingual: that is a kind of baseline")
        known = {*self.mixtures, BASE}
        for comparison in self.comparisons:
            faults += [
                f"comparisons name {one!r}, which is no mixture. {did_you_mean(one, known)}"
                for one in (comparison.candidate, comparison.baseline)
                if one not in known
            ]
            if comparison.candidate == comparison.baseline:
                faults.append(f"{comparison.candidate!r} is compared with itself")
        if len(set(self.languages)) != len(self.languages):
            faults.append("a language is listed twice")
        faults += experiments.faults(self)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def models(self) -> list[str]:
        """The models that answer: every mixture's, and the base model where a comparison names it; by hand alone."""
        named = [one for comparison in self.comparisons for one in (comparison.candidate, comparison.baseline)]
        return [*([BASE] if BASE in named else []), *self.mixtures]


def _in_table(kind: str, name: str) -> str:
    table = plugins.names(kind)
    if name not in table:
        raise ValueError(f"no {kind.removesuffix('s')} named {name!r}. {did_you_mean(name, table)}")
    return name


# ------------------------------------------------------------------------------------------- reading


def shipped() -> dict[str, Path]:
    """Return name -> path of the recipes that come with pinchtune."""
    inside = Path(str(files("pinchtune"))) / "recipes"
    # A source checkout keeps them beside src/; a wheel inside the package.
    folder = inside if inside.is_dir() else Path(__file__).resolve().parents[2] / "recipes"
    return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.rglob("*.yaml"))}


def load(source: str | Path, **overrides: Any) -> Recipe:
    """Read a recipe.

    Args:
        source: A path, or the name of a shipped recipe ("quickstart").
        overrides: Top-level keys to replace, those that are None left alone.

    Raises:
        RecipeError: all faults at once.
        DataError: no such file, or not YAML; names the line.
    """
    path = shipped().get(str(source), Path(source))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = f"Give a path, or a shipped recipe. {did_you_mean(str(source), shipped())}"
        raise DataError(path, None, "there is no such recipe.", hint=hint) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise DataError(path, None, f"not a recipe: {error}.", hint="A recipe is a YAML file in UTF-8.") from None
    try:
        value, repeated = recipe_yaml.read(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise DataError(path, mark.line + 1 if mark else None, f"not YAML: {problem}.", hint="") from None
    if repeated:
        raise RecipeError(path, repeated)
    if not isinstance(value, dict):
        raise DataError(path, None, "a recipe is keys and values.", hint="`pinch recipe schema` prints the keys.")
    return parse(value | {k: v for k, v in overrides.items() if v is not None}, source=path)


def parse(value: dict[str, Any], *, source: object = "recipe") -> Recipe:
    """Check a recipe's keys and values.

    Raises:
        RecipeError: all faults at once, each with its place and a suggestion.
    """
    try:
        return Recipe.model_validate(value)
    except pydantic.ValidationError as error:
        found = [_fault(fault, value) for fault in error.errors()]
        if all(fault["loc"] for fault in error.errors()):
            # Faults of keys keep the recipe as a whole from being looked at.
            needed = _missing(*(value.get(key) for key in ("mixtures", "comparisons", "experiments")))
            found += [f"{one}." for one in needed]
        raise RecipeError(source, found) from None


def schema() -> str:
    """Return the JSON Schema of a recipe, as text."""
    return json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False)


def _missing(mixtures: object, comparisons: object, designed: object) -> list[str]:
    """Return what a study by hand needs and has not."""
    needed = {} if designed else {"mixtures": mixtures, "comparisons": comparisons}
    return [f"{key}: is missing, and there are no experiments" for key, given in needed.items() if not given]


def _fault(fault: Any, value: Any) -> str:
    # Of a mixture or an experiment the design is a step of pydantic's path, and its name may be the same word.
    of_design = fault["loc"][:1] and fault["loc"][0] in DESIGNS
    parts = [str(part) for place, part in enumerate(fault["loc"]) if not (of_design and place == 2)]
    place = ".".join(parts) or "recipe"
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key. {did_you_mean(parts[-1], _keys_at(parts[:-1], value))}"
    if fault["type"] == "missing":
        return f"{place}: is missing."
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = "" if fault["type"] == "value_error" else f" Given: {str(fault['input'])[:80]!r}."
    return f"{place}: {message.rstrip('.')}.{given}"


def _keys_at(parts: list[str], value: Any) -> list[str]:
    kinds: dict[str, type[pydantic.BaseModel]] = {
        "": Recipe,
        "data": DataSettings,
        "data.train": TrainSettings,
        "data.train.also": SourceSettings,
        "data.eval": SourceSettings,
        "data.translation": TranslationSettings,
        "tuning": TuningSettings,
        "generation": GenerationSettings,
        "judging": JudgingSettings,
        "judging.panel": JudgeSettings,
        "comparisons": ComparisonSettings,
        "factors": FactorSettings,
    }
    if parts and parts[0] in DESIGNS and len(parts) == 2:
        return list(DESIGNS[parts[0]][value[parts[0]][parts[1]]["design"]].model_fields)
    kind = kinds.get(".".join(part for part in parts if not part.isdecimal()))
    return list(kind.model_fields) if kind else []
