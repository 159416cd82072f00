"""`pinch judge`: two models' answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.errors import PinchError
from pinchtune.judging import batch
from pinchtune.judging.alpaca_eval import read_alpaca_eval
from pinchtune.judging.detection import Check
from pinchtune.judging.driver import Pair, estimate, missing_calls
from pinchtune.judging.judge import Judge, Judgement, open_judge
from pinchtune.judging.side_by_side import pair_up
from pinchtune.judging.tally import Estimate, Price, Tally
from pinchtune.records import Answer, Failure, Prompt, Score
from pinchtune.study import judging, work
from pinchtune.study.keep import RECORDS, Result
from pinchtune.study.reading import read_answers
from pinchtune.study.single.stage import Kept, Note, stage
from pinchtune.study.work import Advance


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """What `pinch judge` is told."""

    judge: str = "reference"
    settings: dict[str, Any] = {}
    cache: Path | None = None
    price: Price | None = None
    max_cost: float | None = None


def estimate_judging(prompts: Sequence[Prompt], candidate: Path, baseline: Path, job: Judging) -> Estimate:
    """Return what judging would ask and cost, without a call."""
    answers, others = _two_models(candidate, baseline)
    opened = _open_judge(prompts, job, lambda _: None)
    try:
        with judging.verdict_cache(opened, job.cache) as cache:
            pairs = pair_up(prompts, work.by_key(answers), work.by_key(others))
            return estimate(pairs, opened, cache=cache, tally=Tally(price=job.price, judge=opened))
    finally:
        judging.close(opened)


def judge(
    prompts: Sequence[Prompt],
    candidate: Path,
    baseline: Path,
    output: Path,
    *,
    job: Judging,
    early_stop: bool = False,
    seed: int = 0,
    on_note: Note = lambda _: None,
    advance: Advance,
    overwrite: bool = False,
) -> Kept:
    """Judge two models' answers side by side, in both orders, into `output`."""
    answers, others = _two_models(candidate, baseline)

    def compare() -> Result:
        opened = _open_judge(prompts, job, on_note)
        tally = Tally(price=job.price, max_cost=job.max_cost, judge=opened)
        try:
            with judging.verdict_cache(opened, job.cache) as cache:
                return judging.judge(
                    output,
                    prompts,
                    work.by_key(answers),
                    work.by_key(others),
                    judge=opened,
                    advance=advance,
                    cache=cache,
                    tally=tally,
                    early_stop=early_stop,
                    seed=seed,
                )
        finally:
            judging.close(opened)

    keyed = {"judge": job.judge, "candidate": answers[0].model, "baseline": others[0].model, **job.settings}
    keyed |= judging.prompt_key(job.settings)
    if early_stop:
        keyed |= {"early_stop": True, "seed": seed}
    inputs = {"prompts": list(prompts), "candidate": answers, "baseline": others}
    return stage("judge", output, keyed, inputs, compare, overwrite=overwrite)


def check_judge(
    prompts: Sequence[Prompt],
    job: Judging,
    *,
    n: int,
    seed: int,
    on_note: Note = lambda _: None,
    advance: Advance = lambda _: None,
) -> Check:
    """Measure a judge's power per language by planted defects."""
    opened = _open_judge(prompts, job, on_note)
    tally = Tally(price=job.price, max_cost=job.max_cost, judge=opened)
    try:
        with judging.verdict_cache(opened, job.cache) as cache:
            return judging.check_judge(
                prompts, opened, n=n, seed=seed, advance=advance, on_note=on_note, cache=cache, tally=tally
            )
    finally:
        judging.close(opened)


def _two_models(candidate: Path, baseline: Path) -> tuple[list[Answer], list[Answer]]:
    answers, others = read_answers(candidate), read_answers(baseline)
    if answers[0].model == others[0].model:
        raise PinchError(
            f"Both folders hold answers of a model called {answers[0].model!r}.",
            hint="Give one another name: pinch generate --name.",
        )
    return answers, others


def _open_judge(prompts: Sequence[Prompt], job: Judging, on_note: Note) -> Judge:
    tags = sorted({prompt.language for prompt in prompts})
    settings = dict(job.settings)
    if "languages" in settings:
        raise PinchError("A judge's languages are those of the prompts.", hint="--languages chooses among them.")
    if job.judge.partition(":")[0] == "llm":
        # One that was typed stays, to be refused.
        settings.setdefault("on_note", on_note)
    return open_judge(job.judge, languages=tags, **settings)


