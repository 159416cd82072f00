import pytest

from pinchtune.records import Score
from pinchtune.report.summary import MANY, comparisons_table, summary_table


def score(model, baseline, language, value):
    return Score(
        metric="side_by_side",
        model=model,
        baseline=baseline,
        judge="reference",
        language=language,
        value=value,
        low=value,
        high=value,
        n_asked=2,
        n_answered=2,
        n_judged=2,
    )


def test_of_many_comparisons_those_with_the_monolingual_models_are_shown_a_row_each():
    scores = [
        score("small", "english", "fi", 0.9),
        score("small", "monolingual", "all", 0.5),
        score("small", "monolingual", "fi", 0.25),
        score("large", "monolingual", "sw", 0.75),
    ]
    header, rows = comparisons_table(scores)
    assert header == ["side by side", "Finnish", "Swahili", "All languages"]
    assert rows == [
        ["small against monolingual, %", "25.0", "", "50.0"],
        ["large against monolingual, %", "", "75.0", ""],
    ]


@pytest.mark.parametrize("baseline", ["english", "base"])
def test_without_monolingual_models_every_comparison_has_its_row(baseline):
    _, rows = comparisons_table([score("small", baseline, "fi", 0.9), score("large", baseline, "fi", 0.1)])
    assert [row[0] for row in rows] == [f"small against {baseline}, %", f"large against {baseline}, %"]


def test_the_table_turns_where_there_are_many_comparisons():
    few = [score(f"model-{number}", "english", "fi", 0.5) for number in range(MANY)]
    assert summary_table(few)[0][0] == "language"
    assert summary_table([*few, score("one-more", "english", "fi", 0.5)])[0][0] == "side by side"
