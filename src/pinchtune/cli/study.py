"""`pinch quickstart`, `pinch study ...`, `pinch report`, `pinch recipe ...`, `pinch engines`.

A run folder is a path, or a URL of fsspec as `pinchtune.study.run` takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, quiet_libraries, table
from pinchtune.errors import PinchError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinchtune.judging.tally import Price
    from pinchtune.recipe import Recipe
    from pinchtune.study.calibrate import Calibration
    from pinchtune.study.plan import Plan
    from pinchtune.study.run import Ran

#: States of a step that a run does not do again.
THERE = ("done", "linked")

recipe_app = typer.Typer(help="Recipes: the files that describe a study.", no_args_is_help=True, rich_markup_mode=None)
study_app = typer.Typer(help="Run a whole study from one recipe.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands of whole studies to the app."""
    app.command()(quickstart)
    app.add_typer(study_app, name="study")
    app.command()(report)
    app.command()(engines)


def quickstart(
    output: options.RunFolder = "pinchtune-quickstart",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random choice; kept in the manifests.")] = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a small model with and without a pinch, compare the two in 12 languages, and write a report.

    Needs no key, no model hub and no GPU. Run it again: what is finished is not done again.

    Example: pinch quickstart --output runs/first
    """
    from pinchtune import recipe

    loaded, console = recipe.load("quickstart", seed=seed), Console(quiet=quiet, as_json=as_json)
    if dry_run:
        _stand(loaded, output, console)
    else:
        _run(loaded, output, console)


@study_app.command("run")
def run_study(
    recipe: options.Recipe,
    output: options.RunFolderOfName = None,
    seed: options.RecipeSeed = None,
    executor: Annotated[str, typer.Option(help="local, or ray: the cluster that `ray.init` finds.")] = "local",
    jobs: Annotated[int, typer.Option(min=1, help="local: steps at once, each in a process of its own.")] = 1,
    only: options.Only = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a recipe: what is there is kept, the rest is done, and a report is written.

    A step that fails stops only the steps that need it; run again, and what failed is tried again.

    \b
    Examples:
        pinch study run my-study.yaml --output runs/mine
        pinch study run pack/all --only pinch --jobs 2
    """
    loaded, console = _chosen(recipe, seed, only), Console(quiet=quiet, as_json=as_json)
    if dry_run:
        _stand(loaded, _folder(output, loaded), console)
    else:
        _run(loaded, _folder(output, loaded), console, executor=executor, jobs=jobs)


@study_app.command()
def status(
    recipe: options.Recipe,
    output: options.RunFolderOfName = None,
    seed: options.RecipeSeed = None,
    only: options.Only = None,
    as_json: options.Json = False,
) -> None:
    """Say which steps of a recipe are done, failed and why, unfinished, or still to do.

    Example: pinch study status my-study.yaml --output runs/mine
    """
    loaded = _chosen(recipe, seed, only)
    _stand(loaded, _folder(output, loaded), Console(as_json=as_json))


def _chosen(recipe: str, seed: int | None, only: str | None) -> Recipe:
    from pinchtune import recipe as recipes
    from pinchtune.study.run import only_experiment

    loaded = recipes.load(recipe, seed=seed)
    return loaded if only is None else only_experiment(loaded, only)


def _folder(output: str | None, recipe: Recipe) -> str:
    # Of an experiment alone, the recipe keeps its name, and so its folder.
    return output or f"runs/{recipe.name}"


def _stand(recipe: Recipe, folder: str, console: Console) -> None:
    """Print what is there and what a run would do."""
    from pinchtune.study.run import status

    found = status(recipe, folder)
    left = [one for one in found.steps if one.state not in THERE]
    rows = [[one.step, one.state, one.reason or ""] for one in left]
    counts = ", ".join(f"{count} {state}" for state, count in found.counts.items())
    lines = [table(["step", "state", "why"], rows)] if rows else []
    lines.append(f"{len(found.steps) - len(left)} there, {len(left)} to do: {counts}")
    console.result(found, text="\n".join(lines))


@study_app.command()
def show(
    step: Annotated[str, typer.Argument(help="A finished step, such as answer/pinch/fi.")],
    output: options.RunFolder,
) -> None:
    """Print a finished step's manifest as JSON: its settings, inputs, counts, seeds and library versions.

    Example: pinch study show tune/pinch --output runs/mine
    """
    from pinchtune.study import run as runs

    Console(as_json=True).result(runs.show(output, step), text="")


@study_app.command()
def clean(
    recipes: Annotated[list[str], typer.Argument(help="All recipes that still count, the folder's own among them.")],
    output: options.RunFolder,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without this, only what would go is shown.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove the steps of a run folder that no recipe needs. Shows what would go, unless told --yes.

    Example: pinch study clean my-study.yaml --output runs/mine --yes
    """
    from pinchtune import recipe as loading
    from pinchtune.study import run as runs

    found = runs.clean(output, [loading.load(one) for one in recipes], dry_run=not yes)
    word = "removed" if yes else "would be removed: add --yes"
    Console(as_json=as_json).result(
        {"steps": found, "removed": yes}, text="\n".join([*found, f"{len(found)} steps {word}."])
    )


@study_app.command("plan")
def plan_study(
    recipe: options.Recipe,
    output: options.RunFolderOfName = None,
    seed: options.RecipeSeed = None,
    only: options.Only = None,
    prices: options.Prices = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine first: tune for some steps and answer.")
    ] = False,
    dot: Annotated[bool, typer.Option("--dot", help="Print the graph for Graphviz instead.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count what a recipe would do: models, answers, judge calls, time, money, and what is there already.

    \b
    Examples:
        pinch study plan paper/all
        pinch study plan paper/all --only bilingual --prices prices.yaml
        pinch study plan my-study.yaml --dot | dot -Tsvg > graph.svg
    """
    from pinchtune import experiments
    from pinchtune import recipe as recipes
    from pinchtune.cli.plan_text import plan_text

    loaded = recipes.load(recipe, seed=seed)
    console = Console(quiet=quiet, as_json=as_json)
    if only is not None:
        if not loaded.experiments:
            raise PinchError(f"{recipe} has no experiments.", hint="Leave --only away.")
        if only not in loaded.experiments:
            raise PinchError(f"{recipe} has no experiment {only!r}.", hint=did_you_mean(only, loaded.experiments))
        loaded = experiments.only(loaded, only)
    folder = _folder(output, loaded)
    if dot:
        from pinchtune.study.dot import dot as drawn
        from pinchtune.study.graph import build

        text = drawn(build(loaded), _there(loaded, folder))
        console.result({"dot": text}, text=text)
        return
    from pinchtune.judging.prices import read_prices

    known = read_prices(prices) if prices is not None else {}
    speeds = _speeds(loaded, console) if calibrate else None
    made = _planned(loaded, folder, known, speeds)
    console.result(made.to_dict() | {"total_seconds": made.total_seconds}, text=plan_text(made))


def _there(recipe: Recipe, folder: str) -> set[str]:
    from pinchtune.study.run import status

    return {one.step for one in status(recipe, folder).steps if one.state in THERE}


def _planned(recipe: Recipe, folder: str, prices: Mapping[str, Price], speeds: Calibration | None) -> Plan:
    from pinchtune.study import plan as planning

    if not _is_url(folder):
        return planning.plan(recipe, Path(folder), prices=prices, calibration=speeds)
    from pinchtune.study.executors.remote import open_place

    # What is there is asked of the URL; how long texts are is known of those that this machine has.
    planner = planning._Planner(recipe, open_place(folder).working(), prices, speeds)
    planner.there = _there(recipe, folder)
    return planner.plan()


def _is_url(folder: str) -> bool:
    return "://" in folder


def _speeds(recipe: Recipe, console: Console) -> Calibration:
    from pinchtune.study.calibrate import calibrate

    quiet_libraries()
    return calibrate(recipe, on_note=console.note)


def _run(recipe: Recipe, folder: str, console: Console, *, executor: str = "local", jobs: int = 1) -> None:
    if folder.startswith("memory://") and (executor != "local" or jobs > 1):
        raise PinchError(
            "A run folder at memory:// is in the memory of this process, where other processes cannot reach it.",
            hint="Leave --jobs and --executor away, or choose another --output, such as s3://bucket/runs/mine.",
        )
    from pinchtune.study.run import run

    quiet_libraries()
    try:
        ran = run(recipe, folder, reporter=console, executor=executor, jobs=jobs)
    finally:
        console.stop()
    _tell(ran, folder, console)


def _tell(ran: Ran, folder: str, console: Console) -> None:
    from pinchtune.records import Score
    from pinchtune.report.summary import gains, summary_table
    from pinchtune.store import read_records

    page = (ran.folder / "report" / "index.html").resolve()
    scores = list(read_records(ran.folder / "scores.jsonl", Score))
    named = folder.rstrip("/") if _is_url(folder) else str(ran.folder)
    lines = [table(*summary_table(scores)), "", *gains(scores), f"The report: {page}"]
    if _is_url(folder):
        lines.append(f"It is also there: {named}/report/index.html")
    value = {"folder": named, "report": str(page), "done": ran.done, "reused": ran.reused, "scores": scores}
    console.result(value, text="\n".join(lines))


def report(
    context: typer.Context,
    run_folder: Annotated[str | None, typer.Argument(help="A run folder of `pinch quickstart` or `study run`.")] = None,
    prompts: Annotated[str, typer.Option(help="Without a run folder: pack, or a file of prompts.")] = "pack",
    answers: options.OptionalAnswers = None,
    verdicts: options.Verdicts = None,
    seen: options.Seen = "",
    title: Annotated[str, typer.Option(help="Of the page.")] = "Side by side",
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the page.")] = "report",
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the page of a run folder again, or of answers and verdicts from anywhere.

    \b
    Examples:
        pinch report runs/first
        pinch report --prompts pack --answers answers/pinch --answers answers/english --verdicts verdicts -o report
    """
    console = Console(quiet=quiet, as_json=as_json)
    if run_folder is not None:
        _report_again(run_folder, context, console)
        return
    from pinchtune import languages
    from pinchtune.report.page import Page, write_page
    from pinchtune.study import reading, single, work

    if not answers:
        raise PinchError("A page shows a run folder, or answers.", hint="pinch report --help")
    if _is_url(output):
        raise PinchError(f"{output}: a page of answers is written to this machine.", hint="--output FOLDER")
    tags = [language.tag for language in languages.parse_list(seen)]
    inputs = single.gather(reading.read_prompts(prompts), answers, verdicts or [], seen=tags)
    asked = {(one.id, one.language) for one in inputs.answers}
    scores, outcomes = work.score(inputs, seed=seed)
    page = Page(
        title=title,
        seed=seed,
        models=list(inputs.seen),
        comparisons=[(one.candidate, one.baseline) for one in inputs.comparisons],
        prompts=[one for one in inputs.prompts if (one.id, one.language) in asked],
        answers=inputs.answers,
        identified=inputs.identified,
        outcomes=outcomes,
        scores=scores,
        verdicts=inputs.verdicts,
        seen=inputs.seen,
    )
    path = write_page(page, Path(output)).resolve()
    console.result({"report": str(path), "scores": scores}, text=f"The report: {path}")


def _report_again(run_folder: str, context: typer.Context, console: Console) -> None:
    from pinchtune.study.run import report_again

    own = ("prompts", "answers", "verdicts", "seen", "title", "output", "seed")
    if given := [f"--{one}" for one in own if getattr(context.get_parameter_source(one), "name", "") == "COMMANDLINE"]:
        raise PinchError(
            f"The page of a run folder is its study's own: it takes no {' and no '.join(given)}.",
            hint=f"pinch report {run_folder}",
        )
    quiet_libraries()
    try:
        ran = report_again(run_folder, reporter=console)
    finally:
        console.stop()
    _tell(ran, run_folder, console)


def engines(as_json: options.Json = False) -> None:
    """List the generation engines, judges and translation engines by name, without importing any."""
    from pinchtune import plugins

    found = {kind: plugins.names(kind) for kind in ("engines", "judges", "translators")}
    rows = [(kind, name, value) for kind, table_ in found.items() for name, value in table_.items()]
    Console(as_json=as_json).result(found, text=table(["kind", "name", "where"], rows))


@recipe_app.command("schema")
def recipe_schema() -> None:
    """Print the JSON Schema of a recipe, for editors and scripts."""
    from pinchtune import recipe

    typer.echo(recipe.schema())


@recipe_app.command("check")
def recipe_check(
    recipe: Annotated[str, typer.Argument(help="A recipe's path.")], as_json: options.Json = False
) -> None:
    """Check a recipe and print all its faults at once.

    Example: pinch recipe check my-study.yaml
    """
    from pinchtune import recipe as recipes

    loaded = recipes.load(recipe)
    Console(as_json=as_json).result(loaded.model_dump(mode="json"), text=f"{recipe}: a valid recipe, {loaded.name!r}.")


@recipe_app.command("list")
def recipe_list(as_json: options.Json = False) -> None:
    """List the recipes that come with pinchtune."""
    from pinchtune import recipe

    found = {name: str(path) for name, path in recipe.shipped().items()}
    Console(as_json=as_json).result(found, text=table(["recipe", "path"], list(found.items())))
