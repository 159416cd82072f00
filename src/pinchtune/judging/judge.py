"""The protocol of a judge, and how one is opened by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from pinchtune import plugins
from pinchtune.records import Answer, Choice, Prompt


class Judgement(msgspec.Struct, frozen=True):
    """A judge's choice between two answers in the order shown."""

    choice: Choice
    probability: float | None = None
    #: The raw reply, or how the choice was reached.
    reply: str = ""


class JudgeFailure(Exception):
    """A judge that gave no verdict. Never the model's fault: stored as a `Failure`, never as a verdict.

    Args:
        reason: A short code.
        detail: What was got.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Judge(Protocol):
    """Something that chooses between two answers to a prompt."""

    #: Name and what of it changes verdicts ("reference-chrf++-m1").
    name: str

    def judge(self, prompt: Prompt, first: Answer, second: Answer) -> Judgement:
        """Choose.

        Raises:
            JudgeFailure: there is no verdict.
        """
        ...


def open_judge(name: str, *, languages: Iterable[str] = (), **settings: object) -> Judge:
    """Open a judge by its name in the plugin table.

    Args:
        name: "reference", "fake" or a third party's.
        languages: Tags of the languages that will come.
        settings: The judge's own.

    Raises:
        PluginError: no such judge.
    """
    judge: Judge = plugins.construct("judges", name, {"languages": tuple(languages), **settings})
    return judge