def write_batch(
    prompts: Sequence[Prompt], candidate: Path, baseline: Path, job: Judging, path: Path
) -> tuple[int, list[Path]]:
    """Write the calls that the cache cannot answer as OpenAI batch files, and return how many, and the files.

    Raises:
        PinchError: the judge is no llm judge.
    """
    answers, others = _two_models(candidate, baseline)
    opened = _open_judge(prompts, job, lambda _: None)
    try:
        with judging.verdict_cache(opened, job.cache) as cache:
            calls = missing_calls(pair_up(prompts, work.by_key(answers), work.by_key(others)), opened, cache)
            count = batch.write_requests(calls, opened, path)
    finally:
        judging.close(opened)
    return count, batch.request_files(path)


def read_batch(
    prompts: Sequence[Prompt], candidate: Path, baseline: Path, job: Judging, paths: Sequence[Path]
) -> tuple[int, str]:
    """Put the verdicts of batch results into the cache; return how many calls are left, and a sentence.

    Raises:
        PinchError: the judge is no llm judge.
        DataError: an unreadable file.
    """
    answers, others = _two_models(candidate, baseline)
    opened = _open_judge(prompts, job, lambda _: None)
    counts = batch.BatchCounts()

    def pairs() -> Iterator[Pair | Failure]:
        return pair_up(prompts, work.by_key(answers), work.by_key(others))

    try:
        with judging.verdict_cache(opened, job.cache) as cache:
            for key, call, made in batch.read_results(
                paths, missing_calls(pairs(), opened, None), opened, counts=counts
            ):
                if cache is not None and isinstance(made, Judgement):
                    cache.put([(key, call.prompt.language, made)], judge=opened.name)
            left = sum(1 for _ in missing_calls(pairs(), opened, cache))
    finally:
        judging.close(opened)
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.failed.items()))
    sentence = (
        f"{counts.n_verdicts} verdicts read from {counts.n_lines} lines"
        + (f"; failed: {failed}" if failed else "")
        + (f"; {counts.n_unknown} of other calls" if counts.n_unknown else "")
        + (f"; {counts.n_unreadable} unreadable" if counts.n_unreadable else "")
        + "."
    )
    return left, sentence


def import_alpaca_eval(path: Path, output: Path, *, language: str, overwrite: bool = False) -> list[Score]:
    """Write AlpacaEval's verdicts, prompts and answers as folders that `pinch score` takes, and return the win rates.

    Raises:
        DataError: not AlpacaEval's annotations; names the row.
        PinchError: `output` holds something else.
    """
    from pinchtune.study.single.scores import gather, score

    found = read_alpaca_eval(path, language=language)
    if output.is_dir() and any(output.iterdir()) and not (output / "verdicts").is_dir():
        raise PinchError(
            f"{output} is not empty, and nothing in it says that pinch made it.", hint="Choose another --output."
        )
    pairs = list(dict.fromkeys((one.second, one.first) for one in found.verdicts))
    if len(pairs) != 1:
        raise PinchError(f"{path} holds verdicts on {len(pairs)} pairs of models.", hint="Give a file of one pair.")
    folders = {model: output / "answers" / _folder_name(model) for model in pairs[0]}
    for model, folder in folders.items():
        own = [one for one in found.answers if one.model == model]
        _write_imported("answer", folder, own, {"model": model}, path, overwrite)
    settings = {"candidate": pairs[0][0], "baseline": pairs[0][1]}
    _write_imported("judge", output / "verdicts", found.verdicts, settings, path, overwrite, failures=found.failures)
    store.write_records(output / "prompts.jsonl", found.prompts)
    inputs = gather(found.prompts, list(folders.values()), [output / "verdicts"], seen=[])
    kept = score(inputs, output / "scores", seed=0, overwrite=overwrite)
    scores = store.read_records(kept.folder / RECORDS, Score)
    wanted = ("mean_probability", "side_by_side")
    tag = found.prompts[0].language
    own_scores = [one for one in scores if one.metric in wanted and one.language == tag]
    # A weighted annotator's win rate is the mean of its probabilities, another's that of its choices.
    return [one for one in own_scores if one.metric == own_scores[-1].metric] if own_scores else []


def _folder_name(model: str) -> str:
    """Return the name of a model's folder; what a file calls a model leads nowhere else."""
    name = model.replace("/", "--").replace("\\", "--")
    return f"_{name}" if name.startswith(".") else name


def _write_imported(
    kind: str,
    folder: Path,
    records: Sequence[Any],
    settings: dict[str, Any],
    source: Path,
    overwrite: bool,
    *,
    failures: Sequence[Failure] = (),
) -> None:
    def write() -> Result:
        store.write_records(folder / RECORDS, records)
        return work.with_failures(folder, len(records) + len(failures), len(records), failures)

    imported = settings | {"imported": store.file_key(source)}
    stage(kind, folder, imported, {}, write, overwrite=overwrite)
