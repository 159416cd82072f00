"""What the command line shows: progress bars with the remaining time, notes, small tables, JSON for machines."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import typer

#: Seconds that a bar waits to be drawn where nothing has moved: a refused argument is told of before there is any.
PATIENCE = 1.0
#: Seconds of a step that is worth a line of its own on a terminal.
SLOW = 5.0


@dataclasses.dataclass(slots=True)
class Running:
    """A step of a study that is under way."""

    cost: float
    #: Of the live display, where there is one.
    line: Any = None
    fraction: float = 0.0


class Console:
    """Progress and notes on standard error, results on standard output.

    A person at a terminal sees a bar for the whole and a line for each running step; elsewhere a line is written
    whenever a step of a study begins or ends.

    Args:
        quiet: Show neither progress nor notes.
        as_json: Print results as JSON.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._progress: Any = None
        self._whole: Any = None
        self._running: dict[str, Running] = {}
        self._done_cost = 0.0

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
        """Open the live display and return it; None where no person sees it."""
        if self._progress is None and self._live():
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=RichConsole(stderr=True),
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
        """Show a bar with the remaining time while the block runs; yields a function that takes 0 to 1.

        It is drawn once something has moved, or after a while; a block that fails before leaves none.
        """
        progress = self.start()
        if progress is None:
            yield lambda _: None
            return
        line = progress.add_task(label, total=1.0, visible=False)
        late = threading.Timer(PATIENCE, progress.update, (line,), {"visible": True})
        late.daemon = True
        late.start()
        moved = False

        def advance(fraction: float) -> None:
            nonlocal moved
            moved = True
            progress.update(line, completed=fraction, visible=True)

        try:
            yield advance
        except BaseException:
            late.cancel()
            progress.update(line, visible=moved)
            raise
        finally:
            late.cancel()
            self.stop()

    # -- the reporter of a study (pinchtune.study.progress.Reporter)

    def begin(self, n_steps: int, n_reused: int, cost: float) -> None:
        """Open the bar of a study."""
        if n_reused:
            self.note(f"{n_reused} of {n_steps} steps are there already and are not done again.")
        self._done_cost = 0.0
        self._running.clear()
        if n_reused < n_steps and (progress := self.start()) is not None:
            self._whole = progress.add_task("all steps", total=cost)

    def step(self, name: str, cost: float) -> None:
        """Begin a step: a line of its own."""
        self._running[name] = Running(cost)
        if self._progress is not None:
            self._running[name].line = self._progress.add_task(name, total=1.0)
        else:
            self.note(f"  {name} ...")

    def advance(self, fraction: float) -> None:
        """Move the only running step; of several, `running` tells which."""
        if len(self._running) == 1:
            self.running(dict.fromkeys(self._running, fraction))

    def running(self, fractions: Mapping[str, float]) -> None:
        """Move the lines of running steps, and the bar of them all."""
        for name, fraction in fractions.items():
            if name in self._running:
                self._running[name].fraction = fraction
        if self._progress is None:
            return
        for one in self._running.values():
            self._progress.update(one.line, completed=one.fraction)
        under_way = sum(one.fraction * one.cost for one in self._running.values())
        self._progress.update(self._whole, completed=self._done_cost + under_way)

    def done(self, name: str, seconds: float, error: str | None) -> None:
        """End a step."""
        ended = self._running.pop(name)
        self._done_cost += ended.cost
        if self._progress is not None:
            self._progress.remove_task(ended.line)
        self.running({})
        time = f"{seconds:.{0 if seconds >= 10 else 1}f} s"
        if error is not None:
            self.note(f"  {name}: failed after {time}")
        elif self._progress is None or seconds >= SLOW:
            self.note(f"  {name}: {time}")

    def _live(self) -> bool:
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def quiet_libraries() -> None:
    """Keep transformers' and others' notices off a user's terminal; our own say what matters."""
    import logging
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
