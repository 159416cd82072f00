"""`pinch translate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, table
from pinchtune.cli.options import settings
from pinchtune.errors import PinchError, did_you_mean

CacheOption = Annotated[Path | None, typer.Option("--cache", help="Translation cache [default: the user's].")]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(translate)


def translate(
    file: Annotated[str, typer.Argument(help="pack, a data set's name (alpacafarm=PATH), or a file.")],
    output: options.Output,
    to: Annotated[str, typer.Option(help="Languages to translate into, as tags with commas.")],
    engine: Annotated[str, typer.Option(help="NAME or NAME:MODEL, e.g. ctranslate2:FOLDER; see `pinch engines`.")],
    source: Annotated[str, typer.Option("--from", help="Language to translate from.")] = "en",
    setting: options.Setting = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="The file holds prompts to evaluate on.")] = False,
    source_option: Annotated[list[str] | None, typer.Option(help="A named data set's own, as key=value.")] = None,
    names: Annotated[str, typer.Option(help="Words to keep as they are, with commas.")] = "",
    untranslatable: Annotated[str, typer.Option(help="Rhymes, spelling exercises ...: keep, drop or flag.")] = "keep",
    ask: Annotated[bool, typer.Option("--ask-untranslatable", help="llm: ask it too, besides the rules.")] = False,
    back: Annotated[bool, typer.Option("--back-translate", help="Translate back too; print the chrF.")] = False,
    comet: Annotated[bool, typer.Option("--comet", help="Print COMET's mean; needs pinchtune[comet].")] = False,
    response: Annotated[str, typer.Option(help="translate, or regenerate with --response-model.")] = "translate",
    response_model: Annotated[str | None, typer.Option(help="Model that writes the responses anew.")] = None,
    response_engine: Annotated[str, typer.Option(help="Its generation engine.")] = "transformers",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print segments, characters and cost, and leave.")
    ] = False,
    max_cost: Annotated[float | None, typer.Option(min=0, help="US dollars at which calls stop.")] = None,
    cache: CacheOption = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Translate conversations; what cannot be trusted is left out and counted, never passed on.

    One file per language is written, `OUTPUT/TAG/records.jsonl`, with the ids of the input.

    \b
    Examples:
        pinch translate english.jsonl --to es,fi --engine deepl --estimate --output translated
        pinch translate english.jsonl --to es --engine "command:apertium -u eng-spa" --output translated
    """
    from pinchtune import languages
    from pinchtune.study import single
    from pinchtune.study.keep import PASSING

    del seed  # no engine of today draws; the option is the same everywhere
    for given, allowed in ((untranslatable, ("keep", "drop", "flag")), (response, ("translate", "regenerate"))):
        if given not in allowed:
            raise PinchError(f"{given!r} is none of the choices.", hint=did_you_mean(given, allowed))
    if (response == "regenerate") != (response_model is not None):
        raise PinchError("Responses are made anew by a model.", hint="--response regenerate --response-model MODEL")
    console = Console(quiet=quiet, as_json=as_json)
    if not languages.parse_list(to):
        raise PinchError("Translate into which languages?", hint="--to es,fi")
    job = single.Translation(
        engine=engine,
        settings=settings(setting),
        source=languages.parse(source).tag,
        targets=tuple(language.tag for language in languages.parse_list(to)),
        names=tuple(name.strip() for name in names.split(",") if name.strip()),
        untranslatable=untranslatable,  # type: ignore[arg-type]
        cache=cache,
        max_cost=max_cost,
        responder=(response_engine, response_model) if response_model else None,
        prompts=prompts,
        options=settings(source_option),
        ask=ask,
        back_translate=back,
        comet=comet,
    )
    if estimate:
        found = single.estimate_translation(file, job)
        rows = [[tag, *counts.values()] for tag, counts in found["languages"].items()]
        cost = "not known" if found["cost"] is None else f"${found['cost']:.2f}"
        text = f"{table(['language', 'segments', 'to send', 'characters'], rows)}\nCost: {cost}"
        console.result(found, text=text)
        return
    kept = []
    for tag in job.targets:
        with console.bar(f"translating into {tag}") as advance:
            kept.append(
                single.translate(
                    file, Path(output) / tag, job, tag, on_note=console.note, advance=advance, overwrite=overwrite
                )
            )
    for one in kept:
        if one.reused:
            console.note(f"{one.folder} is there already, of the same settings and data; nothing was sent again.")
        elif passing := PASSING & one.manifest.failed.keys():
            console.note(f"{one.folder}: {', '.join(sorted(passing))} may be gone later; the same command tries again.")
    console.result(
        [{"folder": str(one.folder), "reused": one.reused, "manifest": one.manifest} for one in kept],
        text="\n".join([_summary([one.manifest.notes["languages"] for one in kept]), *_quality(kept)]),
    )
    if not any(one.manifest.n_out for one in kept):
        raise typer.Exit(1)


def _summary(notes: list[dict[str, Any]]) -> str:
    header = [
        "language",
        "done",
        "mended",
        "kept",
        "flagged",
        "failed",
        "segments",
        "from cache",
        "sent",
        "spans",
        "why failed",
    ]
    rows = [
        [
            tag,
            one["done"],
            one["mended"],
            one["kept_in_source"],
            one["flagged"],
            sum(one["failed"].values()),
            one["segments"],
            one["from_cache"],
            one["sent"],
            one["protected_spans"],
            ", ".join(f"{count} {reason}" for reason, count in one["failed"].items()),
        ]
        for languages in notes
        for tag, one in languages.items()
    ]
    return table(header, rows)


def _quality(kept: list[Any]) -> list[str]:
    lines = []
    for one in kept:
        back, comet = (one.manifest.notes.get(name) for name in ("back_translation_chrf", "comet"))
        if back and back["n"]:
            lines.append(f"{one.folder.name}: chrF {back['mean']:.1f} there and back, over {back['n']} of {back['of']}")
        if comet and comet["n"]:
            lines.append(f"{one.folder.name}: COMET {comet['mean']:.3f}, over {comet['n']}")
    return lines
