"""`pinch quickstart`, `pinch study run`, `pinch report`, `pinch recipe ...`, `pinch engines`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pinchtune.cli.console import Console, JsonOption, QuietOption, quiet_libraries, table

if TYPE_CHECKING:
    from pinchtune.recipe import Recipe

recipe_app = typer.Typer(help="Recipes: the files that describe a study.", no_args_is_help=True, rich_markup_mode=None)
study_app = typer.Typer(help="Run a whole study from one recipe.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands of whole studies to the app."""
    app.command()(quickstart)
    app.add_typer(study_app, name="study")
    app.command()(report)
    app.command()(engines)


def quickstart(
    output: Annotated[str, typer.Option("--output", "-o", help="Run folder.")] = "pinchtune-quickstart",
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice; kept in the manifests.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the steps and leave.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tune a small model with and without a pinch, compare the two in 12 languages, and write a report.

    Needs no key, no model hub and no GPU. Run it again: what is finished is not done again.

    Example: pinch quickstart --output runs/first
    """
    from pinchtune import recipe

    _run(recipe.load("quickstart", seed=seed), output, dry_run=dry_run, as_json=as_json, quiet=quiet)


@study_app.command("run")
def run_study(
    recipe: Annotated[str, typer.Argument(help="A recipe's path, or the name of a shipped one.")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="Run folder [default: runs/NAME].")] = None,
    seed: Annotated[int | None, typer.Option(help="In the place of the recipe's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the steps and leave.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a recipe: what is there is kept, the rest is done, and a report is written.

    Example: pinch study run my-study.yaml --output runs/mine
    """
    from pinchtune import recipe as recipes

    loaded = recipes.load(recipe, seed=seed)
    _run(loaded, output or f"runs/{loaded.name}", dry_run=dry_run, as_json=as_json, quiet=quiet)


def _run(recipe: Recipe, output: str, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    from pinchtune.records import Score
    from pinchtune.store import read_manifest, read_records

    folder = Path(output)
    console = Console(quiet=quiet, as_json=as_json)
    if dry_run:
        from pinchtune.study.graph import build

        steps = build(recipe).steps.values()
        manifests = {step.name: read_manifest(folder / step.name) for step in steps}
        state = {
            step.name: "there" if (m := manifests[step.name]) is not None and m.key == step.key else "to do"
            for step in steps
        }
        console.result(state, text=table(["step", "state"], list(state.items())))
        return
    quiet_libraries()
    from pinchtune.study.run import run

    try:
        ran = run(recipe, folder, reporter=console)
    finally:
        console.stop()
    page = (folder / "report" / "index.html").resolve()
    scores = list(read_records(folder / "scores.jsonl", Score))
    console.result(
        {"folder": str(folder), "report": str(page), "done": len(ran.done), "reused": len(ran.reused), "scores": scores},
        text=f"{summary(recipe, scores)}\n\nThe report: {page}",
    )


def summary(recipe: Recipe, scores: list[Score]) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Return the short table of a study: side by side and language fidelity per language and mean."""
    from pinchtune.report.pictures import label
    from pinchtune.report.tables import percent, span

    names = recipe.models
    parts = []
    for one in recipe.comparisons:
        side = {s.language: s for s in scores if s.metric == "side_by_side" and s.model == one.candidate
                and s.baseline == one.baseline}
        rows = []
        for tag in dict.fromkeys(s.language for s in scores if s.metric == "language_fidelity"):
            fidelity = {s.model: s for s in scores if s.metric == "language_fidelity" and s.language == tag}
            row: list[object] = [label(tag)]
            row += [percent(side[tag].value), span(side[tag])] if tag in side else ["", ""]
            row += [percent(fidelity[name].value) if name in fidelity else "" for name in names]
            rows.append(row)
        header = ["", f"{one.candidate} vs {one.baseline} %", "95% interval", *(f"fidelity {n} %" for n in names)]
        parts.append(table(header, rows))
        gains = [s for s in scores if s.metric == "language_fidelity_gain" and s.model == one.candidate
                 and s.baseline == one.baseline and s.language in ("non_english", "seen", "unseen")]
        parts += [
            f"Language fidelity gained, {label(s.language).lower()}: {100 * s.value:+.1f} points [{span(s)}]"
            for s in gains
        ]
    return "\n".join(parts)


def report(
    run_folder: Annotated[str, typer.Argument(help="A run folder of `pinch quickstart` or `pinch study run`.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the report of a run folder again, from what is in it; steps that are missing are done first.

    Example: pinch report runs/first
    """
    import json
    import shutil

    from pinchtune import recipe
    from pinchtune.errors import DataError

    folder = Path(run_folder)
    path = folder / "recipe.json"
    if not path.is_file():
        raise DataError(folder, None, "is not a run folder: it has no recipe.json.", hint="Give a study's --output.")
    loaded = recipe.parse(json.loads(path.read_text(encoding="utf-8")), source=path)
    shutil.rmtree(folder / "report", ignore_errors=True)
    _run(loaded, run_folder, dry_run=False, as_json=as_json, quiet=quiet)


def engines(as_json: JsonOption = False) -> None:
    """List the generation engines and judges by name, without importing any."""
    from pinchtune import plugins

    found = {kind: plugins.names(kind) for kind in ("engines", "judges")}
    rows = [(kind, name, value) for kind, table_ in found.items() for name, value in table_.items()]
    Console(as_json=as_json).result(found, text=table(["kind", "name", "where"], rows))


@recipe_app.command("schema")
def recipe_schema() -> None:
    """Print the JSON Schema of a recipe, for editors and scripts."""
    from pinchtune import recipe

    typer.echo(recipe.schema())


@recipe_app.command("check")
def recipe_check(recipe: Annotated[str, typer.Argument(help="A recipe's path.")], as_json: JsonOption = False) -> None:
    """Check a recipe and print all its faults at once.

    Example: pinch recipe check my-study.yaml
    """
    from pinchtune import recipe as recipes

    loaded = recipes.load(recipe)
    Console(as_json=as_json).result(loaded.model_dump(mode="json"), text=f"{recipe}: a valid recipe, {loaded.name!r}.")


@recipe_app.command("list")
def recipe_list(as_json: JsonOption = False) -> None:
    """List the recipes that come with pinchtune."""
    from pinchtune import recipe

    found = {name: str(path) for name, path in recipe.shipped().items()}
    Console(as_json=as_json).result(found, text=table(["recipe", "path"], list(found.items())))
