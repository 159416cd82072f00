"""`pinch pack list|show|export|check`: the parallel instruction set that ships with pinchtune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, table
from pinchtune.errors import PinchError, did_you_mean

app = typer.Typer(
    help="The pinch pack: parallel conversations in many languages, to stir into English data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
FORMATS = ("jsonl", "messages", "alpaca", "csv", "parquet")


def _tags(text: str) -> list[str]:
    from pinchtune import languages
    from pinchtune.sources import pack

    return [language.tag for language in languages.parse_list(text)] or list(pack.tags())


@app.command("list")
def list_entries(
    ids: Annotated[bool, typer.Option("--ids", help="Print every id with its split and category.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the pack's languages with their counts, or its ids.

    Example: pinch pack list --ids
    """
    from pinchtune import languages
    from pinchtune.sources import pack

    console = Console(quiet=quiet, as_json=as_json)
    if ids:
        rows = [{"id": e.id, "split": e.split, "category": e.category} for e in pack.entries("en")]
        console.result(rows, text=table(["id", "split", "category"], [list(row.values()) for row in rows]))
        return
    counts = {
        tag: {split: sum(e.split == split for e in pack.entries(tag)) for split in ("train", "eval")}
        for tag in pack.tags()
    }
    text = table(
        ["language", "tag", "train", "eval"],
        [[languages.parse(tag).name, tag, one["train"], one["eval"]] for tag, one in counts.items()],
    )
    console.result(counts, text=text)


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An id of `pinch pack list --ids`.")],
    languages: options.PackLanguages = "",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show one conversation in every language.

    Example: pinch pack show howto-ripen-avocado --languages en,fi,ar
    """
    from pinchtune.sources import pack

    found = pack.find(identifier)
    missing = [tag for tag in _tags(languages) if tag not in found]
    if missing:
        raise PinchError(f"{identifier} is not there in {', '.join(missing)}.", hint=f"It is in {', '.join(found)}.")
    wanted = {tag: found[tag] for tag in _tags(languages)}
    parts = []
    for tag, entry in wanted.items():
        parts.append(f"── {tag} · {entry.split} · {entry.category}")
        parts += [f"{turn.role}: {turn.content}\n" for turn in entry.turns]
    Console(quiet=quiet, as_json=as_json).result(wanted, text="\n".join(parts))


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    languages: options.PackLanguages = "",
    split: Annotated[str, typer.Option(help="train, eval or all.")] = "train",
    format_: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")] = "messages",
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the pack in the field's formats, for Axolotl, TRL, LLaMA-Factory and others.

    jsonl: our own records; messages: {"messages": [...]}, with id and language; alpaca: instruction, input, output
    (conversations of one exchange only); csv and parquet: instruction, output, id, language.

    \b
    Examples:
        pinch pack export --languages fi,sw --output pinch.jsonl
        pinch pack export --format alpaca --split all --output pack.jsonl
    """
    from pinchtune.sources import pack
    from pinchtune.sources.pack_export import write

    if split not in ("train", "eval", "all"):
        raise PinchError(f"There is no split {split!r}.", hint=did_you_mean(split, ("train", "eval", "all")))
    if format_ not in FORMATS:
        raise PinchError(f"There is no format {format_!r}.", hint=did_you_mean(format_, FORMATS))
    if output.is_dir() or (output.exists() and not overwrite):
        kind = "a folder" if output.is_dir() else "there already"
        raise PinchError(f"{output} is {kind}.", hint="Choose another --output, or add --overwrite to replace a file.")
    found = list(pack.select(_tags(languages), split=None if split == "all" else split))  # type: ignore[arg-type]
    count = write(found, output, format_)
    left = len(found) - count
    note = f" ({left} with several exchanges do not fit this format and were left out)" if left else ""
    value = {"output": str(output), "n_written": count, "n_left_out": left}
    Console(quiet=quiet, as_json=as_json).result(value, text=f"{output}: {count} conversations{note}")


@app.command()
def check(languages: options.PackLanguages = "", as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Check the pack: ids, splits, scripts, languages, duplicates, lengths, numbers and code against English.

    Exit code 1 where there is something to mend.
    """
    from pinchtune.sources.pack_check import check as check_pack

    found = check_pack(_tags(languages))
    rows = [
        [
            one.language,
            one.n_train,
            one.n_eval,
            f"{one.n_identified} of {one.n_turns}",
            f"{100 * one.in_script:.1f}",
            len(one.faults),
        ]
        for one in found
    ]
    lines = [table(["language", "train", "eval", "turns identified", "in script, %", "faults"], rows)]
    for one in found:
        lines += [f"{one.language}: {fault}" for fault in one.faults]
        lines += [f"{one.language}: {remark} (allowed)" for remark in one.remarks]
    Console(quiet=quiet, as_json=as_json).result(found, text="\n".join(lines))
    if any(one.faults for one in found):
        raise typer.Exit(1)
