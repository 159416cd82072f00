"""`pinch judge`: two models' answers side by side, a judge's own power, and verdicts from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, quiet_libraries, table
from pinchtune.cli.options import DefaultGroup, finish, settings, tags
from pinchtune.errors import PinchError, did_you_mean

app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Judge two models' answers side by side, each pair in both orders.

    \b
    Examples:
        pinch judge pack --candidate answers/pinch --baseline answers/english --output verdicts
        pinch judge pack --candidate answers/pinch --baseline answers/english --judge llm:MODEL --estimate -o verdicts
        pinch judge check pack --judge llm:MODEL --languages fi,sw

    `pinch judge run --help` shows the options of judging; run may be left out.
    """,
)


def _job(
    judge: str,
    pairs: list[str] | None,
    *,
    engine: str | None = None,
    base_url: str | None = None,
    explain: bool = False,
    margin: float | None = None,
    prices: Path | None = None,
    max_cost: float | None = None,
    cache: Path | None = None,
) -> Any:
    """Return a `Judging` of what was typed."""
    from pinchtune.judging.prices import price_of, read_prices
    from pinchtune.study.single import Judging

    model = judge.partition(":")[2]
    given: dict[str, Any] = settings(pairs)
    named = {"engine": engine, "base_url": base_url, "explain": explain or None, "margin": margin}
    given |= {name: value for name, value in named.items() if value is not None}
    if prices is not None and not model:
        raise PinchError("Prices are of a model's tokens.", hint="--judge llm:MODEL")
    price = price_of(read_prices(prices), model) if prices is not None else None
    return Judging(judge=judge, settings=given, price=price, max_cost=max_cost, cache=cache)


