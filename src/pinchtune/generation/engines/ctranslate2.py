"""The CTranslate2 engine: int8 on a CPU, the default there. A model is converted on opening (some seconds).

A tuned adapter is merged and converted into a temporary folder, gone on `close`; a base model's conversion is kept in
the user's cache.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pinchtune import chat, machine, models, plugins, store
from pinchtune.engine import Generated
from pinchtune.errors import ModelError
from pinchtune.records import Message, Sampling

#: Parts of a batch that are answered side by side on a CPU, at most.
_WORKERS = 4


class CTranslate2Engine:
    """Batched answering with 8-bit weights.

    Args:
        model: As `pinchtune.models.resolve` takes it.
        on_note: Called with sentences a user should read.

    Raises:
        ModelError: CTranslate2 cannot convert this architecture.
    """

    def __init__(self, model: str, *, on_note: Callable[[str], None] = lambda _: None) -> None:
        self._library = plugins.require("ctranslate2", "The ctranslate2 engine")
        source = models.resolve(model, on_note=on_note)
        self._tokenizer = models.load_tokenizer(source.tokenizer)
        stop = chat.ensure_template(self._tokenizer)
        ids = {self._tokenizer.convert_tokens_to_ids(stop), self._tokenizer.eos_token_id}
        self._stop_ids = sorted(ids - {None})
        self._temporary: Path | None = None
        self._generator: Any = None
        # A part of the batch on each of a few cores, with the weights in common, is twice as fast as the whole batch
        # on all of them: much of a step is not parallel (docs/decisions/0007-speed.md).
        self._workers = 1 if self._library.get_cuda_device_count() else min(_WORKERS, machine.usable_threads())
        try:
            folder = self._convert(source)
            self._folder = folder
            self._generator = self._load(self._workers)
        except BaseException:
            self.close()
            raise
        self.name = "ctranslate2-int8"

    def _convert(self, source: models.Source) -> Path:
        if source.adapter is None and source.base == str(models.embedded_folder()):
            kept = models.cache_folder() / "ctranslate2" / models.EMBEDDED
            if not (kept / "model.bin").is_file():
                kept.parent.mkdir(parents=True, exist_ok=True)
                with store.atomic_folder(kept) as partial:
                    _to_ctranslate2(source, self._tokenizer, partial)
            return kept
        self._temporary = Path(tempfile.mkdtemp(prefix="pinchtune-ctranslate2-"))
        with store.disk_errors(self._temporary):
            _to_ctranslate2(source, self._tokenizer, self._temporary / "converted")
        return self._temporary / "converted"

    def _load(self, workers: int) -> Any:
        threads = {"inter_threads": workers, "intra_threads": max(1, machine.usable_threads() // workers)}
        device = "cuda" if self._library.get_cuda_device_count() else "cpu"
        return self._library.Generator(str(self._folder), device=device, compute_type="int8", **threads)

    def _part(self, n_prompts: int) -> int:
        """Return how many prompts a worker takes, so that all have as many."""
        return -(-n_prompts // self._workers)

    def length(self, messages: Sequence[Message]) -> int:
        """Return the prompt's length in tokens."""
        return len(chat.encode_prompt(self._tokenizer, messages))

    def generate(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generated]:
        """Answer a batch."""
        tokenizer = self._tokenizer
        prompts = [
            tokenizer.convert_ids_to_tokens(chat.encode_prompt(tokenizer, messages)) for messages in conversations
        ]
        options: dict[str, Any] = {"sampling_topk": 1, "max_batch_size": self._part(len(prompts))}
        if sampling.temperature > 0:
            # The library seeds a worker's draws when the worker is made, so a batch that is to be the same whatever
            # came before it needs a new one, and one alone, for which of two is first with a part is chance; the
            # weights are still in the system's file cache.
            self._library.set_random_seed(sampling.seed)
            self._generator = self._load(workers=1)
            options = {
                "sampling_topk": 0,
                "sampling_topp": sampling.top_p,
                "sampling_temperature": sampling.temperature,
            }
        results = self._generator.generate_batch(
            prompts,
            max_length=sampling.max_new_tokens,
            include_prompt_in_result=False,
            end_token=self._stop_ids,
            return_end_token=True,
            **options,
        )
        return [self._read(result.sequences_ids[0]) for result in results]

    def choose(self, conversations: Sequence[Sequence[Message]], choices: Sequence[str]) -> list[dict[str, float]]:
        """Return each choice's log-probability as the next token, for a batch.

        Raises:
            PinchError: a choice begins with no token of its own.
        """
        import numpy as np

        tokenizer = self._tokenizer
        tokens = chat.first_tokens(tokenizer, choices)
        prompts = [
            tokenizer.convert_ids_to_tokens(chat.encode_prompt(tokenizer, messages)) for messages in conversations
        ]
        results = self._generator.generate_batch(
            prompts,
            max_length=1,
            max_batch_size=self._part(len(prompts)),
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=self._stop_ids,
            return_end_token=True,
            return_logits_vocab=True,
        )
        found = []
        for result in results:
            logits_V = np.array(result.logits[0][0].to_device(self._library.Device.cpu), dtype=np.float64)
            logprobs_V = logits_V - logits_V.max()
            logprobs_V -= np.log(np.exp(logprobs_V).sum())
            found.append({choice: float(logprobs_V[token]) for choice, token in zip(choices, tokens, strict=True)})
        return found

    def _read(self, ids: list[int]) -> Generated:
        stopped = bool(ids) and ids[-1] in self._stop_ids
        kept = ids[:-1] if stopped else ids
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Generated(text, "stop" if stopped else "length", len(kept))

    def close(self) -> None:
        """Free the model and remove its temporary conversion."""
        self._generator = None
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._temporary)
            self._temporary = None


def _to_ctranslate2(source: models.Source, tokenizer: Any, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    model = models.load_model(source)
    if source.adapter is not None:
        model = model.merge_and_unload()

    class FromMemory(TransformersConverter):  # type: ignore[misc]
        """Converts the model at hand, so that a merged adapter need not be written out whole and read back."""

        def load_model(self, *_: Any, **__: Any) -> Any:
            return model

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return tokenizer

    try:
        FromMemory(source.base).convert(str(target), quantization="int8", force=True)
    except ValueError as error:
        raise ModelError(
            f"CTranslate2 cannot convert {source.base}: {str(error).splitlines()[0]}",
            hint="Use --engine transformers for this model.",
        ) from None
