"""`pinch data describe|split|dedupe`: look at a file of examples, split it, and clean it of repetitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinchtune.cli import data_text, options
from pinchtune.cli.console import Console, table
from pinchtune.errors import PinchError

if TYPE_CHECKING:
    from pinchtune.records import Example

app = typer.Typer(
    help="Your data: describe it, split it into training and evaluation, clean it of duplicates.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def describe(
    file: options.Examples,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A JSON file to write it to, too.")] = None,
    language: options.Language = None,
    identify: Annotated[bool, typer.Option(help="Check the languages; the slow part.")] = True,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Describe examples: per language counts, lengths, duplicates, and whether responses are in the language declared.

    A response in another language is not always wrong: exercises in translation have one.

    \b
    Examples:
        pinch data describe train.jsonl
        pinch data describe alpaca.json --language en --no-identify --json
    """
    from pinchtune import store
    from pinchtune.identification import Identifier
    from pinchtune.sources.describe import describe as describe_examples

    console = Console(quiet=quiet, as_json=as_json)
    if output is not None:
        _check_output(output, ".json", file)
    # Read twice: identifiers choose among the languages that the whole file declares.
    declared = [example.language for example in _examples(file, language)]
    identifier = Identifier(set(declared)) if identify else None
    with console.bar("describing") as advance:

        def counted() -> Iterator[Example]:
            for number, example in enumerate(_examples(file, language)):
                if number % 64 == 0:
                    advance(number / len(declared))
                yield example

        found = describe_examples(counted(), identifier=identifier)
        advance(1.0)
    if output is not None:
        store.write_json(output, found)
    console.result(found, text=data_text.description(found))


@app.command()
def sources(as_json: options.Json = False) -> None:
    """List the data sets that can be named in the place of a file, with their licences and pinned commits.

    Example: pinch data sources
    """
    from pinchtune.sources.named import describe as describe_source
    from pinchtune.sources.named import names

    known = {name: describe_source(name) for name in names() if not name.startswith("hub:")}
    rows = [
        [name, one.licence, "yes" if one.gated else "no", (one.revision or "")[:12], one.page]
        for name, one in known.items()
    ]
    rows.append(["hub:owner/name", "as its page says", "", "main", "any data set of the Hugging Face Hub"])
    found = {name: one.to_dict() | {"page": one.page} for name, one in known.items()}
    Console(as_json=as_json).result(found, text=table(["name", "licence", "gated", "commit", "page"], rows))


