"""Finding and loading a local translation model: its folder or Hub name, what its weights are, its tokenizer."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import models, plugins, store
from pinchtune.errors import ModelError, PinchError

_SAMPLE = 1 << 16
_SAMPLES = 32


class Found(msgspec.Struct, frozen=True):
    """A model that was found."""

    #: Folder, or name on the Hub.
    place: str
    #: Its last part, for names.
    label: str
    #: What its weights are: a commit of the Hub, or a hash of the folder.
    version: str
    #: transformers' configuration; empty where the folder holds a CTranslate2 model.
    config: dict[str, Any]

    @property
    def converted(self) -> bool:
        """Whether it is a CTranslate2 model already."""
        return not self.config

    @property
    def positions(self) -> int | None:
        """Most tokens that the model reads or writes, where its configuration says so."""
        return self.config.get("max_position_embeddings") or self.config.get("n_positions")


def find(model: str, engine: str) -> Found:
    """Find a model by its folder or its name on the Hub; its weights are not read yet.

    Args:
        model: As a user gave it.
        engine: The engine's name, for messages.

    Raises:
        PinchError: none was given.
        ModelError: no such folder, no model in it, or the Hub does not have it.
    """
    if not model:
        raise PinchError(
            f"The engine {engine} needs a model.",
            hint=f"Give --engine {engine}:MODEL, a folder or a name on the Hugging Face Hub such as "
            "facebook/nllb-200-distilled-600M or Helsinki-NLP/opus-mt-en-fi.",
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} is not a model: it has no config.json.",
                hint="Give the folder that transformers or ct2-transformers-converter wrote.",
            )
        converted = (folder / "model.bin").is_file() and "model_type" not in _read_json(folder / "config.json")
        config = {} if converted else _config(str(folder)).to_dict()
        return Found(str(folder), folder.resolve().name, fingerprint(folder), config)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model {model!r}: no such folder, and not a name on the Hugging Face Hub (organisation/name).",
            hint="Give a folder, or a name such as facebook/nllb-200-distilled-600M or Helsinki-NLP/opus-mt-en-fi.",
        )
    config = _config(model)
    return Found(model, model.split("/")[1], str(getattr(config, "_commit_hash", None) or ""), config.to_dict())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelError(f"{path} cannot be read: {error}.", hint="Download the model again.") from None


def _config(place: str) -> Any:
    transformers = plugins.require("transformers", "Reading a translation model")
    try:
        return transformers.AutoConfig.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model {place} could not be read: {str(error).strip().splitlines()[0]}",
            hint="Check the name. Of a model of the Hub that is converted to CTranslate2, give the downloaded folder.",
        ) from None


def fingerprint(folder: Path) -> str:
    """Return a hash of a model's folder that depends neither on where it lies nor on its dates.

    Files of many gigabytes are sampled: weights trained any further differ everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")):
        if path.suffix == ".md":
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            if size <= _SAMPLE * _SAMPLES:
                digest.update(stream.read())
                continue
            for number in range(_SAMPLES):
                stream.seek((size - _SAMPLE) * number // (_SAMPLES - 1))
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


def load_tokenizer(place: str, config: dict[str, Any]) -> Any:
    """Load a translation model's tokenizer.

    Raises:
        ModelError: there is none.
        MissingExtraError: an OPUS-MT model without sentencepiece.
    """
    if config.get("model_type") == "marian" or (Path(place) / "source.spm").is_file():
        plugins.require("sentencepiece", "An OPUS-MT model")
    with warnings.catch_warnings():
        # Marian's asks for sacremoses, and does not use it.
        warnings.filterwarnings("ignore", message=".*sacremoses.*")
        return models.load_tokenizer(place)


def load_seq2seq(place: str, *, dtype: Any) -> Any:
    """Load a translation model with transformers, in evaluation mode.

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    transformers = plugins.require("transformers", "A local translation model")
    verbosity = transformers.logging.get_verbosity()
    # It tells owners of MADLAD-400 to mend a configuration that is right.
    transformers.logging.set_verbosity_error()
    try:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(place, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model {place} could not be loaded: {str(error).strip().splitlines()[0]}",
            hint="It has to be a sequence-to-sequence model: NLLB-200, MADLAD-400 or OPUS-MT.",
        ) from None
    finally:
        transformers.logging.set_verbosity(verbosity)
    check_embeddings(model, place)
    return model


def check_embeddings(model: Any, place: str) -> None:
    """Refuse a MADLAD-400 model whose input embeddings transformers took from its output layer.

    Releases up to 5.15 do, without a word, and it then writes noise:
    https://github.com/huggingface/transformers/issues/48154

    Raises:
        ModelError: it happened.
    """
    if model.config.model_type != "t5" or getattr(model.config, "scale_decoder_outputs", True):
        return
    embeddings, output = (layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings()))
    if embeddings.data_ptr() == output.data_ptr() or bool((embeddings[:64] == output[:64]).all()):
        raise ModelError(
            f"This release of transformers loads {place} wrongly: its embeddings came from its output layer.",
            hint="pip install --upgrade transformers",
        )


def conversion_folder(found: Found, compute_type: str, layout: int) -> Path:
    """Return where a model's conversion to CTranslate2 is kept in the user's cache, or will be."""
    key = store.content_key([found.place if not found.version else "", found.version, compute_type, layout])
    return models.cache_folder() / "ctranslate2-translation" / f"{found.label}-{compute_type}-{key[:16]}"
