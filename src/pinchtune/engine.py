"""The protocol of a generation engine, how one is opened by name, and how any of them is asked a stream of questions.

It stands above the stages because three of them take an engine: generation, judging, and translation (regeneration).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from pinchtune import plugins
from pinchtune.errors import CallFailure
from pinchtune.records import Message, Sampling


class Generated(msgspec.Struct, frozen=True):
    """What an engine made of one conversation."""

    text: str
    stop_reason: Literal["stop", "length"]
    #: Tokens generated, the stop token not counted.
    n_tokens: int
    #: Tokens of the conversation, where the engine says so.
    n_prompt_tokens: int | None = None
    #: Choice -> log-probability (natural) of the reply beginning with it, where choices were asked and they are given.
    logprobs: dict[str, float] | None = None


class Asked(msgspec.Struct, frozen=True):
    """One conversation for an engine."""

    messages: tuple[Message, ...]
    sampling: Sampling
    #: The reply is to be one of these, each one token or the beginning of it; empty: free text.
    choices: tuple[str, ...] = ()
    #: The caller's own; comes back with the result.
    tag: Any = None


class Engine(Protocol):
    """Something that answers conversations, a batch at a time.

    Three methods are optional. `stream(asked: Iterable[Asked]) -> Iterator[tuple[Asked, Generated | CallFailure]]` is
    for engines that keep many requests in flight: results come as they are finished. `choose(conversations, choices) ->
    list[dict[str, float]]` returns the choices' log-probabilities as the next token, for engines that see them.
    `swap(model: str) -> bool` makes an open engine answer as another model of the same base would, without loading that
    again, and returns whether it could; False leaves the engine as it was.
    """

    #: Name and what of it changes answers ("ctranslate2-int8").
    name: str

    def length(self, messages: Sequence[Message]) -> int:
        """Return the prompt's length in tokens, to batch like with like."""
        ...

    def generate(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generated]:
        """Answer a batch, in its order."""
        ...

    def close(self) -> None:
        """Free memory and temporary files."""
        ...


def open_engine(
    name: str, model: str, *, on_note: Callable[[str], None] = lambda _: None, **settings: object
) -> Engine:
    """Open an engine on a model.

    Args:
        name: A name of the plugin table: "ctranslate2", "transformers", "endpoint", "fake" or a third party's.
        model: As `pinchtune.models.resolve` takes it; of an endpoint, the model's name there.
        on_note: Called with sentences a user should read.
        settings: The engine's own, such as an endpoint's `base_url`.

    Raises:
        PluginError: no such engine, or setting of it.
        MissingExtraError: its library is not installed.
        ModelError: no such model, or the engine cannot run it.
    """
    engine: Engine = plugins.construct("engines", name, {"model": model, "on_note": on_note, **settings})
    return engine


def stream(
    engine: Engine, asked: Iterable[Asked], *, batch_size: int = 16
) -> Iterator[tuple[Asked, Generated | CallFailure]]:
    """Yield each question with its result, in any order, over whatever the engine offers.

    Args:
        engine: An engine.
        asked: Questions; read as the engine takes them, never as a whole.
        batch_size: Questions in a batch, for engines without a stream of their own.
    """
    own = getattr(engine, "stream", None)
    if own is not None:
        yield from own(asked)
        return
    iterator = iter(asked)
    while batch := list(itertools.islice(iterator, batch_size)):
        alike: dict[tuple[Sampling, tuple[str, ...]], list[Asked]] = {}
        for one in batch:
            alike.setdefault((one.sampling, one.choices), []).append(one)
        for (sampling, choices), some in alike.items():
            made: Sequence[Generated | CallFailure]
            try:
                made = list(_batch(engine, [one.messages for one in some], sampling, choices))
            except CallFailure as failure:
                made = [failure] * len(some)
            yield from zip(some, made, strict=True)


def _batch(
    engine: Engine, conversations: Sequence[Sequence[Message]], sampling: Sampling, choices: tuple[str, ...]
) -> Iterator[Generated]:
    choose = getattr(engine, "choose", None)
    if choices and choose is not None:
        for logprobs in choose(conversations, choices):
            # The reply is forced to be one of them, so their probabilities are among themselves.
            total = math.log(sum(math.exp(one - max(logprobs.values())) for one in logprobs.values()))
            among = {said: one - max(logprobs.values()) - total for said, one in logprobs.items()}
            yield Generated(max(among, key=among.__getitem__), "stop", 1, logprobs=among)
        return
    yield from engine.generate(conversations, sampling)
