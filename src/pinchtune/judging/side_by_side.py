"""Side by side: every pair judged in both orders, and what the two orders make together.

Source: Shaham et al. 2024 (arXiv 2401.01854), evaluation: a response chosen in both orders wins; a different response
chosen in each is a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pinchtune.judging.judge import Judge, JudgeFailure
from pinchtune.records import Answer, Failure, Outcome, Prompt, Result, Verdict


def pair_up(
    prompts: Iterable[Prompt], candidate: Mapping[tuple[str, str], Answer], baseline: Mapping[tuple[str, str], Answer]
) -> Iterator[tuple[Prompt, Answer, Answer] | Failure]:
    """Yield (prompt, candidate's answer, baseline's answer), or a `Failure` where an answer is missing.

    Args:
        prompts: What was asked.
        candidate: (prompt id, language) -> answer.
        baseline: The same of the baseline.
    """
    for prompt in prompts:
        key = (prompt.id, prompt.language)
        if key in candidate and key in baseline:
            yield prompt, candidate[key], baseline[key]
            continue
        missing = " and ".join(n for n, side in (("candidate", candidate), ("baseline", baseline)) if key not in side)
        yield Failure(
            id=prompt.id,
            language=prompt.language,
            stage="judge",
            reason="missing_answer",
            detail=f"no answer of the {missing}",
        )


def judge_both_orders(prompt: Prompt, candidate: Answer, baseline: Answer, judge: Judge) -> Iterator[Verdict | Failure]:
    """Yield the verdicts of both orders; equal texts are a tie of which no judge is asked."""
    for first, second in ((candidate, baseline), (baseline, candidate)):
        if candidate.text == baseline.text:
            yield _verdict(prompt, judge, first, second, choice="tie", reply="the two answers are the same text")
            continue
        try:
            made = judge.judge(prompt, first, second)
        except JudgeFailure as failure:
            yield Failure(
                id=prompt.id, language=prompt.language, stage="judge", reason=failure.reason, detail=failure.detail
            )
            continue
        yield _verdict(prompt, judge, first, second, choice=made.choice, probability=made.probability, reply=made.reply)


def _verdict(prompt: Prompt, judge: Judge, first: Answer, second: Answer, **made: object) -> Verdict:
    return Verdict(
        id=prompt.id,
        language=prompt.language,
        judge=judge.name,
        first=first.model,
        second=second.model,
        **made,  # type: ignore[arg-type]
    )


def outcomes(verdicts: Iterable[Verdict], *, candidate: str, baseline: str) -> Iterator[Outcome]:
    """Put both orders of each pair together; a pair with one order only has no outcome.

    Args:
        verdicts: Of any pairs, in any order.
        candidate: Name of the model whose wins are counted.
        baseline: Name of the other.
    """
    chosen: dict[tuple[str, str, str], dict[str, str]] = {}
    for verdict in verdicts:
        if {verdict.first, verdict.second} != {candidate, baseline}:
            continue
        name = {"first": verdict.first, "second": verdict.second, "tie": ""}[verdict.choice]
        chosen.setdefault((verdict.id, verdict.language, verdict.judge), {})[verdict.first] = name
    for (identifier, language, judge), by_order in chosen.items():
        if len(by_order) == 2:
            yield Outcome(
                id=identifier,
                language=language,
                judge=judge,
                candidate=candidate,
                baseline=baseline,
                result=_result(set(by_order.values()), candidate, baseline),
            )


def _result(names: set[str], candidate: str, baseline: str) -> Result:
    if names == {candidate}:
        return "win"
    return "loss" if names == {baseline} else "tie"