@app.command()
def run(
    prompts: options.Prompts,
    candidate: options.Candidate,
    baseline: options.Baseline,
    output: options.OptionalOutput = None,
    judge: options.Judge = "reference",
    engine: options.JudgeEngine = None,
    base_url: options.BaseUrl = None,
    explain: options.Explain = False,
    margin: Annotated[
        float | None, typer.Option(min=0, help="reference: chrF++ points held equal [default: 1].")
    ] = None,
    setting: options.Setting = None,
    prices: options.Prices = None,
    max_cost: options.MaxCost = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Print calls, tokens and cost, and leave.")] = False,
    early_stop: Annotated[
        bool, typer.Option("--early-stop", help="One planned contrast: look five times, stop when it is clear.")
    ] = False,
    batch_requests: Annotated[
        Path | None,
        typer.Option(help="llm: write the calls as an OpenAI batch file (several where one is too large), and leave."),
    ] = None,
    batch_results: Annotated[list[Path] | None, typer.Option(help="llm: batch results; may be repeated.")] = None,
    live: Annotated[bool, typer.Option("--live", help="--batch-results: make the calls that are not in them.")] = False,
    cache: options.VerdictCache = None,
    languages: options.Languages = "",
    limit: options.Limit = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge two models' answers side by side, each pair in both orders. A killed run goes on where it was.

    \b
    Examples:
        pinch judge pack --candidate answers/pinch --baseline answers/english --output verdicts
        pinch judge pack --candidate a --baseline b --judge llm:MODEL --base-url http://localhost:8000/v1 -o verdicts
    """
    from pinchtune.study import reading, single
    from pinchtune.study.keep import PASSING

    job = _job(
        judge,
        setting,
        engine=engine,
        base_url=base_url,
        explain=explain,
        margin=margin,
        prices=prices,
        max_cost=max_cost,
        cache=cache,
    )
    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    asked = reading.read_prompts(prompts, wanted=tags(languages), language=language, limit=limit)
    if estimate or batch_requests is not None:
        os.environ.setdefault("OPENAI_API_KEY", "none-is-needed-without-a-call")
    if estimate:
        _print_estimate(console, single.estimate_judging(asked, candidate, baseline, job))
        return
    if batch_requests is not None:
        count, files = single.write_batch(asked, candidate, baseline, job, batch_requests)
        console.result(
            {"requests": count, "files": [str(path) for path in files]},
            text=f"{count} requests in {', '.join(map(str, files)) or 'no file: every verdict is in the cache'}.",
        )
        return
    if batch_results:
        left, sentence = single.read_batch(asked, candidate, baseline, job, batch_results)
        console.note(sentence)
        if left and not live:
            raise PinchError(
                f"{left} calls have no verdict in these files.",
                hint="Write them again with --batch-requests, or add --live to make them now, at the full price.",
            )
    if output is None:
        raise PinchError("Where are the verdicts to be written?", hint="--output FOLDER")
    with console.bar("judging") as advance:
        kept = single.judge(
            asked,
            candidate,
            baseline,
            Path(output),
            job=job,
            early_stop=early_stop,
            seed=seed,
            on_note=console.note,
            advance=advance,
            overwrite=overwrite,
        )
    finish(console, kept, _lines(kept))
    if passing := PASSING & kept.manifest.failed.keys():
        console.note(f"{', '.join(sorted(passing))}: may be gone later; the same command asks for these alone.")
    if not kept.manifest.n_out:
        console.note(_none_judged(kept))
        raise typer.Exit(1)


def _none_judged(kept: Any) -> str:
    if kept.manifest.failed.keys() <= {"missing_answer"}:
        return "No pair could be judged: are the answers to these prompts? `pinch judge` takes those that were asked."
    from pinchtune.study.keep import FAILURES

    return f"The judge gave no verdict: {kept.folder / FAILURES} holds what it said."


def _print_estimate(console: Console, found: Any) -> None:
    cost = "not known: give --prices" if found.cost is None else f"${found.cost:.4f}"
    console.result(
        found,
        text=f"{found.n_pairs} pairs, {found.n_identical} of them identical; {found.n_cached} verdicts in the cache; "
        f"{found.n_calls} calls, about {found.n_prompt_tokens} tokens read and {found.n_tokens} written.\nCost: {cost}",
    )


def _lines(kept: Any) -> list[str]:
    """Return what is worth a line: what the run did, and what its notes say."""
    from pinchtune.study.judging import spent_sentence

    said = spent_sentence(kept.spent)
    lines = [] if said is None else [said]
    if look := kept.manifest.notes.get("early_stop"):
        lines.append(look["sentence"])
    return lines


@app.command()
def check(
    prompts: options.Prompts,
    judge: options.Judge,
    engine: options.JudgeEngine = None,
    base_url: options.BaseUrl = None,
    explain: options.Explain = False,
    setting: options.Setting = None,
    prices: options.Prices = None,
    max_cost: options.MaxCost = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Pairs per language and defect.")] = 10,
    cache: options.VerdictCache = None,
    languages: options.Languages = "",
    limit: options.Limit = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a judge's power per language without people: planted defects must lose.

    The prompts need references; each is set against itself with a defect: in another language, its sentences shuffled,
    cut off, the answer to another prompt, or an attack on the judge.

    Example: pinch judge check pack --judge llm:MODEL --base-url http://localhost:8000/v1 --languages en,fi,sw
    """
    from pinchtune.study import reading, single

    job = _job(
        judge,
        setting,
        engine=engine,
        base_url=base_url,
        explain=explain,
        prices=prices,
        max_cost=max_cost,
        cache=cache,
    )
    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    asked = reading.read_prompts(prompts, wanted=tags(languages), language=language, limit=limit)
    with console.bar("checking the judge") as advance:
        found = single.check_judge(asked, job, n=n, seed=seed, advance=advance, on_note=console.note)
    console.result(found, text=_check_text(found))
    if not found.detections:
        console.note("The judge gave no verdict on any pair.")
        raise typer.Exit(1)


def _check_text(found: Any) -> str:
    from pinchtune.judging.detection import sentences

    defects = list(dict.fromkeys(one.defect for one in found.detections))
    cells = {(one.language, one.defect): one for one in found.detections}
    header = ["language", *defects, "power", "consistent", "first chosen", "failed"]
    rows = []
    for one in found.languages:
        mine = [cells.get((one.language, defect)) for defect in defects]
        told = [f"{cell.n_detected}/{cell.n_pairs}" if cell is not None else "" for cell in mine]
        shares = [_share(share) for share in (one.power, one.consistency, one.first_place)]
        rows.append([one.language, *told, *shares, one.n_failures])
    attacks = [[one.defect.partition(":")[2], f"{one.n_detected}/{one.n_pairs}"] for one in found.attacks]
    return "\n".join([table(header, rows), "", table(["attack", "found"], attacks), "", *sentences(found)])


def _share(share: Any) -> str:
    return "" if share is None else f"{100 * share.value:.0f}% [{100 * share.low:.0f}, {100 * share.high:.0f}]"


@app.command("import")
def import_verdicts(
    file: Annotated[Path, typer.Argument(help="The file.")],
    output: options.Output,
    form: Annotated[str, typer.Option("--format", help="alpaca_eval: its annotations.json.")] = "alpaca_eval",
    language: options.Language = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read verdicts that another tool made, with the prompts and answers that they are on, and score them.

    OUTPUT gets prompts.jsonl, answers/MODEL for both models, verdicts, and scores.

    Example: pinch judge import annotations.json --format alpaca_eval --output imported
    """
    from pinchtune.study import single

    formats = ("alpaca_eval",)
    if form not in formats:
        raise PinchError(f"There is no format {form!r}.", hint=did_you_mean(form, formats))
    console = Console(quiet=quiet, as_json=as_json)
    found = single.import_alpaca_eval(file, Path(output), language=language or "en", overwrite=overwrite)
    rows = [
        [one.language, one.model, one.baseline, f"{100 * one.value:.2f}", _points(one.error), one.n_judged]
        for one in found
    ]
    console.result(found, text=table(["language", "candidate", "baseline", "win rate, %", "standard error", "n"], rows))


def _points(error: float | None) -> str:
    return "" if error is None else f"{100 * error:.2f}"
