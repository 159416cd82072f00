"""`pinch factors`: what languages cost a model and how far they lie from each other, and what that does to scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import store
from pinchtune.errors import DataError, PinchError, did_you_mean
from pinchtune.records import Example, Score
from pinchtune.report.factors import Drawn, draw, write_drawn
from pinchtune.scoring.correlation import Method
from pinchtune.scoring.factors import Column, Factor, Found, columns_of, correlations
from pinchtune.scoring.shares import pretraining_shares
from pinchtune.scoring.similarity import pair_features
from pinchtune.study import factors as making
from pinchtune.study.keep import RECORDS, Result
from pinchtune.study.reading import records_file
from pinchtune.study.single.stage import Kept, Note, stage
from pinchtune.study.work import Advance
from pinchtune.tuning.pretraining_fit import parallel_responses

CORRELATIONS = "correlations"


class Correlated(msgspec.Struct, frozen=True):
    """What factors and scores come to, and the folder it is in."""

    kept: Kept
    found: list[Found]
    #: Languages beside English with a score and a factor, at most.
    n_languages: int


def factors(
    model: str,
    tags: Sequence[str],
    output: Path,
    *,
    examples: Sequence[Example] | None = None,
    limit: int | None = 10,
    fertility: bool = True,
    bits: bool = True,
    shares: Path | None = None,
    distances: bool = False,
    on_note: Note,
    advance: Advance,
    overwrite: bool = False,
) -> Kept:
    """Measure a model's languages into `output`: `Factor` records, and pairs.jsonl of `PairFactor`.

    Args:
        model: As `pinchtune.models.resolve` takes it.
        tags: Languages; English is added.
        output: The folder.
        examples: Parallel conversations whose responses are measured; None: the pack's.
        limit: At most so many texts a language, the shortest in English.
        fertility: Measure the tokenizer.
        bits: Measure the model.
        shares: A table of shares of pretraining.
        distances: By URIEL+.
        on_note: Told sentences that a user should read.
        advance: Told how much is done.
        overwrite: Replace another result.

    Raises:
        PinchError: no language beside English, or nothing to measure.
        DataError: a language that the examples have not, or an unreadable table.
        ModelError: no such model.
    """
    making.require_languages(tags)
    every = making.with_english(tags)
    texts = making.texts_of_pack(every, limit) if examples is None else _own_texts(examples, every, limit)
    missing = [tag for tag in every if tag not in texts]
    table = None if shares is None else pretraining_shares(shares)

    def measure() -> Result:
        found: list[Factor] = making.shares(table, every) if table is not None else []
        pairs = pair_features(every)
        if fertility:
            found += making.tokens(model, texts, on_note=on_note)
        if bits:
            found += making.bits(model, texts, on_note=on_note, advance=advance)
        measured = [name for name in dict.fromkeys(one.name for one in found) if name != "pretraining_share"]
        found += making.unmeasured(measured, missing)
        if distances:
            lone, far = making.distances(every, on_note=on_note)
            found, pairs = found + lone, pairs + far
        kinds = [("tokens", fertility), ("bits", bits), ("distances", distances)]
        return making.write(output, found, pairs, n_in=len(every), kinds=[name for name, wanted in kinds if wanted])

    if missing:
        on_note(f"There is no parallel text in {', '.join(missing)}: nothing is measured there.")
    settings: dict[str, Any] = {
        "model": model,
        "languages": every,
        "fertility": fertility,
        "bits": bits,
        "distances": distances,
    } | ({"shares": table} if table is not None else {})
    return stage("factors", output, settings, {"texts": texts}, measure, overwrite=overwrite)


def correlate_factors(
    folder: Path,
    scores: Path,
    *,
    metrics: Sequence[str] = ("side_by_side", "language_fidelity"),
    tuned: str | None = None,
    method: Method = "pearson",
    seed: int = 0,
    overwrite: bool = False,
) -> Correlated:
    """Set the factors in `folder` against scores, into its folder correlations: records, scatters and their data.

    Args:
        folder: Of `factors`.
        scores: A file of scores, or a folder of `pinch score` or of a study.
        metrics: Of the scores.
        tuned: Only this model's scores.
        method: "pearson" or "spearman".
        seed: Of the bootstrap and the permutations.
        overwrite: Replace another result.

    Raises:
        DataError: no such file, or no such score in it.
        PinchError: no score of that model.
    """
    found = list(store.read_records(folder / RECORDS, Factor))
    columns = columns_in(scores, metrics, tuned=tuned)
    target = folder / CORRELATIONS

    def work() -> Result:
        made = correlations(found, columns, method=method, seed=seed)
        store.write_records(target / RECORDS, made)
        pictures: list[Drawn] = draw(found, columns, method=method, seed=seed)
        write_drawn(pictures, target)
        return Result(n_in=len(columns), n_out=len(made), libraries=("numpy", "matplotlib"))

    settings = {"method": method, "seed": seed, "metrics": list(metrics), "tuned": tuned}
    kept = stage("correlate", target, settings, {"factors": found, "scores": columns}, work, overwrite=overwrite)
    made = list(store.read_records(target / RECORDS, Found))
    return Correlated(kept, made, max((one.correlation.n for one in made), default=0))


def _own_texts(examples: Sequence[Example], every: Sequence[str], limit: int | None) -> dict[str, tuple[str, ...]]:
    there = {one.language for one in examples}
    if lacking := [tag for tag in every if tag not in there]:
        raise DataError(
            "--texts", None, f"has no text in {', '.join(lacking)}.", hint=f"Its languages: {', '.join(sorted(there))}."
        )
    found = parallel_responses([one for one in examples if one.language in every], limit=limit)
    return {tag: found[tag] for tag in every}


def columns_in(
    scores: Path, metrics: Sequence[str] = ("side_by_side", "language_fidelity"), *, tuned: str | None = None
) -> list[Column]:
    """Return the scores that factors are set against, as `correlate_factors` takes them.

    Raises:
        DataError: no such file, or no such score of a language in it.
        PinchError: no metric, or no score of that name or model.
    """
    if not metrics:
        raise PinchError("No score is named.", hint="Give --metric, such as side_by_side,language_fidelity.")
    path = records_file(scores)
    if scores.is_dir() and not path.is_file():
        path = scores / "scores.jsonl"  # a study's run folder
    read = list(store.read_records(path, Score))
    for metric in metrics:
        known = {one.metric for one in read}
        if metric not in known and metric not in ("side_by_side", "language_fidelity"):
            raise PinchError(f"There is no score {metric!r} in {path}.", hint=did_you_mean(metric, known))
    models = {one.model for one in read}
    if tuned is not None and tuned not in models:
        raise PinchError(f"There is no score of a model {tuned!r} in {path}.", hint=did_you_mean(tuned, models))
    columns = columns_of(read, metrics, model=tuned)
    if not columns:
        raise DataError(path, None, f"holds no {' and no '.join(metrics)} of a language.", hint="Give --metric.")
    return columns