@app.command()
def split(
    file: options.Examples,
    size: Annotated[
        str, typer.Option("--eval", metavar="N|PERCENT", help="Ids to evaluate on: a count (200) or a share (5%).")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for train.jsonl, eval.jsonl and manifest.json.")
    ] = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Split examples into training and evaluation by id: all languages of one id fall on one side.

    The order of the file makes no difference. Two ids of one text may fall apart: `pinch data dedupe` first.

    \b
    Examples:
        pinch data split parallel.jsonl --eval 200 --output split
        pinch data split alpaca.json --language en --eval 5% --seed 7 --output split
    """
    from collections import Counter

    from pinchtune.sources.split import split as split_examples
    from pinchtune.study import reading

    console = Console(quiet=quiet, as_json=as_json)
    chosen = {**_size(size), "seed": seed}
    examples, duplicates = reading.read_examples([file], language=language)
    found = split_examples(examples, **chosen)
    sides = {"train": found.train, "eval": found.eval}
    counts = {side: dict(sorted(Counter(one.language for one in part).items())) for side, part in sides.items()}
    n_ids = {side: len({one.id for one in part}) for side, part in sides.items()}
    notes = {"n_ids": n_ids, "counts": counts}
    value = notes | {"n_duplicates": duplicates, "output": None if output is None else str(output)}
    if output is None:
        console.note("Nothing was written: give --output FOLDER.")
    else:
        _keep_split(console, output, file, examples, sides, settings=chosen, notes=notes, overwrite=overwrite)
    tags = sorted(counts["train"] | counts["eval"])
    rows: list[list[object]] = [[tag, counts["train"].get(tag, 0), counts["eval"].get(tag, 0)] for tag in tags]
    rows += [["all", len(found.train), len(found.eval)], ["ids", *n_ids.values()]]
    lines = [table(["language", "train", "eval"], rows)]
    if duplicates:
        lines.append(f"{duplicates} duplicates were left out.")
    console.result(value, text="\n".join(lines))


@app.command()
def dedupe(
    file: options.Examples,
    against: Annotated[
        str | None, typer.Option(metavar="EVAL_FILE", help="Evaluation instructions to keep out, or pack.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where what is left goes (.jsonl).")] = None,
    threshold: Annotated[float, typer.Option(help="Jaccard similarity of 8-grams that makes near duplicates.")] = 0.7,
    same_id: Annotated[
        bool, typer.Option("--same-id", help="An id of EVAL_FILE is overlap, whatever its text.")
    ] = False,
    language: options.Language = None,
    seed: Annotated[int, typer.Option(help="Of the hashes that propose near duplicates.")] = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find exact and near duplicates within each language, and overlap with an evaluation set; keep the first of each.

    Near duplicates are alike as a whole and in the response alone. Overlap is a prompt like one of EVAL_FILE, and takes
    along the other languages of its id. --json lists every example left out, what it repeats, and why.

    \b
    Examples:
        pinch data dedupe alpaca.json --language en --output clean.jsonl
        pinch data dedupe train.jsonl --against eval.jsonl --output clean.jsonl
        pinch data dedupe train.jsonl --against pack --threshold 0.5 --json
    """
    from pinchtune import store
    from pinchtune.sources.dedupe import dedupe as dedupe_examples
    from pinchtune.study import reading

    console = Console(quiet=quiet, as_json=as_json)
    if output is not None:
        _check_output(output, ".jsonl", file, against)
    prompts = [] if against is None else reading.read_prompts(against, language=language)
    with console.bar("comparing") as advance:
        chosen: dict[str, Any] = {"threshold": threshold, "same_id": same_id, "seed": seed}
        found = dedupe_examples(_examples(file, language), against=prompts, advance=advance, **chosen)
    if output is not None:
        store.write_records(output, found.kept)
    value = data_text.counts(found) | {
        "output": None if output is None else str(output),
        "duplicates": found.duplicates,
        "overlaps": found.overlaps,
    }
    if output is None:
        console.note("Nothing was written: give --output FILE.")
    console.result(value, text=data_text.deduplication(found, against=against))


# ----------------------------------------------------------------------------------------- reading and writing


def _examples(source: str, language: str | None) -> Iterator[Example]:
    from pinchtune.records import Example
    from pinchtune.sources import files, pack
    from pinchtune.study import reading

    if source == reading.PACK:
        yield from pack.examples()
        return
    opened = reading.open_named(source, {})
    if opened is not None:
        yield from (one for one in opened if isinstance(one, Example))
        return
    for _, example in files.iter_examples(reading.records_file(Path(source)), language=language):
        yield example


def _size(text: str) -> dict[str, Any]:
    try:
        return {"eval_percent": float(text[:-1])} if text.endswith("%") else {"eval_count": int(text)}
    except ValueError:
        raise PinchError(
            f"--eval {text}: neither a count nor a percentage.", hint="Write --eval 200 for 200 ids, or --eval 5%."
        ) from None


def _check_output(output: Path, suffix: str, *sources: str | None) -> None:
    from pinchtune.study import reading

    if output.suffix != suffix or output.is_dir():
        raise PinchError(f"{output}: a {suffix} file is written.", hint=f"--output NAME{suffix}")
    for source in sources:
        if source is not None and output.resolve() == reading.records_file(Path(source)).resolve():
            raise PinchError(f"{output} is what is read, and stays as it is.", hint="Choose another --output.")


def _keep_split(
    console: Console,
    output: Path,
    source: str,
    examples: Sequence[Example],
    sides: dict[str, tuple[Example, ...]],
    *,
    settings: dict[str, Any],
    notes: dict[str, Any],
    overwrite: bool,
) -> None:
    from pinchtune import store
    from pinchtune.study.keep import Result, holds_other, is_kept, keep

    if output.resolve() in Path(source).resolve().parents:
        raise PinchError(f"{source} stands in {output}, which is replaced as a whole.", hint="Choose another --output.")
    inputs = {"examples": store.content_key(examples)}
    keyed: dict[str, Any] = {"kind": "split", "version": 1, "settings": settings, "inputs": inputs}
    draft = store.Manifest(step=output.name, key=store.content_key(keyed), **keyed)
    if is_kept(output, draft.key):
        console.note(f"{output} is there already, of the same settings and data; nothing was done again.")
        return
    if holds_other(output, draft.key) and not overwrite:
        raise PinchError(
            f"{output} holds the result of other settings or other data.",
            hint="Choose another --output, or add --overwrite to replace it.",
        )

    def write() -> Result:
        n_out = sum(store.write_records(output / f"{side}.jsonl", part) for side, part in sides.items())
        return Result(n_in=len(examples), n_out=n_out, notes=notes)

    keep(output, draft, write)
