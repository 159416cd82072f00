import time

import pytest

from pinchtune.cli import console as consoles
from pinchtune.cli.console import Console, table
from pinchtune.errors import PinchError
from pinchtune.study.executors.folders import Folder
from pinchtune.study.run import run_graph
from tests.cli.terminal import terminal
from tests.study.executors import doings
from tests.study.executors.doings import graph


def test_a_table_aligns_words_left_and_numbers_right():
    assert table(["language", "n"], [["Finnish", 5], ["Arabic", 12]]) == (
        "language   n\n--------  --\nFinnish    5\nArabic    12"
    )


def test_results_go_to_standard_output_and_notes_to_standard_error(capsys):
    console = Console()
    console.note("a note")
    console.result({"a": 1}, text="done")
    out, err = capsys.readouterr()
    assert (out, err) == ("done\n", "a note\n")


def test_quiet_shows_neither_notes_nor_bars(capsys):
    console = Console(quiet=True)
    console.note("a note")
    with console.bar("work") as advance:
        advance(0.5)
    console.begin(2, 1, cost=5)
    console.step("tune/pinch", 5)
    console.done("tune/pinch", 12.0, None)
    console.stop()
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------- studies


def test_without_a_terminal_each_step_is_a_line_when_it_begins_and_one_when_it_ends(capsys):
    console = Console()
    console.begin(4, 1, cost=10)
    console.step("tune/pinch", 5)
    console.step("mix/a", 1)
    console.running({"tune/pinch": 0.5, "mix/a": 0.2})
    console.done("mix/a", 0.3, None)
    console.done("tune/pinch", 12.0, "no memory")
    console.stop()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 4 steps are there already and are not done again.",
        "  tune/pinch ...",
        "  mix/a ...",
        "  mix/a: 0.3 s",
        "  tune/pinch: failed after 12 s",
    ]


def test_steps_done_by_several_workers_are_told_of_in_plain_lines(tmp_path, capsys):
    made = graph(("mix/a",), ("mix/b",), ("tune/c", "mix/a"))
    run_graph(made, Folder(tmp_path), reporter=Console(), jobs=2, do=doings.slowly)
    said = capsys.readouterr().err
    assert "\x1b" not in said
    lines = said.splitlines()
    assert lines[:2] == ["  mix/a ...", "  mix/b ..."]
    for name, step in made.steps.items():
        begun = lines.index(f"  {name} ...")
        ended = next(place for place, line in enumerate(lines) if line.startswith(f"  {name}: "))
        assert begun < ended
        assert all(lines.index(f"  {one} ...") < begun for one in step.inputs)


def percents(screen):
    return {
        line.split("  ")[0].split(" ━")[0].strip(): line.split("%")[0].split()[-1] for line in screen if "%" in line
    }


def test_on_a_terminal_every_running_step_has_a_line_of_its_own():
    with terminal() as seen:
        console = Console()
        console.begin(3, 0, cost=10)
        console.step("tune/a", 4)
        console.step("tune/b", 4)
        console.running({"tune/a": 0.5, "tune/b": 0.25})
        console.start().refresh()
        console.done("tune/a", 6, None)
        console.step("mix/c", 2)
        console.running({"tune/b": 0.5, "mix/c": 0.5})
        console.start().refresh()
        console.done("mix/c", 0.1, None)
        console.done("tune/b", 7, None)
        console.stop()
    screens = [percents(screen) for screen in seen.screens()]
    # 4 x 0.5 + 4 x 0.25 of 10; then 4 + 4 x 0.5 + 2 x 0.5.
    assert {"all steps": "30", "tune/a": "50", "tune/b": "25"} in screens
    assert {"all steps": "70", "tune/b": "50", "mix/c": "50"} in screens
    assert screens[-1] == {"all steps": "100"}
    # Slow steps stay readable above the bars; quick ones leave nothing.
    assert seen.screens()[-1][:2] == ["  tune/a: 6.0 s", "  tune/b: 7.0 s"]


def test_one_step_at_a_time_moves_by_itself():
    with terminal() as seen:
        console = Console()
        console.begin(1, 0, cost=4)
        console.step("tune/a", 4)
        console.advance(0.5)
        console.start().refresh()
        console.stop()
    assert percents(seen.screens()[-1]) == {"all steps": "50", "tune/a": "50"}


# ------------------------------------------------------------------------------------------- single stages


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_no_bar_stands_before_an_error_in_an_argument(seconds, monkeypatch):
    monkeypatch.setattr(consoles, "PATIENCE", 0.1)
    with terminal() as seen:
        with pytest.raises(PinchError), Console().bar("judging"):
            time.sleep(seconds)  # a model is being loaded: the bar is drawn, and taken back
            raise PinchError("There is no such file.")
        Console().note("pinch: There is no such file.")
    assert seen.screens()[-1] == ["pinch: There is no such file."]
    drawn = any("judging" in line for screen in seen.screens() for line in screen)
    assert drawn == (seconds > 0)


def test_work_that_fails_half_way_leaves_its_bar():
    with terminal() as seen, pytest.raises(ZeroDivisionError), Console().bar("judging") as advance:
        advance(0.5)
        raise ZeroDivisionError
    assert percents(seen.screens()[-1]) == {"judging": "50"}


def test_without_a_terminal_there_are_no_bars(capsys):
    with Console().bar("judging") as advance:
        advance(1.0)
    assert capsys.readouterr().err == ""
