"""The protocol of a generation engine, and how one is opened by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from pinchtune import plugins
from pinchtune.records import Message, Sampling


class Generated(msgspec.Struct, frozen=True):
    """What an engine made of one conversation."""

    text: str
    stop_reason: Literal["stop", "length"]
    #: Tokens generated, the stop token not counted.
    n_tokens: int


class Engine(Protocol):
    """Something that answers conversations, a batch at a time."""

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


def open_engine(name: str, model: str, *, on_note: Callable[[str], None] = lambda _: None) -> Engine:
    """Open an engine on a model.

    Args:
        name: A name of the plugin table: "ctranslate2", "transformers", "fake" or a third party's.
        model: As `pinchtune.models.resolve` takes it.
        on_note: Called with sentences a user should read.

    Raises:
        PluginError: no such engine.
        MissingExtraError: its library is not installed.
        ModelError: no such model, or the engine cannot run it.
    """
    engine: Engine = plugins.load("engines", name)(model, on_note=on_note)
    return engine
