"""The model card of a tuned model: what it was made of, in the Hub's format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from pinchtune import languages, store
from pinchtune.models import EMBEDDED, GEMMA_TERMS
from pinchtune.records import Example
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.tuned import Tuned

#: Of a mixture whose name is not known where a model is tuned.
_MIXTURE = "Which id stands in which language is in the mixture's manifest."


def write_card(
    folder: Path, *, base: str, settings: TuningSettings, examples: Sequence[Example], seed: int, tuned: Tuned
) -> None:
    """Write README.md with the mixture, the settings and the libraries.

    Raises:
        RunError: the disk refused.
    """
    counts = Counter(example.language for example in examples)
    front = {
        "base_model": base,
        "library_name": "peft" if settings.method == "lora" else "transformers",
        "pipeline_tag": "text-generation",
        "language": sorted(counts),
        "tags": ["pinchtune", "instruction-tuning", "multilingual"],
    }
    if base == EMBEDDED:
        front |= {"license": "gemma"}
    rows = "\n".join(f"| {languages.parse(tag).name} | {tag} | {count} |" for tag, count in counts.most_common())
    sources = ", ".join(sorted({example.source for example in examples if example.source})) or "not stated"
    values = "\n".join(f"- {name}: {value}" for name, value in settings.model_dump().items())
    libraries = ", ".join(
        f"{name} {version}"
        for name, version in store.library_versions("transformers", "peft", "torch", "accelerate").items()
    )
    last = f"{tuned.loss[-1][1]:.3f}" if tuned.loss else "none"
    computed = f" Computed in {tuned.dtype}." if tuned.dtype else ""
    text = f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---

# {base}, instruction-tuned with Pinchtune

Tuned on {tuned.n_examples} conversations ({tuned.n_tokens} tokens in all epochs, {tuned.n_labels} of them trained).

| language | tag | examples |
| --- | --- | --- |
{rows}

Sources: {sources}. {_MIXTURE}

## How it was tuned
Loss on the responses and their stop tokens alone. Last loss: {last} nats per token. Seed {seed}.{computed}

{values}

Made with {libraries}.
{chr(10) + GEMMA_TERMS + chr(10) if base == EMBEDDED else ""}"""
    store.write_text(folder / "README.md", text)


def name_mixture(folder: Path, name: str, *, key: str) -> None:
    """Say in the card of a model which mixture it was tuned on.

    Args:
        folder: Of the model; its card is there.
        name: Of the mixture, as its own card has it.
        key: Of the mixture, as its manifest has it.

    Raises:
        RunError: the disk refused.
    """
    path = folder / "README.md"
    said = f"The mixture is `{name}`; which id stands in which language is in its manifest, of the key `{key}`."
    store.write_text(path, path.read_text(encoding="utf-8").replace(_MIXTURE, said))
