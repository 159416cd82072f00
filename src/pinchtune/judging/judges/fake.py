"""A judge without an opinion of its own, for tests of whatever stands on judges."""

from __future__ import annotations

from pinchtune.judging.judge import JudgeFailure, Judgement
from pinchtune.records import Answer, Prompt


class FakeJudge:
    """Prefers the longer answer and the first of two of equal length; gives no verdict where told so.

    Args:
        languages: As of every judge.
        fail_on: Ids of prompts without a verdict.
    """

    def __init__(self, *, languages: tuple[str, ...] = (), fail_on: tuple[str, ...] = ()) -> None:
        del languages
        self.name = "fake"
        self._fail_on = frozenset(fail_on)

    def judge(self, prompt: Prompt, first: Answer, second: Answer) -> Judgement:
        """Choose the longer answer."""
        if prompt.id in self._fail_on:
            raise JudgeFailure("fake", "the fake judge was told to fail here")
        return Judgement("second" if len(second.text) > len(first.text) else "first")
