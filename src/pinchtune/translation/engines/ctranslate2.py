"""Local translation with CTranslate2: 8-bit weights, the choice on a CPU. A model is converted once, on first opening.

How CTranslate2 drives these families: https://opennmt.net/CTranslate2/guides/transformers.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinchtune import plugins, store
from pinchtune.errors import ModelError, PinchError, did_you_mean
from pinchtune.translation.engines import loading
from pinchtune.translation.engines.families import recognise
from pinchtune.translation.engines.local import LocalTranslator

_LAYOUT = 1  # raised when our conversion gives another result
_FLOATS = ("float32", "float16", "bfloat16")
_COMPUTE_TYPES = ("auto", "default", "int8", "int16", *_FLOATS, *(f"int8_{float_type}" for float_type in _FLOATS))


class CTranslate2Translator(LocalTranslator):
    """NLLB-200, MADLAD-400 and OPUS-MT models with quantised weights.

    Args:
        model: Folder or Hub name of a transformers model, or folder of a converted one.
        workers: Batches at once; the cores are shared out.
        beam_size: 1 for greedy search; more is slower and a little better.
        compute_type: CTranslate2's (https://opennmt.net/CTranslate2/quantization.html), also of the conversion.
        max_output_tokens: Longest output; longer ones fail as "truncated".
        batch_tokens: Most tokens that are translated together, padding included.
        tokenizer: Folder or Hub name of the tokenizer, where a converted folder holds none.
        source: An OPUS-MT model's source language, where its name does not say it.
        target: Its target language.
        on_note: Called with sentences a user should read.

    Raises:
        PinchError: no model, or a compute type that does not exist.
        ModelError: not a model of a family we know, or one that CTranslate2 cannot convert or run.
    """

    def __init__(
        self,
        model: str = "",
        *,
        workers: int = 1,
        beam_size: int = 1,
        compute_type: str = "int8",
        max_output_tokens: int = 512,
        batch_tokens: int = 2048,
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._library = plugins.require("ctranslate2", "The ctranslate2 translator")
        if compute_type not in _COMPUTE_TYPES:
            raise PinchError(
                f"There is no compute type {compute_type!r}.", hint=did_you_mean(compute_type, _COMPUTE_TYPES)
            )
        found = loading.find(model, "ctranslate2")
        loaded = _tokenizer(found, tokenizer)
        family = recognise(loaded, found.place, positions=found.positions, source=source, target=target)
        name = f"ctranslate2-{found.label}-{compute_type}" + (f"-beam{beam_size}" if beam_size > 1 else "")
        super().__init__(family, name=name, version=found.version, max_output_tokens=max_output_tokens)
        self.workers = workers
        self._beam_size = beam_size
        self._batch_tokens = batch_tokens
        folder = Path(found.place) if found.converted else _convert(found, loaded, compute_type, on_note)
        self._translator: Any = self._load(folder, compute_type)

    def _load(self, folder: Path, compute_type: str) -> Any:
        device = "cuda" if self._library.get_cuda_device_count() else "cpu"
        try:
            return self._library.Translator(
                str(folder),
                device=device,
                compute_type=compute_type,
                inter_threads=self.workers,
                intra_threads=max(1, (os.cpu_count() or 1) // self.workers),
            )
        except (ValueError, RuntimeError) as error:
            usable = ", ".join(sorted(self._library.get_supported_compute_types(device)))
            raise ModelError(
                f"CTranslate2 cannot run {folder} as {compute_type}: {str(error).splitlines()[0]}",
                hint=f"Here compute_type may be: {usable}.",
            ) from None

    def _generate(self, inputs: list[list[int]], forced: list[int]) -> list[list[int]]:
        tokenizer = self.family.tokenizer
        with self._lock:
            tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in inputs]
            prefix = tokenizer.convert_ids_to_tokens(forced)
        results = self._translator.translate_batch(
            tokens,
            target_prefix=[prefix] * len(tokens) if prefix else None,
            beam_size=self._beam_size,
            max_batch_size=self._batch_tokens,
            batch_type="tokens",
            max_input_length=0,  # it would cut without a word; the base class has looked
            max_decoding_length=self._longest,
            return_end_token=True,
        )
        with self._lock:
            return [
                [int(one) for one in tokenizer.convert_tokens_to_ids(result.hypotheses[0])][len(forced) :]
                for result in results
            ]

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._translator = None


def _tokenizer(found: loading.Found, given: str | None) -> Any:
    try:
        return loading.load_tokenizer(given or found.place, found.config)
    except ModelError as error:
        if not found.converted or given:
            raise
        raise ModelError(
            error.message,
            hint='Say where it is with the setting tokenizer, such as tokenizer="facebook/nllb-200-distilled-600M".',
        ) from None


def _convert(found: loading.Found, tokenizer: Any, compute_type: str, on_note: Callable[[str], None]) -> Path:
    kept = loading.conversion_folder(found, compute_type, _LAYOUT)
    if (kept / "model.bin").is_file():
        return kept
    if found.config.get("share_encoder_decoder_embeddings") is False:
        raise ModelError(
            f"CTranslate2 cannot convert {found.place}: its source and its target have vocabularies of their own.",
            hint="Use --engine transformers for this model.",
        )
    on_note(f"Converting {found.place} to CTranslate2, once (into {kept}) ...")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with store.atomic_folder(kept) as partial:
        _write(found, tokenizer, None if compute_type in ("auto", "default") else compute_type, partial)
        made_of = {"model": found.place, "version": found.version, "compute_type": compute_type}
        store.write_json(partial / "pinchtune.json", made_of)
    return kept


def _write(found: loading.Found, tokenizer: Any, quantization: str | None, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    class Checked(TransformersConverter):  # type: ignore[misc]
        """Converts a model that we loaded and looked at."""

        def load_model(self, _class: Any, place: str, *, dtype: Any = None, **_: Any) -> Any:
            model = loading.load_seq2seq(place, dtype=dtype)
            # Since transformers 5 every T5 says that its embeddings are tied, by which the converter would scale the
            # outputs of one whose are not.
            if hasattr(model.config, "scale_decoder_outputs"):
                model.config.tie_word_embeddings = model.config.scale_decoder_outputs
            if model.config.model_type == "marian":
                _check_start(model, place)
            return model

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return tokenizer

    try:
        Checked(found.place).convert(str(target), quantization=quantization, force=True)
    except (ValueError, NotImplementedError) as error:
        raise ModelError(
            f"CTranslate2 cannot convert {found.place}: {str(error).splitlines()[0]}",
            hint="Use --engine transformers for this model.",
        ) from None


def _check_start(model: Any, place: str) -> None:
    """Refuse a Marian model whose decoder does not start from zeros, as CTranslate2 lets every one start.

    Raises:
        ModelError: fine-tuning has moved the padding token's embedding, which it starts from.
    """
    weight = model.get_input_embeddings().weight
    if float(weight[model.config.pad_token_id].abs().max()) > 0.1 * float(weight.abs().mean()):
        raise ModelError(
            f"CTranslate2 cannot run {place}: its fine-tuning has moved the embedding that its decoder starts from.",
            hint="Use --engine transformers for this model.",
        )
