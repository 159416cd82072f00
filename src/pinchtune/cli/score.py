"""`pinch score`: verdicts counted, models contrasted and ranked, and how many prompts a difference needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, table
from pinchtune.cli.options import DefaultGroup, finish, tags
from pinchtune.errors import PinchError, did_you_mean

app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Count verdicts and language fidelity, per language and in the means, with 95% intervals.

    \b
    Examples:
        pinch score pack --answers answers/pinch --answers answers/english --verdicts verdicts --output scores
        pinch score contrasts scores --contrast pinch:uniform --margin 3
        pinch score power --difference 3 --tie-rate 40

    `pinch score run --help` shows the options of counting; run may be left out.
    """,
)


@app.command()
def run(
    prompts: options.Prompts,
    output: options.Output,
    answers: options.Answers,
    verdicts: options.Verdicts = None,
    panel: Annotated[str | None, typer.Option(help="Several judges: majority or mean, beside each alone.")] = None,
    seen: options.Seen = "",
    languages: options.Languages = "",
    limit: options.Limit = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count verdicts and language fidelity, per language and in the means, with 95% intervals.

    Example: pinch score pack --answers answers/pinch --answers answers/english --verdicts verdicts --output scores
    """
    from pinchtune.records import Score
    from pinchtune.report.cautions import cautions
    from pinchtune.report.summary import gains, summary_table
    from pinchtune.store import read_records
    from pinchtune.study import reading, single

    if panel not in (None, "majority", "mean"):
        raise PinchError(f"A panel cannot decide by {panel!r}.", hint=did_you_mean(panel, ("majority", "mean")))
    console = Console(quiet=quiet, as_json=as_json)
    asked = reading.read_prompts(prompts, wanted=tags(languages), language=language, limit=limit)
    inputs = single.gather(asked, answers, verdicts or [], seen=tags(seen), panel=panel)  # type: ignore[arg-type]
    for sentence in single.unanswered(inputs):
        console.note(sentence)
    kept = single.score(inputs, Path(output), seed=seed, overwrite=overwrite)
    scores = list(read_records(Path(output) / "records.jsonl", Score))
    finish(console, kept, [table(*summary_table(scores)), *gains(scores), *cautions(scores)], said="{n_out} scores")


@app.command()
def contrasts(
    scores: options.Scores,
    contrast: Annotated[
        list[str] | None, typer.Option(help="A planned one, FIRST:SECOND; may be repeated [default: the whole table].")
    ] = None,
    margin: Annotated[float, typer.Option(min=0.1, max=50, help="Points within which two are similar.")] = 3.0,
    groups: Annotated[
        str, typer.Option(help="Languages and means, with commas [default: with --contrast all; else every one].")
    ] = "",
    judge: options.OneJudge = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Contrast models that met one baseline, on the same prompts; corrected for how many contrasts there are.

    With --contrast: the differences planned, corrected by Holm, and whether they are similar within the margin (TOST).
    Without: every model and group against 50, with intervals that hold together (max-T).

    Example: pinch score contrasts scores --contrast pinch:uniform --contrast pinch:english --groups seen,unseen
    """
    from pinchtune.study.single import contrast_scores

    planned = []
    for one in contrast or []:
        first, colon, second = one.partition(":")
        if not colon or first == second:
            raise PinchError(f"{one!r} is not two models.", hint="--contrast FIRST:SECOND")
        planned.append((first, second))
    names = [name.strip() for name in groups.split(",") if name.strip()] or (["all"] if planned else [])
    found = contrast_scores(scores, planned, names, judge=judge, margin=margin / 100, seed=seed)
    Console(as_json=as_json).result(found, text=_contrast_text(found, bool(planned), margin))


def _contrast_text(found: Any, planned: bool, margin: float) -> str:
    if not planned:
        rows = [
            [one.model, one.language, _percent(one.value), _span(one.low, one.high), f"{one.adjusted:.4f}", one.n]
            for one in found
        ]
        return table(["model", "where", "score, %", "95% of all at once", "p, corrected", "prompts"], rows)
    rows = [
        [
            f"{one.first} - {one.second}",
            one.language,
            f"{100 * one.value:+.1f}",
            _span(one.low, one.high, "+"),
            f"{one.p:.4f}",
            f"{one.adjusted:.4f}",
            one.standing,
            one.n,
        ]
        for one in found
    ]
    header = ["contrast", "where", "points", "95% interval", "p", "p, Holm", f"within {margin:g} points", "prompts"]
    return table(header, rows)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _span(low: float | None, high: float | None, sign: str = "") -> str:
    return "" if low is None or high is None else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


@app.command()
def rank(
    scores: options.Scores,
    baseline: Annotated[str | None, typer.Option(help="Also the expected score against this model.")] = None,
    ties: Annotated[str, typer.Option(help="davidson, or half_wins.")] = "davidson",
    language: Annotated[str, typer.Option(help="A language, or a mean such as unseen.")] = "all",
    judge: options.OneJudge = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Rank many models by direct pairs: Bradley-Terry with ties, with intervals and ranges of ranks.

    Example: pinch score rank scores --baseline english
    """
    from pinchtune.study.single import rank_models

    allowed = ("davidson", "half_wins")
    if ties not in allowed:
        raise PinchError(f"Ties cannot be counted as {ties!r}.", hint=did_you_mean(ties, allowed))
    found = rank_models(scores, language, baseline=baseline, ties=ties, judge=judge, seed=seed)  # type: ignore[arg-type]
    versus = f"against {baseline}, %" if baseline else ""
    header = ["model", "strength", "95% interval", "against the field, %", "ranks", "pairs"] + [versus] * bool(baseline)
    rows = []
    for one in found:
        row = [
            one.model,
            f"{one.strength:+.2f}",
            f"{one.low:+.2f} to {one.high:+.2f}",
            f"{_percent(one.field.value)} [{_span(one.field.low, one.field.high)}]",
            f"{one.best_rank}-{one.worst_rank}",
            one.n,
        ]
        if baseline:
            row.append(f"{_percent(one.versus.value)} [{_span(one.versus.low, one.versus.high)}]" if one.versus else "")
        rows.append(row)
    Console(as_json=as_json).result(found, text=table(header, rows))


@app.command()
def power(
    difference: Annotated[float | None, typer.Option(min=0.1, max=50, help="Points to be found.")] = None,
    prompts: Annotated[int | None, typer.Option(min=2, help="Prompts at hand.")] = None,
    tie_rate: Annotated[float, typer.Option(min=0, max=100, help="Share of ties, %.")] = 40.0,
    languages: Annotated[int, typer.Option(min=1, help="The mean over so many languages.")] = 1,
    correlation: Annotated[float, typer.Option(min=0, max=1, help="Of a prompt's points in two languages.")] = 0.2,
    cells: Annotated[int, typer.Option(min=1, help="Cells to be right about together (Bonferroni).")] = 1,
    wanted: Annotated[float, typer.Option("--power", min=0.5, max=0.999, help="Chance to find it.")] = 0.8,
    as_json: options.Json = False,
) -> None:
    """Say how many prompts a difference from 50 needs, or which one so many prompts can show.

    \b
    Examples:
        pinch score power --difference 3
        pinch score power --prompts 617 --tie-rate 40 --languages 12
    """
    from pinchtune.scoring import power as powers

    if (difference is None) == (prompts is None):
        raise PinchError("Give one of the two.", hint="--difference POINTS, or --prompts N")
    if tie_rate == 100:
        raise PinchError("Where every prompt is a tie, there is no difference to find.", hint="--tie-rate below 100")
    variance = powers.language_mean_variance(powers.item_variance(tie_rate / 100), languages, correlation)
    if difference is not None:
        needed = powers.prompts_needed(difference / 100, variance, power=wanted, cells=cells)
        value: dict[str, Any] = {"difference": difference / 100, "prompts": needed}
        text = f"{needed} prompts show a difference of {difference:g} points"
    else:
        assert prompts is not None
        found = powers.detectable_difference(prompts, variance, power=wanted, cells=cells)
        error = powers.standard_error(prompts, variance)
        value = {"prompts": prompts, "difference": found, "standard_error": error}
        largest = ", which is more than there is," if found > 0.5 else ""
        text = f"{prompts} prompts show a difference of {100 * found:.1f} points{largest}"
        text += f" (standard error {100 * error:.2f})"
    of = f", in the mean over {languages} languages" if languages > 1 else ""
    Console(as_json=as_json).result(
        value | {"variance": variance}, text=f"{text} in {100 * wanted:g}% of studies{of}, at {tie_rate:g}% ties."
    )
