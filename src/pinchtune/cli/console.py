"""What the command line shows: progress bars with the remaining time, notes, small tables, JSON for machines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer

OutputOption = Annotated[str, typer.Option("--output", "-o", help="Folder to write to.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random choice; kept in the manifest.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace another result in the output folder.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]


class Console:
    """Progress and notes on standard error, results on standard output.

    Args:
        quiet: Show neither progress nor notes.
        as_json: Print results as JSON.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._progress: Any = None
        self._steps: Any = None
        self._current: Any = None
        self._cost = self._done_cost = self._step_cost = 0.0

    # -- results

    def result(self, value: object, *, text: str) -> None:
        """Print a result: `value` as JSON if that was asked for, else `text`."""
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n" if self.as_json else text.rstrip("\n") + "\n")

    def note(self, text: str) -> None:
        """Show a sentence."""
        if self.quiet:
            return
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            typer.echo(text, err=True)

    # -- progress

    def start(self) -> Any:
        """Open the live display, where there is a person to see it."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=RichConsole(stderr=True),
                disable=self.quiet,
                # Speeds differ much between kinds of steps: look back over more than the default 30 s.
                speed_estimate_period=600,
            )
            self._progress.start()
        return self._progress

    def stop(self) -> None:
        """Close the live display."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Callable[[float], None]]:
        """Show a bar with the remaining time while the block runs; yields a function that takes 0 to 1."""
        progress = self.start()
        task = progress.add_task(label, total=1.0)
        try:
            yield lambda fraction: progress.update(task, completed=fraction)
        finally:
            self.stop()

    # -- the reporter of a study (pinchtune.study.progress.Reporter)

    def begin(self, n_steps: int, n_reused: int, cost: float) -> None:
        """Open the bars of a study."""
        if n_reused:
            self.note(f"{n_reused} of {n_steps} steps are there already and are not done again.")
        self._cost = cost
        self._done_cost = 0.0
        if n_reused < n_steps:
            progress = self.start()
            self._steps = progress.add_task("all steps", total=cost)
            self._current = progress.add_task("", total=1.0)

    def step(self, name: str, cost: float) -> None:
        """Begin a step."""
        self._step_cost = cost
        if not self._interactive():
            self.note(f"  {name} ...")
        if self._progress is not None:
            self._progress.reset(self._current, description=name, total=1.0)

    def advance(self, fraction: float) -> None:
        """Move both bars."""
        if self._progress is not None:
            self._progress.update(self._current, completed=fraction)
            self._progress.update(self._steps, completed=self._done_cost + fraction * self._step_cost)

    def done(self, name: str, seconds: float, error: str | None) -> None:
        """End a step."""
        self._done_cost += self._step_cost
        self.advance(0.0)
        if error is not None:
            self.note(f"  {name}: failed after {seconds:.0f} s")
        elif seconds >= 5:
            self.note(f"  {name}: {seconds:.0f} s")

    def _interactive(self) -> bool:
        return sys.stderr.isatty()


def quiet_libraries() -> None:
    """Keep transformers' and others' notices off a user's terminal; our own say what matters."""
    import logging
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for category in (FutureWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    logging.getLogger("transformers").setLevel(logging.ERROR)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a plain text table: first column left, others right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = row
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        return "  ".join(padded).rstrip()

    return "\n".join([line(cells[0]), line(["-" * width for width in widths]), *map(line, cells[1:])])
