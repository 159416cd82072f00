"""`pinch factors`: what languages cost a base model, and whether that goes with how well a tuned model does in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, quiet_libraries, table
from pinchtune.cli.options import tags
from pinchtune.errors import PinchError, did_you_mean

#: What is set against factors unless told otherwise.
_METRICS = "side_by_side,language_fidelity"
_METHODS = ("pearson", "spearman")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(factors)


def factors(
    model: Annotated[str, typer.Argument(help="gemma3-270m, a folder, or organisation/name on the Hub.")],
    languages: Annotated[str, typer.Option(help="The languages, as tags with commas; English is added.")],
    output: options.Output,
    texts: Annotated[
        str, typer.Option(help="pack, or a file of parallel examples: one id in every language.")
    ] = "pack",
    limit: Annotated[int, typer.Option(min=2, help="Texts a language at most, the shortest in English.")] = 10,
    fertility: Annotated[bool, typer.Option("--fertility/--no-fertility", help="Measure the tokenizer.")] = True,
    bits: Annotated[bool, typer.Option("--bits/--no-bits", help="Measure the model.")] = True,
    shares: Annotated[
        Path | None, typer.Option(help="A table of shares of pretraining: CSV, TSV, JSON or YAML of tag and share.")
    ] = None,
    distances: Annotated[
        bool,
        typer.Option("--distances/--no-distances", help="URIEL+ (80 s and 4 GB; pip install 'pinchtune[factors]')."),
    ] = False,
    scores: Annotated[
        Path | None, typer.Option(help="Also correlations: scores.jsonl, or a folder of `pinch score` or of a study.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="--scores: which, with commas [default: side_by_side,language_fidelity]."),
    ] = None,
    tuned: Annotated[str | None, typer.Option(help="--scores: only this model's [default: every model's].")] = None,
    method: Annotated[str | None, typer.Option(help="--scores: pearson or spearman [default: pearson].")] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what each language costs a base model: tokens and bits beside English, on parallel text.

    With --shares and --distances also what is known of them; with --scores also whether any of it goes with the
    scores: correlations with Fisher's and the bootstrap's interval, scatters, and how much so few languages can tell.

    \b
    Examples:
        pinch factors gemma3-270m --languages fi,ru,sw,zh --output factors
        pinch factors Qwen/Qwen2.5-0.5B --languages fi,ru,sw --no-bits --shares shares.csv --output factors/qwen
        pinch factors gemma3-270m --languages ar,es,fi,ru,sw,zh --scores pinchtune-quickstart --tuned pinch -o factors
    """
    from pinchtune.report.factors import correlation_table, factor_table, sentences_of
    from pinchtune.scoring.factors import Factor, what_is_left, what_so_many_can_tell
    from pinchtune.store import read_records
    from pinchtune.study import reading
    from pinchtune.study.single import columns_in, correlate_factors
    from pinchtune.study.single import factors as measure

    _check(scores, metric=metric, tuned=tuned, method=method)
    metrics = [name.strip() for name in (_METRICS if metric is None else metric).split(",") if name.strip()]
    if not (fertility or bits or shares or distances):
        raise PinchError("Nothing is left to find.", hint="Leave --no-fertility or --no-bits away, or give --shares.")
    if scores is not None:
        columns_in(scores, metrics, tuned=tuned)  # a word mistyped costs no measuring
    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    folder = Path(output)
    with console.bar("measuring") as advance:
        kept = measure(
            model,
            tags(languages),
            folder,
            examples=None if texts == reading.PACK else reading.read_examples([texts])[0],
            limit=limit,
            fertility=fertility,
            bits=bits,
            shares=shares,
            distances=distances,
            on_note=console.note,
            advance=advance,
            overwrite=overwrite,
        )
    found = list(read_records(folder / "records.jsonl", Factor))
    value: dict[str, Any] = {
        "folder": str(folder),
        "reused": kept.reused,
        "factors": [one.to_dict() for one in found],
        "manifest": kept.manifest,
    }
    lines = [table(*factor_table(found))] if found else []
    if scores is not None:
        made = correlate_factors(
            folder,
            scores,
            metrics=metrics,
            tuned=tuned,
            method=method or "pearson",  # type: ignore[arg-type]
            seed=seed,
            overwrite=True,  # cheap, and the measured folder around it is this command's own
        )
        said = [*sentences_of(made.found), what_so_many_can_tell(made.n_languages), what_is_left(made.found)]
        value |= {"correlations": [one.to_dict() for one in made.found], "sentences": [one for one in said if one]}
        lines += ["", table(*correlation_table(made.found)), "", *(one for one in said if one)]
        lines.append(f"{made.kept.folder}: the scatters, with their data")
    if kept.reused:
        console.note(f"{folder} is there already, of the same settings and data; nothing was measured again.")
    n_languages = len({one.language for one in found}) or len(kept.manifest.settings["languages"])
    left = f"{folder}: {len(found)} factors of {n_languages} languages; of pairs of them in pairs.jsonl"
    console.result(value, text="\n".join([*lines, left]))


def _check(scores: Path | None, **given: str | None) -> None:
    """Refuse what is said of scores where none are given, and a correlation that is none.

    Raises:
        PinchError: names the options.
    """
    method = given["method"]
    if method is not None and method not in _METHODS:
        raise PinchError(f"There is no correlation {method!r}.", hint=did_you_mean(method, _METHODS))
    alone = [f"--{name}" for name, value in given.items() if value is not None]
    if scores is None and alone:
        verb = "needs" if len(alone) == 1 else "need"
        raise PinchError(f"{' and '.join(alone)} {verb} --scores.", hint="Give --scores scores.jsonl, or a folder.")
