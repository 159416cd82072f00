"""`pinch cache show|clear`: translations and verdicts that were paid for once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, table
from pinchtune.errors import DataError, PinchError, did_you_mean

app = typer.Typer(help="The caches of finished translations and verdicts.", no_args_is_help=True, rich_markup_mode=None)
KINDS = ("translations", "verdicts")


#: What rows of each kind call those whose they are.
_WHOSE = {"translations": "engine", "verdicts": "judge"}


def _open(kind: str, path: Path | None) -> Any:
    """Return the cache of a kind; None where there is none: looking and forgetting make none."""
    if kind not in KINDS:
        raise PinchError(f"There is no cache of {kind!r}.", hint=did_you_mean(kind, KINDS))
    from pinchtune.judging import cache as of_verdicts
    from pinchtune.translation import cache as of_translations

    module: Any = {"translations": of_translations, "verdicts": of_verdicts}[kind]
    opened = path or module.default_path()
    if not opened.exists():
        return None
    return of_translations.TranslationCache(opened) if kind == "translations" else of_verdicts.VerdictCache(opened)


@app.command()
def show(
    kind: options.CacheKind = "translations", cache: options.CacheFile = None, as_json: options.Json = False
) -> None:
    """Show what is kept: translations by engine and pair, or verdicts by judge and language.

    Example: pinch cache show verdicts
    """
    opened = _open(kind, cache)
    rows = []
    if opened is not None:
        rows = opened.counts()
        opened.close()
    headers = {
        "translations": ["engine", "from", "to", "translations", "characters"],
        "verdicts": ["judge", "language", "verdicts"],
    }
    Console(as_json=as_json).result(rows, text=table(headers[kind], [list(row.values()) for row in rows]))


@app.command()
def clear(
    kind: options.CacheKind = "translations",
    cache: options.CacheFile = None,
    only: Annotated[
        str | None, typer.Option("--engine", "--judge", help="Only this one's, as `pinch cache show` names it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Forget what is kept. It may have cost money, so it asks.

    Example: pinch cache clear verdicts --judge llm-my-model-side-by-side-1
    """
    console = Console(as_json=as_json)
    if kind in KINDS and not yes and not _agreed(f"Forget the {kind} of {only or 'all'}?"):
        console.result({"forgotten": 0}, text="Nothing was removed.")
        raise typer.Exit(1)
    opened = _open(kind, cache)
    if opened is None and cache is not None:
        raise DataError(cache, None, "there is no such file.", hint="Give --cache the file of a cache.")
    if opened is None:  # the user's own, which nothing has been kept in yet
        console.result({"forgotten": 0}, text=f"0 {kind} forgotten.")
        return
    known = {row[_WHOSE[kind]] for row in opened.counts()}
    if only is not None and only not in known:
        opened.close()
        hint = did_you_mean(only, known) or f"It holds no {kind}."
        raise PinchError(f"The cache has no {kind} by {only!r}.", hint=hint)
    count = opened.clear(engine=only) if kind == "translations" else opened.clear(judge=only)
    opened.close()
    console.result({"forgotten": count}, text=f"{count} {kind} forgotten.")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or nobody there to answer
        typer.echo(err=True)
        return False
