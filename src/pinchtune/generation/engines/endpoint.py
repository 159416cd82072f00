"""Any OpenAI-compatible endpoint: OpenAI's own, vLLM's server, and most others; many questions under way at once.

Source: the chat completions API (https://platform.openai.com/docs/api-reference/chat/create) and, for `constrain`,
vLLM's extra parameters (https://docs.vllm.ai/en/latest/features/structured_outputs.html). The official client sends
and receives; its typed objects are left out (`cast_to=object`), as building them takes as long as the sending.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from pinchtune import openai_api, plugins, remote, store
from pinchtune.engine import Asked, Generated
from pinchtune.errors import CallFailure, PinchError, did_you_mean
from pinchtune.generation.engines.concurrency import Background, Limiter
from pinchtune.records import Message, Sampling
from pinchtune.secret_settings import refuse_secrets

Constraint = Literal["none", "structured_outputs", "guided_choice"]
TokenLimit = Literal["max_tokens", "max_completion_tokens"]
_FEATURE = "The endpoint engine"
#: As many as OpenAI's API and vLLM's default allow.
_TOP_LOGPROBS = 20
#: What `extra` may not hold, as answers are read in one way alone.
_OURS = ("messages", "model", "n", "stream")
#: What an endpoint may refuse in every question alike (OpenAI's models that reason do), and the way around it.
_REFUSABLE = {
    "max_tokens": "Set token_limit to max_completion_tokens.",
    "max_completion_tokens": "Set token_limit to max_tokens.",
    "temperature": "Set send_temperature to false.",
    "top_p": "Set top_p to 1.",
    "seed": "Set the temperature to 0; no seed is sent then.",
}


class Usage(msgspec.Struct):
    """What an engine asked of its endpoint so far."""

    #: Requests sent.
    n_requests: int = 0
    #: Those among them that were made after a fault.
    n_retries: int = 0
    #: Answers of "too many requests".
    n_rate_limited: int = 0


class EndpointEngine:
    """A model behind an OpenAI-compatible endpoint, with the key from the environment's OPENAI_API_KEY.

    How many requests are under way follows what the endpoint bears, up to `workers` (see `concurrency.Limiter`).

    Args:
        model: The model's name there.
        on_note: Called with sentences a user should read, in a thread of the engine's.
        base_url: Address of the endpoint, with its /v1; else the environment's OPENAI_BASE_URL, else OpenAI's.
        workers: Requests under way at most.
        timeout: Seconds that the endpoint may take to answer.
        attempts: Requests made for a question before it is given up.
        base_delay: Seconds, as of `pinchtune.remote.Retries`.
        constrain: How the endpoint is told that a reply is to be one of the choices: not at all, as vLLM since 0.10.2
            takes it ("structured_outputs"), or as vLLM before 0.12 does ("guided_choice").
        token_limit: What the endpoint calls the most tokens of a reply.
        extra: More fields for each request, such as {"chat_template_kwargs": {"enable_thinking": False}}.
        logprobs: Ask for log-probabilities where there are choices. None: ask, and do without if they are refused.
        send_temperature: Send the temperature; False for models that take none but their own.

    Raises:
        MissingExtraError: openai or tenacity is not installed.
        PinchError: no model, no key, or a setting that is not allowed.
    """

    def __init__(
        self,
        model: str,
        *,
        on_note: Callable[[str], None] = lambda _: None,
        base_url: str | None = None,
        workers: int = 64,
        timeout: float = 120.0,
        attempts: int = 6,
        base_delay: float = 1.0,
        constrain: Constraint = "none",
        token_limit: TokenLimit = "max_tokens",  # noqa: S107
        extra: Mapping[str, Any] | None = None,
        logprobs: bool | None = None,
        send_temperature: bool = True,
    ) -> None:
        _check(model, workers, constrain, token_limit, extra)
        self._retries = remote.Retries(attempts, base_delay)
        library = plugins.require("openai", _FEATURE)
        # One connection a worker, kept; the client's own default keeps a hundred.
        limits = type(library.DEFAULT_CONNECTION_LIMITS)(max_connections=workers, max_keepalive_connections=workers)
        self._client = openai_api.open_client(
            _FEATURE,
            base_url=base_url,
            timeout=timeout,
            asynchronous=True,
            http_client=library.DefaultAsyncHttpxClient(limits=limits),
        )
        self._model = model
        self._on_note = on_note
        self._workers = workers
        self._constrain = constrain
        self._token_limit = token_limit
        self._extra = dict(extra or {})
        self._send_temperature = send_temperature
        self._must_give_logprobs = logprobs is True
        self._ask_logprobs = logprobs is not False
        self._limiter = Limiter(workers, longest_pause=self._retries.longest_delay)
        self._background = Background(f"pinchtune-endpoint-{model}")
        self.usage = Usage()
        self.name = f"endpoint-{model}"
        changed = [self._extra, constrain, send_temperature, self._ask_logprobs]
        if changed != [{}, "none", True, True]:
            self.name += f"-{store.content_key(changed)[:8]}"

    def length(self, messages: Sequence[Message]) -> int:
        """Return the number of characters of all turns."""
        return sum(len(message.content) for message in messages)

    def generate(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generated]:
        """Answer a batch, in its order.

        Raises:
            CallFailure: of the first question that failed, after its retries.
            PinchError: the key, the model, the address, a setting or the quota.
        """
        asked = (Asked(tuple(messages), sampling, tag=place) for place, messages in enumerate(conversations))
        made: dict[int, Generated] = {}
        with contextlib.closing(self.stream(asked)) as results:
            for one, result in results:
                if isinstance(result, CallFailure):
                    raise result
                made[one.tag] = result
        return [made[place] for place in range(len(conversations))]

    def stream(self, asked: Iterable[Asked]) -> Generator[tuple[Asked, Generated | CallFailure], None, None]:
        """Yield each question with its result as it comes; see `concurrency.Background.stream`.

        Raises:
            PinchError: the key, the model, the address, a setting or the quota; results that came are yielded before.
        """
        return self._background.stream(asked, self._answer, ahead=2 * self._workers)

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._background.close(self._client.close)

    async def _answer(self, asked: Asked) -> Generated | CallFailure:
        once = functools.partial(self._once, asked, itertools.count())
        try:
            return await self._retries.run_async(once, self._explain)
        except CallFailure as failure:
            return failure

    async def _once(self, asked: Asked, tries: Iterator[int]) -> Generated:
        async with self._limiter.turn():
            self.usage.n_retries += next(tries) > 0
            logprobs = bool(asked.choices) and self._ask_logprobs
            try:
                return openai_api.read_reply(await self._send(asked, logprobs))
            except _LogprobsRefusedError as refusal:
                said = refusal.said
            # Some endpoints quote the whole request whatever they refuse, so the request without tells.
            made = openai_api.read_reply(await self._send(asked, False))
            self._do_without_logprobs(said)
            return made

    def _do_without_logprobs(self, said: str) -> None:
        refused = f"The endpoint of the model {self._model} gives no log-probabilities ({said})"
        if self._must_give_logprobs:
            raise PinchError(
                f"{refused}.", hint="Leave the setting logprobs out to do without them where they are refused."
            )
        if self._ask_logprobs:
            self._ask_logprobs = False
            self._on_note(f"{refused}; choices are read from the replies' text.")

    async def _send(self, asked: Asked, logprobs: bool) -> object:
        body = self._body(asked, logprobs)
        self.usage.n_requests += 1
        try:
            return await self._client.post("/chat/completions", cast_to=object, body=body)
        except Exception as error:
            fault = self._refused_logprobs(error) if logprobs else None
            fault = fault or self._explain(error)
        if isinstance(fault, remote.PassingFault) and fault.reason == "rate_limited":
            self.usage.n_rate_limited += 1
        raise fault

    def _body(self, asked: Asked, logprobs: bool) -> dict[str, Any]:
        sampling = asked.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in asked.messages],
            self._token_limit: sampling.max_new_tokens,
        }
        if self._send_temperature:
            body["temperature"] = sampling.temperature
        if sampling.temperature > 0:
            body["seed"] = sampling.seed
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if logprobs:
            body |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        if asked.choices and self._constrain == "structured_outputs":
            body["structured_outputs"] = {"choice": list(asked.choices)}
        elif asked.choices and self._constrain == "guided_choice":
            body["guided_choice"] = list(asked.choices)
        return body | self._extra

    def _explain(self, error: Exception) -> Exception:
        # What openai says of a refused parameter: https://platform.openai.com/docs/guides/error-codes
        code, parameter = getattr(error, "code", None), getattr(error, "param", None)
        if code in ("unsupported_parameter", "unsupported_value") and parameter in _REFUSABLE:
            return PinchError(
                f"The endpoint of the model {self._model} refuses the parameter {parameter} as it is sent.",
                hint=_REFUSABLE[parameter],
            )
        return openai_api.explain(error, model=self._model, key=self._client.api_key)

    def _refused_logprobs(self, error: Exception) -> Exception | None:
        """Return what says that a request was refused for its logprobs, or may have been."""
        said = remote.cleaned(getattr(error, "message", ""), self._client.api_key)
        if getattr(error, "status_code", None) in (400, 403, 422) and "logprob" in str(error):
            return _LogprobsRefusedError(said)
        return None


class _LogprobsRefusedError(Exception):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _check(model: str, workers: int, constrain: str, token_limit: str, extra: Mapping[str, Any] | None) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        PinchError: names the setting and what is allowed.
    """
    if not model:
        raise PinchError(f"{_FEATURE} needs a model.", hint="Give the model's name at the endpoint.")
    if workers < 1:
        raise PinchError(f"workers is {workers}.", hint="Allowed: 1 and more.")
    for setting, given, allowed in (
        ("constrain", constrain, get_args(Constraint)),
        ("token_limit", token_limit, get_args(TokenLimit)),
    ):
        if given not in allowed:
            raise PinchError(f"{setting} is {given!r}.", hint=did_you_mean(str(given), allowed))
    if extra is not None and not isinstance(extra, Mapping):
        raise PinchError(f"extra is {extra!r}.", hint="It is JSON of an object: --setting 'extra={\"top_k\": 1}'")
    refuse_secrets({"extra": extra or {}})
    if taken := sorted(set(extra or {}) & set(_OURS)):
        raise PinchError(f"extra holds {', '.join(taken)}.", hint=f"Not allowed there: {', '.join(_OURS)}.")
