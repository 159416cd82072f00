"""What a step does once its inputs are read: it calls the stage and writes the records into the step's folder.

Shared by the steps of a study (`pinchtune.study.steps`) and by single stages on plain files (`pinchtune.study.single`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.engine import Engine
from pinchtune.errors import PinchError, RunError
from pinchtune.generation.answer import answer
from pinchtune.identification import Identifier
from pinchtune.judging.fidelity import fidelity
from pinchtune.judging.other_language import REASON as OTHER_LANGUAGE
from pinchtune.judging.other_language import exempt_ids
from pinchtune.judging.panel import Combine, panel_verdicts
from pinchtune.judging.side_by_side import one_order, outcomes
from pinchtune.mixtures.designs import DESIGNS, describe
from pinchtune.records import Answer, Example, Failure, Identified, Outcome, Prompt, Sampling, Score, Verdict
from pinchtune.scoring.scores import Comparison, Row, score_study
from pinchtune.study.keep import FAILURES, PASSING, RECORDS, Result
from pinchtune.tuning.settings import TuningSettings

#: Told how much of the work is done, 0 to 1.
Advance = Callable[[float], None]
#: (id, language) names a prompt or an answer.
Key = tuple[str, str]


def mix(folder: Path, pool: Sequence[Example], *, design: str, options: Mapping[str, Any]) -> Result:
    """Draw a mixture; the manifest's notes say which id went to which language."""
    drawn: list[Example] = DESIGNS[design](pool, **options)
    store.write_records(folder / RECORDS, drawn)
    return Result(n_in=len(pool), n_out=len(drawn), notes=describe(drawn))


def tune(
    folder: Path,
    examples: Sequence[Example],
    *,
    base: str,
    settings: TuningSettings,
    seed: int,
    model_folder: Path,
    on_note: Callable[[str], None],
    advance: Advance,
) -> Result:
    """Tune a model into `model_folder`, after the preflight; the loss curve goes to the manifest's notes."""
    from pinchtune.study.checking import require_trainable
    from pinchtune.tuning.train import tune as tune_model

    for note in require_trainable(examples, base=base, settings=settings):
        on_note(note)

    tuned = tune_model(
        examples,
        base=base,
        output=model_folder,
        settings=settings,
        seed=seed,
        on_note=on_note,
        on_progress=lambda done, total: advance(done / max(total, 1)),
    )
    notes: dict[str, object] = {"n_tokens": tuned.n_tokens, "n_labels": tuned.n_labels, "dtype": tuned.dtype}
    notes["loss"] = [list(pair) for pair in tuned.loss]
    libraries = ("torch", "transformers", "peft", "accelerate")
    return with_failures(folder, len(examples), tuned.n_examples, tuned.failures, notes=notes, libraries=libraries)


def generate(
    folder: Path,
    prompts: Sequence[Prompt],
    *,
    open_engine: Callable[[], Engine],
    model: str,
    sampling: Sampling,
    batch_size: int,
    advance: Advance,
) -> Result:
    """Answer prompts, going on after those that an earlier, killed run finished; no engine is opened for none."""
    log = store.RecordLog(folder / "finished.jsonl", Answer)
    left = [prompt for prompt in prompts if _log_key(prompt) not in log.finished]
    failures: list[Failure] = []
    try:
        if left:
            for one in answer(left, open_engine(), model=model, sampling=sampling, batch_size=batch_size):
                if isinstance(one, Failure):
                    failures.append(one)
                else:
                    log.add(_log_key(one), one)
                advance((len(log.finished) + len(failures)) / len(prompts))
    finally:
        log.close()
    # An engine with many requests in flight gives them as they come.
    order = {(prompt.id, prompt.language): place for place, prompt in enumerate(prompts)}
    failures.sort(key=lambda failure: order[failure.id, failure.language])
    made = [log.finished[_log_key(prompt)] for prompt in prompts if _log_key(prompt) in log.finished]
    store.write_records(folder / RECORDS, made)
    if not any(failure.reason in PASSING for failure in failures):
        # Kept while some may be had by asking again: the next run asks for those alone.
        log.path.unlink(missing_ok=True)
    libraries = ("ctranslate2", "torch", "transformers")
    return with_failures(folder, len(prompts), len(made), failures, libraries=libraries)


def _log_key(record: Prompt | Answer) -> str:
    return f"{record.language}/{record.id}"


