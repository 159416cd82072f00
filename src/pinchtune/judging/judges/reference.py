"""The reference judge: no model, no key; the answer nearer to the reference response wins.

Nearness is chrF++ (Popović 2017, https://aclanthology.org/W17-4770/; sacrebleu's implementation, word order 2). An
answer in the wrong language loses to one in the right language. Within `margin` points the first shown is preferred, so
that the two orders disagree and the outcome is a tie.
"""

from __future__ import annotations

from pinchtune.identification import Identifier
from pinchtune.judging.judge import JudgeFailure, Judgement
from pinchtune.records import Answer, Prompt


class ReferenceJudge:
    """chrF++ against the reference response, with the language of the answer counting first.

    Args:
        languages: Tags of the prompts' languages.
        margin: chrF++ points (0 to 100) within which two answers are held equal.
    """

    def __init__(self, *, languages: tuple[str, ...] = (), margin: float = 1.0) -> None:
        from sacrebleu.metrics import CHRF

        self.name = f"reference-chrf++-m{margin:g}"
        self._margin = margin
        self._chrf = CHRF(word_order=2)
        self._identifier = Identifier(languages)

    def judge(self, prompt: Prompt, first: Answer, second: Answer) -> Judgement:
        """Choose by language, then by chrF++.

        Raises:
            JudgeFailure: the prompt has no reference response.
        """
        if not prompt.reference:
            raise JudgeFailure("no_reference", "the reference judge needs prompts with a reference response")
        right = [
            self._identifier.check(answer.text, prompt.language, prompt=prompt.instruction).expected
            for answer in (first, second)
        ]
        points = [self.points(answer.text, prompt.reference) for answer in (first, second)]
        reply = (
            f"chrF++ {points[0]:.1f} and {points[1]:.1f}; in {prompt.language}: {_said(right[0])} and {_said(right[1])}"
        )
        if False in right and True in right:
            return Judgement("first" if right[0] else "second", reply=reply)
        return Judgement("second" if points[1] > points[0] + self._margin else "first", reply=reply)

    def points(self, text: str, reference: str) -> float:
        """Return chrF++ of a text against a reference, 0 to 100; 0 for an empty text."""
        return float(self._chrf.sentence_score(text, [reference]).score) if text.strip() else 0.0


def _said(expected: bool | None) -> str:
    return {True: "yes", False: "no", None: "cannot tell"}[expected]
