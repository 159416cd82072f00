"""The cards of a study: each mixture's beside its records, and in each model's the name of its mixture.

Cards are no part of a step's key: a result from before there were cards stands as it is. They name a mixture by its
content, for another study that takes the result over may call it otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pydantic

from pinchtune import store
from pinchtune.dataset_card import CARD, CARD_KEY, write_dataset_card
from pinchtune.design_words import Mixture
from pinchtune.mixture_names import content_name
from pinchtune.study.graph import VERSIONS, Step
from pinchtune.study.keep import RECORDS, Result
from pinchtune.tuning.card import name_mixture


def mixture_name(mix: Step) -> str:
    """Return what a mixture is called by its content.

    Args:
        mix: The step that draws it.
    """
    mixture: Mixture = pydantic.TypeAdapter(Mixture).validate_python(mix.settings)
    return content_name(mixture, mix.settings["seed"])


def with_mixture_card(folder: Path, mix: Step, result: Result, sources: list[dict[str, Any]]) -> Result:
    """Write the card of a mixture into its step's folder, and return the result that notes it.

    Args:
        folder: Of the step, the records in it.
        mix: The step.
        result: Of the draw.
        sources: Of the examples, with their licences, as far as they are known.
    """
    notes = result.notes | ({"sources": sources} if sources else {})
    manifest = store.Manifest(
        key=mix.key,
        step=mix.name,
        kind=mix.kind,
        version=VERSIONS[mix.kind],
        settings=mix.settings,
        n_in=result.n_in,
        n_out=result.n_out,
        libraries=dict(store.library_versions(*result.libraries)),
        notes=notes,
    )
    text, _ = write_dataset_card(folder, [RECORDS], manifest, title=mixture_name(mix), licence=None)
    store.write_text(folder / CARD, text)
    # So that publishing tells a card that nobody has written in, and makes it anew for the Hub.
    return msgspec.structs.replace(result, notes=notes | {CARD_KEY: store.file_key(folder / CARD)})


def say_mixture(model_folder: Path, mix: Step) -> None:
    """Say in a tuned model's card which mixture it was tuned on."""
    name_mixture(model_folder, mixture_name(mix), key=mix.key)
