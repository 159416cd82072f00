"""The `pinch` command: parse, call, print; no logic. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys

import typer

from pinchtune.cli import annotate, cache, data, factors, hand_over, judge, pack, score, stages, study, translate
from pinchtune.errors import PinchError

INTERRUPTED = 130  # as shells say it: 128 and the signal's number
app = typer.Typer(
    name="pinch",
    help="Make a language model follow instructions in many languages with a pinch of multilingual data, and prove it."
    "\n\nStart with: pinch quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
study.register(app)
stages.register(app)
app.add_typer(judge.app, name="judge")
app.add_typer(annotate.app, name="annotate")
app.add_typer(cache.app, name="cache")
app.add_typer(score.app, name="score")
translate.register(app)
factors.register(app)
hand_over.register(app)
app.add_typer(pack.app, name="pack")
app.add_typer(data.app, name="data")
app.add_typer(study.recipe_app, name="recipe")


def version(show: bool) -> None:
    """Print the version and leave."""
    if show:
        from importlib.metadata import version as installed

        typer.echo(f"pinchtune {installed('pinchtune')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: bool = typer.Option(
        False, "--version", callback=version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """Run before every command; holds the options of `pinch` itself."""
    del show_version


def main() -> None:
    """Run the command; errors a user can mend are sentences, with exit code 2, failed work with 1, Ctrl-C with 130."""
    try:
        # Commands return nothing; a number is the exit code of one that left early, or of Ctrl-C, which typer catches.
        code = app(standalone_mode=False) or 0
    except PinchError as error:
        typer.echo(f"pinch: {error.message}", err=True)
        if error.hint.strip():
            typer.echo(error.hint.strip(), err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except _usage_errors() as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output left (as `head` does); nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A place that cannot be written or read as asked; what the store knows of has its own words.
        typer.echo(f"pinch: {error.filename or 'the file system'}: {(error.strerror or str(error)).lower()}.", err=True)
        sys.exit(1)
    if code == INTERRUPTED:
        typer.echo("\npinch: stopped. What was finished is kept; the same command goes on from there.", err=True)
    sys.exit(code)


def _usage_errors() -> type[typer.BadParameter]:
    # typer may carry its own copy of click; a usage error is an ancestor of the one it exports.
    kinds: tuple[type, ...] = typer.BadParameter.__mro__
    return next(kind for kind in kinds if kind.__name__ == "ClickException")
