import pytest

from pinchtune.judging.judge import JudgeFailure, open_judge
from tests.conftest import answer, prompt

QUESTION = prompt(
    "a", "fi", "Miten munat keitetään?", "Keitä munia kahdeksan minuuttia ja jäähdytä ne kylmässä vedessä."
)
NEAR = "Keitä munia noin kahdeksan minuuttia, jäähdytä sitten kylmässä vedessä."
FAR = "Auringon valo on lämmintä, ja linnut laulavat puutarhassa koko päivän."
ENGLISH = "Boil the eggs for eight minutes and cool them in cold water afterwards."


@pytest.fixture(scope="module")
def judge():
    return open_judge("reference", languages=["fi"])


def choice(judge, first, second):
    return judge.judge(QUESTION, answer("a", "fi", "x", first), answer("a", "fi", "y", second)).choice


def test_the_answer_nearer_to_the_reference_wins_in_either_order(judge):
    assert choice(judge, NEAR, FAR) == "first"
    assert choice(judge, FAR, NEAR) == "second"


def test_the_wrong_language_loses_however_good_the_answer(judge):
    assert choice(judge, ENGLISH, FAR) == "second"
    assert choice(judge, FAR, ENGLISH) == "first"


def test_within_the_margin_the_first_shown_is_preferred_so_that_both_orders_make_a_tie():
    wide = open_judge("reference", languages=["fi"], margin=100.0)
    assert choice(wide, NEAR, FAR) == "first"
    assert choice(wide, FAR, NEAR) == "first"
    assert wide.name == "reference-chrf++-m100"


def test_an_empty_answer_loses_to_one_with_a_word_of_the_reference(judge):
    assert choice(judge, "", NEAR) == "second"


def test_a_prompt_without_reference_is_no_verdict(judge):
    with pytest.raises(JudgeFailure, match="no_reference"):
        judge.judge(prompt("a", "fi", reference=None), answer("a", "fi"), answer("a", "fi"))


def test_the_reply_keeps_the_reasons(judge):
    made = judge.judge(QUESTION, answer("a", "fi", "x", ENGLISH), answer("a", "fi", "y", NEAR))
    assert "chrF++" in made.reply
    assert "in fi: no and yes" in made.reply
