"""`pinch score`: what answers and verdicts come to, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinchtune import languages, store
from pinchtune.errors import DataError, PinchError, did_you_mean
from pinchtune.judging.panel import Combine
from pinchtune.records import Outcome, Prompt, Verdict
from pinchtune.scoring.bradley_terry import Strength, Ties, bradley_terry
from pinchtune.scoring.contrasts import Contrast, TableCell, contrasts, simultaneous_table
from pinchtune.scoring.equivalence import MARGIN
from pinchtune.scoring.scores import Comparison, language_groups
from pinchtune.study import work
from pinchtune.study.keep import OUTCOMES, RECORDS, Result
from pinchtune.study.reading import declared_pair, read_answers, records_file
from pinchtune.study.single.stage import Kept, stage


def gather(
    prompts: Sequence[Prompt],
    answers: Sequence[Path],
    verdicts: Sequence[Path],
    *,
    seen: Sequence[str],
    panel: Combine | None = None,
) -> work.Scored:
    """Read what scores are made of, and identify the languages of the answers.

    Args:
        prompts: What was asked.
        answers: Folders of answers, a model each.
        verdicts: Folders of verdicts.
        seen: Languages seen in tuning.
        panel: How several judges decide together; None: each only for itself.

    Raises:
        DataError: an unreadable file, or verdicts on a model of which no answers were given.
    """
    read = [one for path in answers for one in read_answers(path)]
    models = list(dict.fromkeys(one.model for one in read))
    if len(models) < len(answers):
        raise PinchError(
            "Two of the --answers are of one model.", hint="Give each model once, under a name of its own."
        )
    judged = [one for path in verdicts for one in store.read_records(records_file(path), Verdict)]
    pairs: dict[frozenset[str], Comparison] = {}
    for path in verdicts:
        # A folder says who the candidate is; people's verdicts show the two in a drawn order.
        if (declared := declared_pair(path)) is not None:
            pairs.setdefault(frozenset(declared), Comparison(*declared))
    for verdict in judged:
        # The driver shows the candidate first in the first of the two orders.
        pairs.setdefault(frozenset((verdict.first, verdict.second)), Comparison(verdict.first, verdict.second))
    for unknown in sorted({name for pair in pairs for name in pair} - set(models)):
        raise PinchError(
            f"The verdicts are on a model {unknown!r}, of which no answers were given.",
            hint=f"Give its folder too: --answers. Given: {', '.join(models)}.",
        )
    from pinchtune.identification import Identifier
    from pinchtune.judging.fidelity import fidelity

    tags = [languages.parse(tag).tag for tag in seen]
    identifier = Identifier({prompt.language for prompt in prompts})
    return work.Scored(
        prompts=list(prompts),
        answers=read,
        identified=list(fidelity(read, work.by_key(prompts), identifier)),
        verdicts=judged,
        comparisons=list(pairs.values()),
        seen=dict.fromkeys(models, tags),
        panel=panel,
    )


def unanswered(inputs: work.Scored) -> list[str]:
    """Return sentences on languages that were asked in and are in no score: nobody answered there, or one model not."""
    asked = list(dict.fromkeys(prompt.language for prompt in inputs.prompts))
    keys = {(prompt.id, prompt.language) for prompt in inputs.prompts}
    there: dict[str, set[str]] = {model: set() for model in inputs.seen}
    for one in inputs.answers:
        if (one.id, one.language) in keys:
            there[one.model].add(one.language)
    anywhere = set().union(*there.values())
    nowhere = [tag for tag in asked if tag not in anywhere]
    found = [f"No answers in: {', '.join(nowhere)}."] if nowhere else []
    for model, tags in there.items():
        if missing := [tag for tag in asked if tag in anywhere - tags]:
            found.append(f"No answers of {model} in: {', '.join(missing)}.")
    return found


def score(inputs: work.Scored, output: Path, *, seed: int, overwrite: bool = False) -> Kept:
    """Write the scores of `inputs` into `output`, with the outcomes and language identifications behind them."""

    def count() -> Result:
        scores, outcomes = work.score(inputs, seed=seed)
        store.write_records(output / RECORDS, scores)
        store.write_records(output / OUTCOMES, outcomes)
        store.write_records(output / "languages.jsonl", inputs.identified)
        return Result(
            n_in=len(outcomes),
            n_out=len(scores),
            libraries=("numpy", "py3langid", "lingua-language-detector"),
            notes={"seen": inputs.seen},
        )

    keyed = {"seed": seed, "seen": inputs.seen} | ({"panel": inputs.panel} if inputs.panel else {})
    read = {"prompts": inputs.prompts, "answers": inputs.answers, "verdicts": inputs.verdicts}
    return stage("score", output, keyed, read, count, overwrite=overwrite)


def contrast_scores(
    folder: Path,
    planned: Sequence[tuple[str, str]],
    names: Sequence[str],
    *,
    judge: str | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> list[Contrast] | list[TableCell]:
    """Return planned contrasts between models of a score folder, or its whole table where none is planned.

    Raises:
        DataError: no outcomes there.
        PinchError: no such group, model or judge.
    """
    outcomes, groups = _outcomes(folder)
    for name in names:
        if name not in groups:
            raise PinchError(f"There is no language or mean {name!r} in {folder}.", hint=did_you_mean(name, groups))
    if planned:
        return contrasts(outcomes, planned, {n: groups[n] for n in names}, judge=judge, margin=margin, seed=seed)
    wanted = {name: groups[name] for name in names} if names else groups
    return simultaneous_table(outcomes, wanted, judge=judge, seed=seed)


def rank_models(
    folder: Path, language: str, *, baseline: str | None, ties: Ties, judge: str | None = None, seed: int = 0
) -> list[Strength]:
    """Return the models of a score folder by strength.

    Raises:
        DataError: no outcomes there.
        PinchError: no such group or judge, or models that no chain of pairs connects.
    """
    outcomes, groups = _outcomes(folder)
    if language not in groups:
        raise PinchError(f"There is no language or mean {language!r} in {folder}.", hint=did_you_mean(language, groups))
    judges = {one.judge for one in outcomes}
    if judge is not None and judge not in judges:
        raise PinchError(f"There is no verdict by {judge!r}.", hint=did_you_mean(judge, judges))
    own = [o for o in outcomes if o.language in groups[language] and judge in (None, o.judge)]
    return bradley_terry(own, baseline=baseline, ties=ties, seed=seed)


def _outcomes(folder: Path) -> tuple[list[Outcome], dict[str, list[str]]]:
    path = folder / OUTCOMES if folder.is_dir() else folder
    outcomes = list(store.read_records(path, Outcome))
    if not outcomes:
        raise DataError(path, None, "holds no outcome.", hint="Give `pinch score` a folder of verdicts.")
    manifest = store.read_manifest(folder)
    seen = {tag for tags in (manifest.notes.get("seen", {}) if manifest else {}).values() for tag in tags}
    return outcomes, language_groups(sorted({one.language for one in outcomes}), seen)
