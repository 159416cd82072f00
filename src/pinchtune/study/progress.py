"""Who is told how far a study is; the command line shows it, tests and libraries may ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Receives what happens, in order."""

    def begin(self, n_steps: int, n_reused: int, cost: float) -> None:
        """A run begins: steps in all, those already there, and the summed cost of the rest."""
        ...

    def step(self, name: str, cost: float) -> None:
        """A step begins."""
        ...

    def advance(self, fraction: float) -> None:
        """The only running step is this far, 0 to 1."""
        ...

    def running(self, fractions: Mapping[str, float]) -> None:
        """Of several steps at a time: these are running, each this far, 0 to 1. Told about once a second."""
        ...

    def done(self, name: str, seconds: float, error: str | None) -> None:
        """A step has ended."""
        ...

    def note(self, text: str) -> None:
        """A sentence the user should read."""
        ...


class Silent:
    """Tells nobody."""

    def begin(self, n_steps: int, n_reused: int, cost: float) -> None:
        """Ignore."""

    def step(self, name: str, cost: float) -> None:
        """Ignore."""

    def advance(self, fraction: float) -> None:
        """Ignore."""

    def running(self, fractions: Mapping[str, float]) -> None:
        """Ignore."""

    def done(self, name: str, seconds: float, error: str | None) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
