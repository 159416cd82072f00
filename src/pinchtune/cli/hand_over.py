"""`pinch check`, `pinch publish` and `pinch doctor`: before tuning, after it, and whether this machine can."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, quiet_libraries, table
from pinchtune.errors import PinchError, did_you_mean


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (check, publish, doctor):
        app.command()(command)


def check(
    mixture: Annotated[str, typer.Argument(help="A folder of `pinch mix`, pack, or a file of examples.")],
    model: Annotated[str, typer.Option(help="The model to tune, as of `pinch tune --base`.")] = "gemma3-270m",
    max_length: options.MaxLength = 2048,
    overlong: options.Overlong = "error",
    chat_template: options.ChatTemplate = None,
    against: Annotated[
        str | None, typer.Option(help="pack, or a file of evaluation prompts: none may be in it.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Conversations to show token by token.")] = 2,
    language: options.Language = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check that a mixture trains what you think, in every language, before anything is trained. It changes nothing.

    Masks, stop token, truncation, templates, special tokens in the data, languages, shares, overlap with evaluation
    prompts. Exit code 0: passed; 1: something failed.

    \b
    Examples:
        pinch check mixtures/pinch
        pinch check english.jsonl --model Qwen/Qwen2.5-0.5B --max-length 1024 --against prompts.jsonl
    """
    import pydantic

    from pinchtune.chat import BUILT_IN
    from pinchtune.study import reading
    from pinchtune.study.checking import check_mixture
    from pinchtune.tuning.settings import TuningSettings

    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    try:
        settings = TuningSettings(max_length=max_length, overlong=overlong, chat_template=chat_template)
    except pydantic.ValidationError as error:
        faults = [f"--{str(f['loc'][0]).replace('_', '-')}: {f['msg']}, given {f['input']!r}" for f in error.errors()]
        raise PinchError("; ".join(faults), hint="pinch check --help") from None
    if chat_template is not None and chat_template not in BUILT_IN and not Path(chat_template).is_file():
        raise PinchError(
            f"There is no chat template {chat_template!r}, nor a file of that name.",
            hint=did_you_mean(chat_template, BUILT_IN),
        )
    prompts = reading.read_prompts(against, language=language) if against else []
    with console.bar("checking") as advance:
        found = check_mixture(
            mixture,
            model=model,
            settings=settings,
            language=language,
            against=prompts,
            n_specimens=show,
            on_note=console.note,
            advance=advance,
        )
    if not as_json and not quiet:
        _show(found.specimens)
    console.result(found, text=_report(found.preflight))
    if not found.passed:
        raise typer.Exit(1)


def _show(specimens: list[Any]) -> None:
    """Print conversations with what is trained in colour; a model's control characters stay text."""
    from rich.console import Console as RichConsole
    from rich.text import Text

    console = RichConsole(highlight=False)
    for identifier, tag, pieces in specimens:
        console.print(Text(f"{identifier} in {tag} (trained tokens are marked):", style="bold"))
        line = Text()
        for number, (text, trained) in enumerate(pieces):
            shown = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
            style = ("black on green" if number % 2 else "black on bright_green") if trained else "dim"
            line.append(shown, style=style)
        console.print(line)
        console.print()


def _report(found: Any) -> str:
    rows = [
        [
            one.language,
            one.n_examples,
            "" if one.tokens_per_word is None else f"{one.tokens_per_word:.2f}",
            f"{one.tokens_per_character:.3f}",
            "" if one.relative_to_english is None else f"{one.relative_to_english:.2f}",
            "" if one.longest is None else one.longest,
            f"{100 * one.share_of_labels:.1f}",
        ]
        for one in found.fertility
    ]
    header = ["language", "examples", "tokens/word", "tokens/char", "x English", "longest", "% of labels"]
    lines = [table(header, rows), ""]
    for check in (*found.failed, *found.notes):
        where = f" [{check.language}]" if check.language else ""
        word = "FAIL" if check.status == "fail" else "note"
        ids = f" ({', '.join(check.ids[:3])}{' ...' if len(check.ids) > 3 else ''})" if check.ids else ""
        lines.append(f"{word}{where} {check.detail}{ids}")
    passed = sum(check.status == "pass" for check in found.checks)
    verdict = "passed" if found.passed else f"{len(found.failed)} failed"
    lines.append(f"{found.n_examples} examples, {len(found.checks)} checks: {passed} found nothing; {verdict}.")
    return "\n".join(lines)


def publish(
    folder: Annotated[Path, typer.Argument(help="What `pinch tune` or `pinch mix` wrote.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the Hub.")],
    kind: Annotated[str | None, typer.Option(help="model or dataset [default: as the folder's manifest says].")] = None,
    licence: Annotated[str | None, typer.Option(help="Of a data set, as the Hub names it: cc-by-4.0.")] = None,
    base: Annotated[str | None, typer.Option(help="The base model's name on the Hub, if it was a folder here.")] = None,
    public: Annotated[bool, typer.Option("--public", help="For everybody to see.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Send it; without this, only what would go is shown.")] = False,
    as_json: options.Json = False,
) -> None:
    """Put a mixture or a tuned model on the Hugging Face Hub, with its card. Shows what would go, unless told to send.

    \b
    Examples:
        pinch publish models/pinch my-name/pinch-gemma
        pinch publish mixtures/pinch my-name/pinch-of-twelve --kind dataset --licence cc-by-4.0 --send
    """
    from pinchtune import publishing, store

    kinds = ("model", "dataset")
    if kind is None:
        manifest = store.read_manifest(folder) if folder.is_dir() else None
        kind = "dataset" if manifest is not None and manifest.kind != "tune" else "model"
    if kind not in kinds:
        raise PinchError(f"{kind!r} is no kind of repository.", hint=did_you_mean(kind, kinds))
    plan = publishing.plan_publication(folder, repository, kind=kind, licence=licence, base_model=base)  # type: ignore[arg-type]
    console = Console(as_json=as_json)
    if not send:
        rows = [[file.path, f"{file.size:,}"] for file in plan.files]
        lines = [table(["file", "bytes"], rows), *plan.notes]
        if plan.left_out:
            lines.append(f"Left here: {', '.join(plan.left_out)}")
        lines.append(f"{plan.n_bytes:,} bytes would go to {repository}. Nothing was sent: add --send.")
        console.result(plan, text="\n".join(lines))
        return
    done = publishing.publish(plan, private=not public)
    console.result(done, text=f"{done.url} ({'private' if done.private else 'public'}), commit {done.commit}")


def doctor(as_json: options.Json = False) -> None:
    """Tell what this machine has, which engine each stage would take, and why. Keys are named, never shown.

    Example: pinch doctor
    """
    from pinchtune.doctor import examine

    found = examine()
    lines: list[str] = []
    for section in dict.fromkeys(one.section for one in found):
        rows = [
            [one.name, one.value, "" if one.status == "ok" else one.hint] for one in found if one.section == section
        ]
        width = max(len(row[0]) for row in rows)
        lines += ["", section] + [
            f"  {name.ljust(width)}  {value}{f'  ({hint})' if hint else ''}" for name, value, hint in rows
        ]
    Console(as_json=as_json).result(found, text="\n".join(lines).lstrip("\n"))
