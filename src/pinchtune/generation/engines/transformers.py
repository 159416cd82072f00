"""The transformers engine: any causal LM that transformers loads, prompts padded on the left."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

from pinchtune import chat, machine, models, plugins
from pinchtune.engine import Generated
from pinchtune.records import Message, Sampling


class TransformersEngine:
    """`generate` of transformers, in bfloat16 where the hardware computes in it, else in float32.

    Args:
        model: As `pinchtune.models.resolve` takes it.
        on_note: Called with sentences a user should read.
    """

    def __init__(self, model: str, *, on_note: Callable[[str], None] = lambda _: None) -> None:
        self._torch = plugins.require("torch", "The transformers engine")
        self._on_note = on_note
        source = models.resolve(model, on_note=on_note)
        self._read_tokenizer(source)
        on_gpu = self._torch.cuda.is_available()
        dtype = machine.number_type()
        machine.keep_freed_memory()
        self._model: Any = _frozen(models.load_model(source, dtype=dtype)).to("cuda" if on_gpu else "cpu")
        self._source = source
        self.name = f"transformers-{dtype}"

    def _read_tokenizer(self, source: models.Source) -> None:
        self._tokenizer = models.load_tokenizer(source.tokenizer)
        stop = chat.ensure_template(self._tokenizer)
        ids = {self._tokenizer.convert_tokens_to_ids(stop), self._tokenizer.eos_token_id}
        self._stop_ids = sorted(ids - {None})
        self._pad = self._tokenizer.pad_token_id or 0

    def swap(self, model: str) -> bool:
        """Take up another adapter of the same base model, or none, and return whether that could be done.

        Answers are then to the last bit those of an engine opened on it. Where it could not be done, nothing changed.

        Raises:
            ModelError: no such model, or it cannot be loaded; the engine is of no more use.
        """
        source = models.resolve(model, on_note=self._on_note)
        if source.base != self._source.base:
            return False
        bare = self._model if self._source.adapter is None else models.take_off(self._model)
        if bare is None:
            return False
        self._model = _frozen(models.put_on(bare, source))
        self._source = source
        self._read_tokenizer(source)
        return True

    def length(self, messages: Sequence[Message]) -> int:
        """Return the prompt's length in tokens."""
        return len(chat.encode_prompt(self._tokenizer, messages))

    def generate(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generated]:
        """Answer a batch."""
        torch = self._torch
        ids_BT, mask_BT = self._padded(conversations)
        longest = ids_BT.shape[1]
        options: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            torch.manual_seed(sampling.seed)
            options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        with torch.inference_mode():
            out_BT = self._model.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=sampling.max_new_tokens,
                eos_token_id=self._stop_ids,
                pad_token_id=self._pad,
                **options,
            )
        return [self._read(row) for row in out_BT[:, longest:].tolist()]

    def choose(self, conversations: Sequence[Sequence[Message]], choices: Sequence[str]) -> list[dict[str, float]]:
        """Return each choice's log-probability as the next token, for a batch.

        Raises:
            PinchError: a choice begins with no token of its own.
        """
        torch = self._torch
        tokens = chat.first_tokens(self._tokenizer, choices)
        ids_BT, mask_BT = self._padded(conversations)
        with torch.inference_mode():
            logits_BV = self._model(input_ids=ids_BT, attention_mask=mask_BT, logits_to_keep=1).logits[:, -1].float()
        logprobs_BV = torch.log_softmax(logits_BV, -1)
        return [
            {choice: float(row_V[token]) for choice, token in zip(choices, tokens, strict=True)}
            for row_V in logprobs_BV
        ]

    def _padded(self, conversations: Sequence[Sequence[Message]]) -> tuple[Any, Any]:
        """Return ids and mask, (B, T), padded on the left."""
        torch = self._torch
        prompts = [chat.encode_prompt(self._tokenizer, messages) for messages in conversations]
        longest = max(map(len, prompts))
        ids = [[self._pad] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def _read(self, ids: list[int]) -> Generated:
        end = next((place for place, token in enumerate(ids) if token in self._stop_ids), None)
        kept = ids if end is None else ids[:end]
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Generated(text, "length" if end is None else "stop", len(kept))

    def close(self) -> None:
        """Free the model, for other processes too."""
        self._model = None
        gc.collect()
        machine.return_freed_memory()


def _frozen(model: Any) -> Any:
    """Return a model of which no weight wants a gradient but the output layer's, though none is ever computed.

    A frozen weight torch multiplies by each row of a slice, as the last tokens of a batch are, by itself; one that
    wants a gradient by all of them at once (`should_fold` in ATen/native/LinearAlgebra.cpp), several times as fast.
    """
    output = model.requires_grad_(False).get_output_embeddings()
    if output is not None and output.weight.is_floating_point():
        output.weight.requires_grad_(True)
    return model