def identify(folder: Path, answers: Sequence[Answer], prompts: Sequence[Prompt], languages: Iterable[str]) -> Result:
    """Say of each answer which language it is in."""
    found = list(fidelity(answers, by_key(prompts), Identifier(languages)))
    store.write_records(folder / RECORDS, found)
    return Result(n_in=len(answers), n_out=len(found), libraries=("py3langid", "lingua-language-detector"))


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What scores are made of."""

    prompts: list[Prompt]
    answers: list[Answer]
    identified: list[Identified]
    verdicts: list[Verdict]
    comparisons: list[Comparison]
    #: Model -> languages of its tuning set.
    seen: dict[str, list[str]]
    #: Models whose baseline differs by language.
    rows: list[Row] = []
    #: How the judges decide together; None: each only for itself.
    panel: Combine | None = None


def score(inputs: Scored, *, seed: int) -> tuple[list[Score], list[Outcome]]:
    """Return all scores, and the outcomes that the side-by-side ones count."""
    verdicts = list(inputs.verdicts)
    _refuse_two_of_one_name(verdicts)
    judges = sorted({one.judge for one in verdicts if not one_order(one.judge)})
    if inputs.panel is not None and len(judges) < 2:
        raise PinchError(
            f"A panel needs two judges; there are verdicts of {', '.join(judges) or 'none'}, and people are not in it.",
            hint="Give the verdicts of another judge too, or leave the panel out.",
        )
    if inputs.panel is not None and len(judges) > 1:
        verdicts += panel_verdicts(inputs.verdicts, judges=judges, combine=inputs.panel)
    by_pair: dict[frozenset[str], list[Verdict]] = {}
    for verdict in verdicts:
        by_pair.setdefault(frozenset((verdict.first, verdict.second)), []).append(verdict)
    decided = [
        one
        for pair in inputs.comparisons
        for one in outcomes(
            by_pair.get(frozenset((pair.candidate, pair.baseline)), ()),
            candidate=pair.candidate,
            baseline=pair.baseline,
        )
    ]
    scores = score_study(
        prompts=inputs.prompts,
        answers=inputs.answers,
        outcomes=decided,
        identified=exempted(inputs.identified, inputs.prompts),
        comparisons=inputs.comparisons,
        seen=inputs.seen,
        rows=inputs.rows,
        seed=seed,
    )
    return scores, decided


def _refuse_two_of_one_name(verdicts: Sequence[Verdict]) -> None:
    """Refuse verdicts of one judge on one call that differ: they are of two judges, or of two runs.

    Raises:
        PinchError: names the judge and the call.
    """
    seen: dict[tuple[str, str, str, str, str], str] = {}
    for one in verdicts:
        key = (one.judge, one.id, one.language, one.first, one.second)
        if seen.setdefault(key, one.choice) != one.choice:
            raise PinchError(
                f"There are two different verdicts of {one.judge} on {one.id!r} in {one.language}.",
                hint="Give each judge's verdicts once, and verdicts of one run.",
            )


def exempted(identified: Sequence[Identified], prompts: Sequence[Prompt]) -> list[Identified]:
    """Return the identifications with none for prompts that ask for another language, a translation or code.

    The English version of a prompt decides for all languages, so this needs all prompts together.
    """
    exempt = exempt_ids(prompts)
    return [
        msgspec.structs.replace(one, faithful=None, reason=OTHER_LANGUAGE, lines=0, wrong_lines=0, mixed=False)
        if one.id in exempt
        else one
        for one in identified
    ]


def by_key(records: Iterable[Any]) -> dict[Key, Any]:
    """Return (id, language) -> record."""
    return {(one.id, one.language): one for one in records}


def with_failures(folder: Path, n_in: int, n_out: int, failures: Iterable[Failure], **more: Any) -> Result:
    """Write what could not be done beside the records, and count it by reason."""
    listed = list(failures)
    if listed:
        store.write_records(folder / FAILURES, listed)
    else:
        (folder / FAILURES).unlink(missing_ok=True)
    return Result(n_in=n_in, n_out=n_out, failed=dict(Counter(failure.reason for failure in listed)), **more)


def require_whole(result: Result, what: str) -> None:
    """Refuse a result in which calls are missing that may be had by asking again.

    Args:
        result: Of a step.
        what: The calls, for a sentence: "calls to the judge".

    Raises:
        RunError: names how many and why; what came is kept.
    """
    passing = {reason: count for reason, count in result.failed.items() if reason in PASSING}
    if passing:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(passing.items()))
        raise RunError(
            f"{sum(passing.values())} of {result.n_in} {what} failed ({listed}).",
            hint="What came is kept: run the same command again to ask for these alone.",
        )
