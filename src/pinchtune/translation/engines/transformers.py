"""Local translation with transformers: in bfloat16 on a GPU that computes in it, in float32 elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pinchtune import plugins
from pinchtune.errors import ModelError
from pinchtune.translation.engines import loading
from pinchtune.translation.engines.families import recognise
from pinchtune.translation.engines.local import LocalTranslator


class TransformersTranslator(LocalTranslator):
    """NLLB-200, MADLAD-400 and OPUS-MT models through `AutoModelForSeq2SeqLM`.

    Args:
        model: Folder, or name on the Hub.
        beam_size: 1 for greedy search; more is slower and a little better.
        max_output_tokens: Longest output; longer ones fail as "truncated".
        batch_tokens: Most tokens that are translated together, padding included.
        source: An OPUS-MT model's source language, where its name does not say it.
        target: Its target language.
        on_note: Called with sentences a user should read.

    Raises:
        PinchError: no model.
        ModelError: not a model of a family we know, or one that cannot be loaded.
    """

    def __init__(
        self,
        model: str = "",
        *,
        beam_size: int = 1,
        max_output_tokens: int = 512,
        batch_tokens: int = 4096,
        source: str | None = None,
        target: str | None = None,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        del on_note
        self._torch = plugins.require("torch", "The transformers translator")
        transformers = plugins.require("transformers", "The transformers translator")
        found = loading.find(model, "transformers")
        if found.converted:
            raise ModelError(f"{found.place} is a CTranslate2 model.", hint=f"Use --engine ctranslate2:{found.place}.")
        loaded = loading.load_tokenizer(found.place, found.config)
        family = recognise(loaded, found.place, positions=found.positions, source=source, target=target)
        on_gpu = self._torch.cuda.is_available()
        dtype = "bfloat16" if on_gpu and self._torch.cuda.is_bf16_supported() else "float32"
        name = f"transformers-{found.label}-{dtype}" + (f"-beam{beam_size}" if beam_size > 1 else "")
        super().__init__(family, name=name, version=found.version, max_output_tokens=max_output_tokens)
        self._batch_tokens = batch_tokens
        self._one_at_a_time = threading.Lock()
        self._model: Any = loading.load_seq2seq(found.place, dtype=getattr(self._torch, dtype))
        self._model.to("cuda" if on_gpu else "cpu")
        # A model's own settings hide a cut output: OPUS-MT's force an end token at the longest length.
        self._settings = {
            "decoder_start_token_id": self._model.config.decoder_start_token_id,
            "eos_token_id": family.end,
            "pad_token_id": self._pad,
            "num_beams": beam_size,
            "do_sample": False,
            "max_new_tokens": self._longest,
        }
        if family.kind == "marian":  # it begins with the padding token and must not write it
            self._settings["bad_words_ids"] = [[self._pad]]
        self._model.generation_config = transformers.GenerationConfig()

    @property
    def _pad(self) -> int:
        return int(self.family.tokenizer.pad_token_id)

    def _generate(self, inputs: list[list[int]], forced: list[int]) -> list[list[int]]:
        made: dict[int, list[int]] = {}
        with self._one_at_a_time:
            for numbers in by_length([len(ids) for ids in inputs], self._batch_tokens):
                rows = self._run([inputs[number] for number in numbers], forced)
                made.update(zip(numbers, rows, strict=True))
        return [made[number] for number in range(len(inputs))]

    def _run(self, inputs: list[list[int]], forced: list[int]) -> list[list[int]]:
        torch = self._torch
        longest = max(map(len, inputs))
        device = self._model.device
        ids_BT = torch.tensor([ids + [self._pad] * (longest - len(ids)) for ids in inputs], device=device)
        mask_BT = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in inputs], device=device)
        options: dict[str, Any] = {"forced_bos_token_id": forced[0]} if forced else {}
        with torch.inference_mode():
            out_BT = self._model.generate(input_ids=ids_BT, attention_mask=mask_BT, **self._settings, **options)
        # The token that the decoder starts from stands first; of some models it is the end token.
        return [row[1 + len(forced) :] for row in out_BT.tolist()]

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._model = None


def by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield places of `lengths` in groups of like lengths, none over `most` with its padding unless it is one alone.

    >>> list(by_length([3, 90, 4, 80], 100))
    [[1], [3], [2, 0]]
    """
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if group and lengths[group[0]] * (len(group) + 1) > most:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
