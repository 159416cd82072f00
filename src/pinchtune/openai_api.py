"""What every client of an OpenAI-compatible endpoint here shares: how it is opened, what its errors and replies mean.

The official client does the talking, with its own retries switched off: `pinchtune.remote` does them. The key comes
from the environment's OPENAI_API_KEY alone.

Source of the replies: https://platform.openai.com/docs/api-reference/chat/object. Servers that speak it add fields and
leave some out; what is read here is what all of them have.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from pinchtune import plugins, remote
from pinchtune.engine import Generated
from pinchtune.errors import CallFailure, PinchError

VARIABLE = "OPENAI_API_KEY"
_CREDENTIALS = f"Set the environment variable {VARIABLE} to a key of this endpoint."


def open_client(
    feature: str, *, base_url: str | None = None, timeout: float = 120.0, asynchronous: bool = False, **options: Any
) -> Any:
    """Return the official client on an endpoint.

    Args:
        feature: What needs it, to begin a sentence with ("The llm engine").
        base_url: Address of the endpoint, with its /v1; else the environment's OPENAI_BASE_URL, else OpenAI's.
        timeout: Seconds that the endpoint may take to answer.
        asynchronous: An `AsyncOpenAI` instead of an `OpenAI`.
        options: More of the client's own, such as `http_client`.

    Raises:
        MissingExtraError: openai or tenacity is not installed.
        PinchError: no key, or `base_url` is no address.
    """
    library = plugins.require("openai", feature)
    remote.require_tenacity(feature, "llm")
    key = remote.key_from(VARIABLE, feature, hint="For an endpoint without keys, to any word.")
    client = library.AsyncOpenAI if asynchronous else library.OpenAI
    return client(
        api_key=key, base_url=remote.check_url(base_url, "base_url"), max_retries=0, timeout=timeout, **options
    )


def explain(error: Exception, *, model: str, key: str) -> Exception:
    """Turn an exception of the client into ours; what is none of the client's is returned as it is.

    Args:
        error: What the client raised.
        model: The model's name, for sentences.
        key: The key, so that no message repeats it.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        return remote.PassingFault("timeout", "APITimeoutError")
    if isinstance(error, openai.APIConnectionError):
        return remote.PassingFault("connection", type(error.__cause__ or error).__name__)
    if isinstance(error, openai.APIStatusError):
        return _from_answer(error, model, key)
    if isinstance(error, (openai.OpenAIError, *remote.WRONG_SHAPE)):
        return remote.PassingFault("unreadable", type(error).__name__)
    return error


def _from_answer(error: Any, model: str, key: str) -> Exception:
    service = f"The endpoint of the model {model}"
    said = remote.cleaned(error.message, key)
    if error.code == "insufficient_quota":  # a 429 that no waiting helps
        return remote.out_of_quota(service)
    if error.status_code == 400 and re.search(r"(?i)api[ _-]?key", said):  # some endpoints refuse a key with 400
        return PinchError(f"{service} refused the credentials (HTTP 400).", hint=_CREDENTIALS)
    return remote.from_status(
        error.status_code,
        said,
        service=service,
        credentials=_CREDENTIALS,
        address="Check the model's name and the setting base_url (or the environment variable OPENAI_BASE_URL).",
        headers=error.response.headers,
    )


# -------------------------------------------------------------------------------------------- replies


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    #: Of several shapes, of which one is read.
    logprobs: Any = None


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Counts | None = None


class _Likely(msgspec.Struct):
    token: str
    logprob: float


class _Token(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Likely] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


def read_reply(body: object) -> Generated:
    """Return what a reply says; what the model thought before it is left out.

    Args:
        body: Of a chat completion, decoded from JSON.

    Raises:
        PassingFault: it is no reply, or an unfinished one.
        CallFailure: the endpoint filtered the answer, or the model refused.
    """
    try:
        reply = msgspec.convert(body, _Reply)
    except msgspec.ValidationError as error:
        raise remote.PassingFault("unreadable", str(error)) from None
    if len(reply.choices) != 1:
        raise remote.PassingFault("wrong_count", f"{len(reply.choices)} answers for 1 question")
    (choice,) = reply.choices
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        raise CallFailure("refused", "The endpoint filtered the answer, or the model refused.")
    if choice.finish_reason in ("abort", "error"):  # vLLM's and OpenRouter's words for their own faults
        raise remote.PassingFault("server_error", f"finish_reason {choice.finish_reason}")
    if choice.message.content is None and choice.finish_reason is None:
        raise remote.PassingFault("unreadable", "no text in the answer")
    # JSON may hold half of a surrogate pair, which is no text and could not be written.
    text = (choice.message.content or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    counts = reply.usage or _Counts()
    return Generated(
        text,
        "length" if choice.finish_reason == "length" else "stop",
        counts.completion_tokens or 0,
        counts.prompt_tokens,
        _first_token(choice.logprobs, text),
    )


def _first_token(given: object, text: str) -> dict[str, float] | None:
    """Return the log-probabilities of what the reply might begin with; None where they are not given, or not of it.

    A model that thinks first may have its thoughts among the tokens and not in the text.
    """
    try:
        tokens = msgspec.convert(given, _Logprobs | None) if given else None
    except msgspec.ValidationError:
        return None
    first = next((one for one in (tokens and tokens.content) or [] if one.token.strip()), None)
    if first is None or not text.lstrip().startswith(first.token.strip()):
        return None
    found = {one.token: one.logprob for one in (first, *first.top_logprobs)}
    return None if any(math.isnan(logprob) for logprob in found.values()) else found
