"""The vLLM engine: many questions under way at once on GPUs, a tuned adapter served on its base without merging.

vLLM does the batching (continuous batching over a paged cache: Kwon et al. 2023, arXiv 2309.06180). Prompts go in as
token ids and answers come out as token ids, so that template, tokenizer and stop token are those of every other engine.
Sources: https://docs.vllm.ai/en/stable/api/vllm/sampling_params/ and https://docs.vllm.ai/en/stable/features/lora/
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Literal, get_args

import msgspec

from pinchtune import chat, models, plugins
from pinchtune.engine import Asked, Generated
from pinchtune.errors import CallFailure, ModelError, PinchError, RunError, did_you_mean
from pinchtune.records import Message, Sampling

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
_FEATURE = "The vllm engine"
#: The ranks that vLLM reserves room for, of which the smallest that holds the adapter's is taken.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
#: Part of the machine's memory on a CPU, where vLLM's own default of nine tenths would leave nothing to others.
_CPU_MEMORY = 0.4
#: How a vocabulary may write a word: as it is, or with a space before it (SentencePiece's sign, byte-level BPE's).
_SPACES = ("", "▁", "Ġ")


class VLLMEngine:
    """vLLM in this process, on the GPUs of this machine; on a CPU with vLLM's build for that.

    An answer depends on its conversation and the sampling, not on what else is under way; in 16-bit arithmetic rounding
    may still differ with the batch. A conversation and its answer share `max_model_len`: one that leaves no room for a
    token is a failure, and an answer that runs into it stops with "length".

    vLLM may begin its processes by reading the main script again: a script of one's own that opens this engine needs
    its `if __name__ == "__main__":`.

    Args:
        model: As `pinchtune.models.resolve` takes it; of an adapter, LoRA in PEFT's form.
        on_note: Called with sentences a user should read.
        gpu_memory_utilization: Part of each GPU's memory (on a CPU, of the machine's) for weights and cache, over 0 to
            1; None: vLLM's own, and 0.4 on a CPU.
        max_model_len: Most tokens of a conversation with its answer; None: what the model was made for.
        dtype: What is computed in; None: float32 on a CPU, elsewhere vLLM's choice ("auto").
        tensor_parallel_size: GPUs that share the model.

    Raises:
        MissingExtraError: vLLM is not installed.
        PinchError: a setting that is not allowed.
        ModelError: no such model, or vLLM cannot run it or its adapter.
        RunError: vLLM could not start.
    """

    def __init__(
        self,
        model: str,
        *,
        on_note: Callable[[str], None] = lambda _: None,
        gpu_memory_utilization: float | None = None,
        max_model_len: int | None = None,
        dtype: Dtype | None = None,
        tensor_parallel_size: int = 1,
    ) -> None:
        _check(gpu_memory_utilization, max_model_len, dtype, tensor_parallel_size)
        self._library = _import()
        self._on_note = on_note
        source = models.resolve(model, on_note=on_note)
        self._read_tokenizer(source)
        options: dict[str, Any] = {"tensor_parallel_size": tensor_parallel_size, "dtype": dtype or "auto"}
        if self._library.platforms.current_platform.is_cpu():
            # Compiling takes a minute there and a C++ compiler, for little.
            options |= {"enforce_eager": True, "dtype": dtype or "float32", "gpu_memory_utilization": _CPU_MEMORY}
        if gpu_memory_utilization is not None:
            options["gpu_memory_utilization"] = gpu_memory_utilization
        self._llm: Any = None
        self._lora: Any = None
        self._finished: dict[str, Any] = {}
        self._numbers = itertools.count()
        self._adapters = itertools.count(1)
        self._base = source.base
        #: The largest rank of an adapter that there is room for; 0: no adapter can be taken up.
        self._room = 0 if source.adapter is None else _rank(source)
        try:
            self._llm = _open(self._library, source, self._room, options | {"max_model_len": max_model_len})
            if source.adapter is not None:
                self._lora = self._add(source)
        except BaseException:
            self.close()
            raise
        config = self._llm.llm_engine.vllm_config
        self._longest = int(config.model_config.max_model_len)
        # As many again wait as are under way, so that none that ends leaves a gap.
        self._ahead = 2 * int(config.scheduler_config.max_num_seqs)
        self.name = f"vllm-{str(config.model_config.dtype).removeprefix('torch.')}"

    def _read_tokenizer(self, source: models.Source) -> None:
        self._tokenizer = models.load_tokenizer(source.tokenizer)
        stop = chat.ensure_template(self._tokenizer)
        ids = {self._tokenizer.convert_tokens_to_ids(stop), self._tokenizer.eos_token_id}
        self._stop_ids = sorted(ids - {None})
        self._choice_ids: dict[str, tuple[int, ...]] = {}

    def swap(self, model: str) -> bool:
        """Take up another adapter of the same base model, and return whether that could be done.

        It could not, and nothing changed, where vLLM was opened without room for adapters or with less than this one
        needs, and for the base model alone, which is served as it is: by an engine without such room.

        Raises:
            ModelError: no such model, or vLLM cannot run its adapter.
        """
        source = models.resolve(model, on_note=self._on_note)
        if source.base != self._base or source.adapter is None or _rank(source) > self._room:
            return False
        self._lora = self._add(source)
        self._read_tokenizer(source)
        return True

    def length(self, messages: Sequence[Message]) -> int:
        """Return the prompt's length in tokens."""
        return len(chat.encode_prompt(self._tokenizer, messages))

    def generate(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generated]:
        """Answer a batch, in its order.

        Raises:
            CallFailure: of the first conversation that leaves no room for an answer.
            RunError: vLLM stopped working.
        """
        return self._all([Asked(tuple(messages), sampling) for messages in conversations])

    def choose(self, conversations: Sequence[Sequence[Message]], choices: Sequence[str]) -> list[dict[str, float]]:
        """Return, for each conversation, each choice's log-probability (natural) as the answer's first token.

        They are the model's own, over its whole vocabulary: the choices together may be unlikely. A word that the
        vocabulary has with and without a space before it counts as both.

        Raises:
            CallFailure: of the first conversation that leaves no room for an answer.
            PinchError: two choices begin with the same token.
            RunError: vLLM stopped working.
        """
        one = Sampling(max_new_tokens=1)
        made = self._all([Asked(tuple(messages), one, choices=tuple(choices)) for messages in conversations])
        return [dict(answer.logprobs or {}) for answer in made]

    def _all(self, asked: Sequence[Asked]) -> list[Generated]:
        made: dict[int, Generated] = {}
        tagged = (msgspec.structs.replace(one, tag=place) for place, one in enumerate(asked))
        with contextlib.closing(self.stream(tagged)) as results:
            for one, result in results:
                if isinstance(result, CallFailure):
                    raise result
                made[one.tag] = result
        return [made[place] for place in range(len(asked))]

    def stream(self, asked: Iterable[Asked]) -> Generator[tuple[Asked, Generated | CallFailure], None, None]:
        """Yield each question with its result as it comes, and read as many ahead as vLLM keeps busy with.

        Raises:
            PinchError: two choices begin with the same token.
            RunError: vLLM stopped working; results that came are yielded before.
        """
        questions = iter(asked)
        under_way: dict[str, tuple[Asked, int]] = {}
        try:
            while True:
                for one in itertools.islice(questions, self._ahead - len(under_way)):
                    prompt = chat.encode_prompt(self._tokenizer, one.messages)
                    if len(prompt) >= self._longest:
                        yield one, self._too_long(len(prompt))
                    else:
                        under_way[self._submit(prompt, one)] = one, len(prompt)
                if not under_way:
                    return
                self._step()
                for name in [name for name in self._finished if name in under_way]:
                    one, length = under_way.pop(name)
                    yield one, self._read(self._finished.pop(name), one, length)
        finally:
            self._drop(list(under_way))

    def _submit(self, prompt: list[int], asked: Asked) -> str:
        name = f"pinchtune-{next(self._numbers)}"
        params = self._params(asked, prompt)
        self._llm.llm_engine.add_request(name, {"prompt_token_ids": prompt}, params, lora_request=self._lora)
        return name

    def _step(self) -> None:
        try:
            outputs = self._llm.llm_engine.step()
        except Exception as error:
            raise RunError(
                f"vLLM stopped working: {_said(error)}",
                hint="What was finished is kept. If memory ran out, give a smaller gpu_memory_utilization or "
                "max_model_len, then run the same command again.",
            ) from error
        # Of every stream that is open, as one may be read between two results of another.
        self._finished |= {output.request_id: output.outputs[0] for output in outputs if output.finished}

    def _drop(self, names: list[str]) -> None:
        for name in names:
            self._finished.pop(name, None)
        if names and self._llm is not None:
            with contextlib.suppress(Exception):  # it may have died, which was said already
                self._llm.llm_engine.abort_request(names)

    def _params(self, asked: Asked, prompt: list[int]) -> Any:
        sampling = asked.sampling
        options: dict[str, Any] = {"temperature": sampling.temperature}
        if sampling.temperature > 0:
            options |= {"top_p": sampling.top_p, "seed": _seed(sampling.seed, prompt)}
        if asked.choices:
            # Of these tokens alone, wherever they stand among the likeliest; over the whole vocabulary all the same.
            options["logprob_token_ids"] = [token for ids in self._ids_of(asked.choices).values() for token in ids]
        return self._library.SamplingParams(
            max_tokens=sampling.max_new_tokens,
            stop_token_ids=self._stop_ids,
            detokenize=False,
            output_kind=self._library.sampling_params.RequestOutputKind.FINAL_ONLY,
            **options,
        )

    def _read(self, output: Any, asked: Asked, n_prompt_tokens: int) -> Generated | CallFailure:
        ids = list(output.token_ids)
        stopped = output.finish_reason == "stop"
        if not stopped and output.finish_reason != "length":
            return CallFailure("server_error", f"vLLM gave the answer up ({output.finish_reason}).")
        kept = ids[:-1] if stopped and ids and ids[-1] in self._stop_ids else ids
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        logprobs = None
        if asked.choices:
            first = {token: float(one.logprob) for token, one in output.logprobs[0].items()}
            found = self._ids_of(asked.choices)
            logprobs = {choice: _sum([first[token] for token in tokens]) for choice, tokens in found.items()}
            if asked.sampling.max_new_tokens == 1:
                return Generated(max(logprobs, key=logprobs.__getitem__), "stop", 1, n_prompt_tokens, logprobs)
            if not text.startswith(asked.choices):  # it thinks before it chooses
                logprobs = None
        return Generated(text, "stop" if stopped else "length", len(kept), n_prompt_tokens, logprobs)

    def _ids_of(self, choices: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Return the tokens with which an answer of each choice may begin.

        Raises:
            PinchError: two choices share one.
        """
        if not self._choice_ids.keys() >= set(choices):
            vocabulary = self._tokenizer.get_vocab()
            for choice in choices:
                ids = tuple(vocabulary[space + choice] for space in _SPACES if space + choice in vocabulary)
                self._choice_ids[choice] = ids or tuple(chat.encode_text(self._tokenizer, choice)[:1])
        found = {choice: self._choice_ids[choice] for choice in choices}
        if len({token for ids in found.values() for token in ids}) < sum(map(len, found.values())):
            raise PinchError(
                f"The choices {', '.join(choices)} do not all begin with tokens of their own in this model.",
                hint="Give choices of one character each, such as A and B.",
            )
        return found

    def _too_long(self, length: int) -> CallFailure:
        detail = f"The conversation has {length} tokens; with its answer it may have {self._longest} (max_model_len)."
        return CallFailure("refused", detail)

    def _add(self, source: models.Source) -> Any:
        # Added now: an adapter that vLLM refuses later would take its process down.
        # What vLLM keeps of earlier prompts it keeps by the adapter's name, which is a new one each time.
        number = next(self._adapters)
        request = self._library.lora.request.LoRARequest(f"tuned-{number}", number, str(source.adapter))
        try:
            self._llm.llm_engine.add_lora(request)
        except Exception as error:
            raise _refused(source, error) from None
        return request

    def close(self) -> None:
        """End vLLM's processes, and with them give their memory back."""
        llm, self._llm = getattr(self, "_llm", None), None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
            del llm
            gc.collect()


def _import() -> Any:
    """Return vLLM, set to be quiet: it would write where results belong, on standard output, and report its use."""
    for name, value in (
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_LOGGING_STREAM", "ext://sys.stderr"),
        ("VLLM_NO_USAGE_STATS", "1"),
    ):
        os.environ.setdefault(name, value)
    library = plugins.require("vllm", _FEATURE)
    for module in ("lora.request", "platforms", "sampling_params"):
        plugins.require(f"vllm.{module}", _FEATURE)
    if "logprob_token_ids" not in library.SamplingParams.__struct_fields__:
        raise PinchError(f"vLLM {library.__version__} is too old for pinchtune.", hint="pip install -U vllm")
    return library


def _open(library: Any, source: models.Source, room: int, options: dict[str, Any]) -> Any:
    if room:
        options = options | {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    try:
        return library.LLM(
            model=source.base,
            skip_tokenizer_init=True,
            generation_config="vllm",  # a model's own file may hold other stop tokens, and penalties
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **options,
        )
    except (OSError, ValueError, NotImplementedError) as error:
        raise _refused(source, error) from None
    except RuntimeError as error:
        raise RunError(
            f"vLLM could not start with {source.base}: {_said(error)}",
            hint="Its own messages stand above. If it is memory, give another gpu_memory_utilization (a larger one "
            "where the weights leave no room, a smaller one beside other programs) or a smaller max_model_len.",
        ) from error


def _rank(source: models.Source) -> int:
    """Return the room that an adapter's rank needs.

    Raises:
        ModelError: it is no LoRA, or larger than any room.
    """
    assert source.adapter is not None
    config = json.loads((source.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise _refused(source, ValueError(f"it is of the kind {config.get('peft_type')}, not LORA"))
    largest = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    room = next((rank for rank in _RANKS if rank >= largest), None)
    if room is None:
        raise _refused(source, ValueError(f"its rank is {largest}, and {_RANKS[-1]} is the largest allowed"))
    return room


def _refused(source: models.Source, error: Exception) -> ModelError:
    what = f"the adapter {source.adapter} on {source.base}" if source.adapter else source.base
    return ModelError(f"vLLM cannot run {what}: {_said(error)}", hint="Use --engine transformers for this model.")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _seed(seed: int, prompt: list[int]) -> int:
    """Return the seed of one answer's draws: the prompt's own, as one for all would draw alike for each of them."""
    digest = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _sum(logprobs: Sequence[float]) -> float:
    """Return the log of the sum of probabilities given as logs."""
    largest = max(logprobs)
    if math.isinf(largest):
        return largest
    return largest + math.log(math.fsum(math.exp(one - largest) for one in logprobs))


def _check(
    gpu_memory_utilization: float | None, max_model_len: int | None, dtype: str | None, tensor_parallel_size: int
) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        PinchError: names the setting and what is allowed.
    """
    if gpu_memory_utilization is not None and not 0 < gpu_memory_utilization <= 1:
        raise PinchError(f"gpu_memory_utilization is {gpu_memory_utilization}.", hint="Allowed: over 0, up to 1.")
    for setting, number in (("max_model_len", max_model_len), ("tensor_parallel_size", tensor_parallel_size)):
        if number is not None and number < 1:
            raise PinchError(f"{setting} is {number}.", hint="Allowed: 1 and more.")
    if dtype is not None and dtype not in get_args(Dtype):
        raise PinchError(f"dtype is {dtype!r}.", hint=did_you_mean(dtype, get_args(Dtype)))
