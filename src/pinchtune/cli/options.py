"""Arguments and options that several commands share, one alias each, and how their values are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pinchtune.errors import PinchError


# What every command has, as far as it means something there.
def _local(folder: str | None) -> str | None:
    """Refuse a URL, which would be written to as a folder of that name."""
    if folder is not None and "://" in folder:
        raise PinchError(
            f"{folder} is a URL, and this command writes to a folder of this machine.",
            hint="Give a folder. A study's run folder may be a URL: pinch study run RECIPE --output URL.",
        )
    return folder


_OUTPUT = typer.Option("--output", "-o", help="Folder to write to.", callback=_local)
Output = Annotated[str, _OUTPUT]
OptionalOutput = Annotated[str | None, _OUTPUT]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another result in the output folder.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice; kept in the manifest.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]

# What is read.
Prompts = Annotated[str, typer.Argument(help="pack, or a file of prompts or conversations.")]
Examples = Annotated[
    str, typer.Argument(metavar="FILE", help="A file of examples in any of the field's shapes, a mixture, or pack.")
]
Languages = Annotated[str, typer.Option(help="Only these, as tags with commas: en,es,fi [default: all].")]
PackLanguages = Annotated[str, typer.Option(help="As tags with commas: en,es,fi [default: all].")]
Language = Annotated[str | None, typer.Option(help="Language of rows that name none.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many prompts per language.")]
_ANSWERS = typer.Option(help="A folder of `pinch generate`; once for each model.")
Answers = Annotated[list[Path], _ANSWERS]
OptionalAnswers = Annotated[list[Path] | None, _ANSWERS]
Verdicts = Annotated[list[Path] | None, typer.Option(help="A folder of `pinch judge`; may be repeated.")]
Seen = Annotated[str, typer.Option(help="Languages seen in tuning, as tags with commas.")]
Items = Annotated[Path, typer.Argument(help="A folder of `pinch annotate export`.")]
Scores = Annotated[Path, typer.Argument(help="A folder of `pinch score`, or of a study's score step.")]
OneJudge = Annotated[str | None, typer.Option("--judge", help="Whose outcomes, where there are several judges.")]

# Tuning.
MaxLength = Annotated[int, typer.Option(help="Tokens of a whole conversation.")]
Overlong = Annotated[str, typer.Option(help="error or drop, for conversations over --max-length.")]
ChatTemplate = Annotated[str | None, typer.Option(help="gemma, chatml, plain or a Jinja file.")]

# Engines and judges.
Setting = Annotated[
    list[str] | None, typer.Option("--setting", help="The engine's or judge's own, as key=value; may be repeated.")
]
Candidate = Annotated[Path, typer.Option(help="Answers of the model whose wins are counted.")]
Baseline = Annotated[Path, typer.Option(help="Answers of the model it is set against.")]
Judge = Annotated[str, typer.Option("--judge", help="NAME or NAME:MODEL: reference, llm:MODEL ...")]
JudgeEngine = Annotated[
    str | None, typer.Option("--engine", help="llm: endpoint, transformers, vllm ... [default: endpoint].")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="llm: the endpoint's address, with /v1 [default: OPENAI_BASE_URL].")
]
Explain = Annotated[bool, typer.Option("--explain", help="llm: reasons before the verdict.")]
Prices = Annotated[
    Path | None, typer.Option("--prices", help="YAML: MODEL: {input: 0.15, output: 0.6}, US dollars a million tokens.")
]
MaxCost = Annotated[float | None, typer.Option(min=0, help="US dollars over which no call is begun.")]
VerdictCache = Annotated[Path | None, typer.Option("--cache", help="Verdict cache [default: the user's].")]
CacheKind = Annotated[str, typer.Argument(help="translations or verdicts.")]
CacheFile = Annotated[Path | None, typer.Option("--cache", help="The file [default: the user's].")]

# Studies.
Recipe = Annotated[str, typer.Argument(help="A recipe's path, or the name of a shipped one.")]
RunFolder = Annotated[str, typer.Option("--output", "-o", help="Run folder, or a URL of fsspec.")]
RunFolderOfName = Annotated[
    str | None, typer.Option("--output", "-o", help="Run folder, or a URL of fsspec [default: runs/NAME].")
]
RecipeSeed = Annotated[int | None, typer.Option(min=0, help="In the place of the recipe's.")]
Only = Annotated[str | None, typer.Option(help="One experiment of the recipe, by its name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what is there and what would run, and leave.")]


class DefaultGroup(TyperGroup):
    """Commands of which `run` is meant where none is named: `pinch judge pack ...` is `pinch judge run pack ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before arguments that begin with no command."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def tags(text: str) -> list[str]:
    """Return ["en", "es"] for "en,es".

    Raises:
        LanguageError: one is no language.
    """
    from pinchtune import languages

    return [language.tag for language in languages.parse_list(text)]


def settings(pairs: list[str] | None) -> dict[str, Any]:
    """Return {"beam_size": 4} for ["beam_size=4"]; values are JSON where they can be.

    Raises:
        PinchError: one has no equals sign, or holds a key or password for an endpoint's requests.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise PinchError(f"{pair!r} is not a setting.", hint="--setting key=value")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    if "extra" in found:  # of an endpoint; whatever is typed here may come to stand in a manifest
        from pinchtune.secret_settings import refuse_secrets

        refuse_secrets({"extra": found["extra"]})
    return found


def finish(console: Any, kept: Any, lines: list[str], *, said: str = "{n_out} of {n_in} records") -> None:
    """Print what a stage left in its folder.

    Args:
        console: Where to.
        kept: The result.
        lines: What stands before it.
        said: How its counts are worded.
    """
    manifest = kept.manifest
    if kept.reused:
        console.note(f"{kept.folder} is there already, of the same settings and data; nothing was done again.")
    failed = ", ".join(f"{count} {reason}" for reason, count in manifest.failed.items())
    done = said.format(n_in=manifest.n_in, n_out=manifest.n_out) + (f"; failed: {failed}" if failed else "")
    value = {"folder": str(kept.folder), "reused": kept.reused, "manifest": manifest}
    value |= {"spent": kept.spent} if kept.spent else {}
    console.result(value, text="\n".join([*lines, f"{kept.folder}: {done}"]))
