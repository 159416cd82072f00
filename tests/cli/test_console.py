from pinchtune.cli.console import Console, table


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


def test_a_study_shows_what_it_reuses_and_each_slow_step(capsys):
    console = Console()
    console.begin(3, 1, cost=10)
    console.step("tune/pinch", 5)
    console.advance(0.5)
    console.done("tune/pinch", 12.0, None)
    console.stop()
    assert "1 of 3 steps are there already" in capsys.readouterr().err


def test_quiet_shows_neither_notes_nor_bars(capsys):
    console = Console(quiet=True)
    console.note("a note")
    with console.bar("work") as advance:
        advance(0.5)
    assert capsys.readouterr().err == ""
