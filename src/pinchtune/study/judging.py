"""What judging does once its inputs are read: verdicts streamed into the step's folder, the cache beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.judging.cache import VerdictCache, default_path
from pinchtune.judging.detection import Check, check_results
from pinchtune.judging.driver import judge_pairs
from pinchtune.judging.judge import Judge
from pinchtune.judging.planted import plant
from pinchtune.judging.side_by_side import outcomes, pair_up
from pinchtune.judging.tally import Tally
from pinchtune.records import Answer, Failure, Prompt, Verdict
from pinchtune.scoring.cells import POINTS
from pinchtune.scoring.sequential import Look, Looks, shuffled
from pinchtune.study.keep import RECORDS, Result
from pinchtune.study.work import Advance, Key, with_failures

LIBRARIES = ("sacrebleu", "py3langid", "lingua-language-detector", "openai")


def judge(
    folder: Path,
    prompts: Sequence[Prompt],
    candidate: Mapping[Key, Answer],
    baseline: Mapping[Key, Answer],
    *,
    judge: Judge,
    advance: Advance,
    cache: VerdictCache | None = None,
    tally: Tally | None = None,
    early_stop: bool = False,
    seed: int = 0,
) -> Result:
    """Judge every pair in both orders; a pair without an answer, or a judge without a verdict, is a `Failure`.

    Args:
        folder: Where the verdicts go.
        prompts: What was asked.
        candidate: (prompt id, language) -> answer of the model whose wins are counted.
        baseline: The same of the other.
        judge: Chooses.
        advance: Told how far it is.
        cache: Finished verdicts.
        tally: Counts, and the cost cap.
        early_stop: Look five times at the mean over all languages, prompts in a random order, and stop where the
            contrast is clear (O'Brien-Fleming; `pinchtune.scoring.sequential`).
        seed: Of that order.
    """
    tally = tally or Tally()
    failures: list[Failure] = []
    notes: dict[str, Any] = {}

    def pairs_of(some: Sequence[Prompt], before: int) -> Iterator[Verdict]:
        made = judge_pairs(
            pair_up(some, candidate, baseline),
            judge,
            cache=cache,
            tally=tally,
            on_done=lambda done: advance((before + done) / len(prompts)),
        )
        for one in made:
            if isinstance(one, Failure):
                failures.append(one)
            else:
                yield one

    def verdicts() -> Iterator[Verdict]:
        if not early_stop:
            yield from pairs_of(prompts, 0)
            return
        for look in _looks(prompts, seed, pairs_of, candidate=_model(candidate), baseline=_model(baseline)):
            if isinstance(look, Verdict):
                yield look
            else:
                notes["early_stop"] = msgspec.to_builtins(look) | {"sentence": _sentence(look)}

    n_out = store.write_records(folder / RECORDS, verdicts())
    notes["judging"] = {"n_pairs": tally.n_pairs, "n_identical": tally.n_identical}
    return with_failures(
        folder, 2 * len(prompts), n_out, failures, libraries=LIBRARIES, notes=notes, spent=tally.as_dict()
    )


def spent_sentence(spent: Mapping[str, Any]) -> str | None:
    """Return what a run's `Result.spent` comes to, or None where there was neither a cache nor a model to ask."""
    if not spent.get("n_cached") and not spent.get("n_prompt_tokens"):
        return None
    cost = "" if spent["cost"] is None else f", ${spent['cost']:.4f}"
    return (
        f"{spent['n_calls']} calls, {spent['n_cached']} verdicts from the cache, {spent['n_identical']} identical "
        f"pairs; {spent['n_prompt_tokens']} tokens read, {spent['n_tokens']} written{cost}."
    )


def _model(answers: Mapping[Key, Answer]) -> str:
    return next((one.model for one in answers.values()), "")


def _looks(
    prompts: Sequence[Prompt],
    seed: int,
    judged: Callable[[Sequence[Prompt], int], Iterator[Verdict]],
    *,
    candidate: str,
    baseline: str,
) -> Iterator[Verdict | Look]:
    """Yield the verdicts block by block, and a look after each, the last one being the one that stopped."""
    order = shuffled((prompt.id for prompt in prompts), seed)
    by_id: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_id.setdefault(prompt.id, []).append(prompt)
    looks = Looks(len(order))
    items: list[float | None] = []
    before = 0
    for size in looks.sizes:
        block = order[len(items) : size]
        some = [prompt for identifier in block for prompt in by_id[identifier]]
        made = list(judged(some, before))
        yield from made
        before += len(some)
        items += _points(block, made, candidate=candidate, baseline=baseline)
        look = looks.at(items)
        yield look
        if look.stop:
            return


def _points(ids: Sequence[str], verdicts: Sequence[Verdict], *, candidate: str, baseline: str) -> list[float | None]:
    """Return the mean points of each prompt over its languages, None where none could be judged."""
    found: dict[str, list[float]] = {}
    # The verdicts alone do not say who the candidate is: the call that shows it first may have failed.
    for outcome in outcomes(verdicts, candidate=candidate, baseline=baseline):
        found.setdefault(outcome.id, []).append(POINTS[outcome.result])
    return [sum(found[one]) / len(found[one]) if one in found else None for one in ids]


def _sentence(look: Look) -> str:
    asked = f"after {look.prompts} prompts, at look {look.look} of {look.looks} (z {look.z:.2f}, {look.critical:.2f})"
    if look.finding == "no difference shown":
        return f"No difference was shown {asked}."
    word = "better" if look.finding == "above" else "worse"
    size = "; the score of a run that stopped early is too far from 50: judge all prompts for its size"
    return f"The candidate is {word}: shown {asked}{size if look.stopped_early else ''}."


@contextlib.contextmanager
def verdict_cache(judge: Judge, path: Path | None = None) -> Iterator[VerdictCache | None]:
    """Open the cache for a judge whose verdicts can be cached, or give None."""
    if not hasattr(judge, "key"):
        yield None
        return
    cache = VerdictCache(path or default_path())
    try:
        yield cache
    finally:
        cache.close()


def close(judge: Judge) -> None:
    """Close a judge that holds something open."""
    if (own := getattr(judge, "close", None)) is not None:
        own()


def check_judge(
    prompts: Sequence[Prompt],
    judge: Judge,
    *,
    n: int,
    seed: int,
    advance: Advance,
    on_note: Callable[[str], None] = lambda _: None,
    cache: VerdictCache | None = None,
    tally: Tally | None = None,
) -> Check:
    """Plant defects in references, have the judge find them, and count.

    Args:
        prompts: With reference responses.
        judge: The judge to measure.
        n: Pairs for each language and defect.
        seed: Of the plants.
        advance: Told how far it is.
        on_note: Told sentences that a user should read.
        cache: Finished verdicts.
        tally: Counts, and the cost cap.

    Raises:
        PinchError: no prompt has a reference.
    """
    pairs = plant(prompts, n=n, seed=seed, on_note=on_note)
    made = judge_pairs(pairs, judge, cache=cache, tally=tally, on_done=lambda done: advance(done / max(len(pairs), 1)))
    return check_results(made, pairs)


def prompt_key(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what a step's settings hold of a judge's own prompt file, so that an edited one is judged by anew."""
    path = Path(str(settings.get("prompt", "")))
    return {"prompt_key": store.file_key(path)} if path.is_file() else {}
