"""`pinch annotate`: people judge, on sheets or on a page, and the judges are measured by them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, table
from pinchtune.cli.options import finish, tags
from pinchtune.errors import PinchError, did_you_mean

app = typer.Typer(
    help="People judge: blind sheets, a page, and agreement.", no_args_is_help=True, rich_markup_mode=None
)
FORMS = ("xlsx", "csv", "argilla", "label_studio")


@app.command()
def export(
    prompts: options.Prompts,
    output: options.Output,
    answers: Annotated[list[Path] | None, typer.Option(help="To rate: a folder of answers; once a model.")] = None,
    candidate: Annotated[Path | None, typer.Option(help="To compare: answers of the candidate.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="To compare: answers of the baseline.")] = None,
    per_language: Annotated[int, typer.Option(min=1, help="Prompts sampled in each language.")] = 50,
    same_ids: Annotated[bool, typer.Option("--same-ids", help="The same prompts in every language.")] = False,
    form: Annotated[str, typer.Option(help="xlsx, csv, argilla, label_studio; several with commas.")] = "xlsx",
    languages: options.Languages = "",
    limit: options.Limit = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Sample answers for people to judge, blind: two side by side, or one as excellent, pass or fail.

    OUTPUT/sheets is handed out; OUTPUT/key says which model wrote what, and stays with you.

    \b
    Examples:
        pinch annotate export pack --candidate answers/pinch --baseline answers/english --output people
        pinch annotate export pack --answers answers/pinch --languages en,es,ru,he --per-language 50 --output ratings
    """
    from pinchtune.study import reading
    from pinchtune.study.annotating import export_items

    forms = [one.strip() for one in form.split(",") if one.strip()]
    for one in forms:
        if one not in FORMS:
            raise PinchError(f"There is no form {one!r}.", hint=did_you_mean(one, FORMS))
    if not forms:
        raise PinchError("In which form?", hint=f"--form {FORMS[0]}; allowed: {', '.join(FORMS)}")
    compared = [path for path in (candidate, baseline) if path is not None]
    if bool(answers) == bool(compared):
        raise PinchError("What is to be judged?", hint="--candidate A --baseline B, or --answers A to rate.")
    console = Console(quiet=quiet, as_json=as_json)
    asked = reading.read_prompts(prompts, wanted=tags(languages), language=language, limit=limit)
    kept = export_items(
        asked,
        [reading.read_answers(path) for path in answers or compared],
        Path(output),
        kind="rating" if answers else "side_by_side",
        forms=forms,  # type: ignore[arg-type]
        per_language=per_language,
        same_ids=same_ids,
        seed=seed,
        overwrite=overwrite,
    )
    finish(console, kept, list(kept.manifest.notes["notes"]), said="{n_out} items")


@app.command("import")
def import_sheets(
    folder: options.Items,
    files: Annotated[list[Path], typer.Argument(help="Filled-in sheets, Label Studio's JSON, or annotations.sqlite.")],
    output: options.Output,
    annotator: Annotated[str | None, typer.Option(help="Who filled them in, where the sheets do not say.")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check what people filled in and join it with what their items hide; people are then a judge like others.

    \b
    Examples:
        pinch annotate import people people/sheets/*.xlsx --annotator ana --output verdicts/ana
        pinch annotate import people people/annotations.sqlite --output verdicts/people
    """
    from pinchtune.study.annotating import import_annotations

    console = Console(quiet=quiet, as_json=as_json)
    kept = import_annotations(folder, files, Path(output), annotator=annotator, overwrite=overwrite)
    notes = kept.manifest.notes
    told = f"{notes['n_verdicts']} comparisons and {notes['n_grades']} ratings; {notes['n_not_done']} rows not done; "
    told += f"{notes['n_untouched']} of the items have no choice by anybody."
    finish(console, kept, [told])
    if not kept.manifest.n_out:
        raise typer.Exit(1)


@app.command()
def serve(
    folder: options.Items,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback are open to your network.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Open a small web page on which people judge; every click is saved at once, in FOLDER/annotations.sqlite.

    The link that is printed holds a token; who has it can judge. Several people may, each under a name. Ctrl-C ends it.

    Example: pinch annotate serve people
    """
    from pinchtune.people.annotations import AnnotationStore
    from pinchtune.people.serve import serve as serve_page
    from pinchtune.study.annotating import DATABASE, read_items

    console = Console(quiet=quiet)
    items = read_items(folder)
    store = AnnotationStore(folder / DATABASE)

    def ready(link: str) -> None:
        typer.echo(link)
        console.note(f"{len(items)} items; saved in {folder / DATABASE}. Ctrl-C ends it.")

    try:
        serve_page(items, store, host=host, port=port, on_ready=ready)
    finally:
        store.close()


@app.command()
def agreement(
    folders: Annotated[list[Path], typer.Argument(help="Folders of `pinch judge` and of `pinch annotate import`.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write tables and pictures here.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print every number, not the main ones.")] = False,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Say how far a judge and people agree, and people among themselves, per language, with intervals.

    LIMA's tie-discounted agreement with its chance level and linear-weighted kappa, Krippendorff's alpha, the signed
    bias; and the judge's score corrected by people's labels (prediction-powered inference).

    Example: pinch annotate agreement verdicts/llm verdicts/ana verdicts/ben --output agreement
    """
    from pinchtune.report.people import agreement_rows, write_agreement
    from pinchtune.study.annotating import agree

    found = agree(folders, seed=seed)
    lines: list[str] = []
    for title, header, rows in agreement_rows(found, every=every):
        lines += ["", title, table(header, rows)] if rows else []
    if output is not None:
        path = write_agreement(found, output)
        lines += ["", f"Written: {path}"]
    Console(as_json=as_json).result(found, text="\n".join(lines).lstrip("\n") or "Nothing could be compared.")
