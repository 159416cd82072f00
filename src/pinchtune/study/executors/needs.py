"""What a step takes of a machine, and which engine it wants warm: small declared tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinchtune import store
from pinchtune.records import Record
from pinchtune.study.graph import Step


class Resources(Record, frozen=True, kw_only=True):
    """Cores and GPUs that a step holds while it is done; of what a machine has not, it takes none."""

    cores: float = 1
    gpus: float = 0

    @property
    def heavy(self) -> bool:
        """Whether it takes more than one core: there are as many such steps at a time as there are places for them."""
        return self.cores > 1 or self.gpus > 0


LIGHT = Resources()
#: A model is loaded.
HEAVY = Resources(cores=4, gpus=1)
#: Kinds of steps that always load one; answers and the like do by their engine.
RESOURCES = {"tune": HEAVY}
#: Engines of answers and of LLM judges that load no model here.
_SERVICES = {"endpoint", "fake"}
#: Translation engines that load none.
_TRANSLATION_SERVICES = {"command", "deepl", "fake", "google", "llm"}


def resources_of(step: Step, overrides: Mapping[str, Resources] = {}) -> Resources:
    """Return what a step takes.

    Args:
        step: A step of a study.
        overrides: Kind of step -> what it takes instead.
    """
    if step.kind in overrides:
        return overrides[step.kind]
    if step.kind in RESOURCES:
        return RESOURCES[step.kind]
    return HEAVY if _loads_a_model(step.kind, step.settings) else LIGHT


def _loads_a_model(kind: str, settings: Mapping[str, Any]) -> bool:
    if kind == "answer":
        return settings.get("engine") not in _SERVICES
    if kind == "factors":
        return settings.get("factor") == "bits"
    if kind == "translate":
        return str(settings.get("engine")).partition(":")[0] not in _TRANSLATION_SERVICES
    return kind == "judge" and _judging_engine(settings) is not None


def _judging_engine(settings: Mapping[str, Any]) -> str | None:
    """Return the engine that a judge loads a model with here, or None."""
    if str(settings.get("judge")).partition(":")[0] != "llm":
        return None
    engine = str(settings.get("settings", {}).get("engine", "endpoint"))
    return None if engine in _SERVICES else engine


def warm_key(step: Step) -> str | None:
    """Return a name of the engine and model that a step opens: steps of one name had better follow each other."""
    if step.kind == "answer":
        return f"answer {step.settings.get('engine')} {step.inputs[0]}"
    if step.kind == "judge" and _judging_engine(step.settings) is not None:
        wanted = [step.settings["judge"], step.settings.get("languages"), step.settings["settings"]]
        return f"judge {store.content_key(wanted)}"
    return None
