import pytest

from pinchtune.records import Message
from pinchtune.sources import pack
from pinchtune.translation.untranslatable import why_untranslatable


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Translate this sentence into French: good morning", "translation"),
        ("Correct the grammar in this text: he go home", "grammar"),
        ("How do you spell necessary?", "spelling"),
        ("Write a rhyming couplet about tea", "rhyme"),
        ("Unscramble these letters: tca", "letters"),
        ("Give me three synonyms for happy", "words"),
        ("What is the past tense of go?", "language"),
    ],
)
def test_a_task_about_the_language_itself_is_found(text, reason):
    assert why_untranslatable([Message(role="user", content=text)]) == reason


@pytest.mark.parametrize(
    "text", ["How do I ripen an avocado?", "Plan a picnic for four.", "Explain compound interest."]
)
def test_an_ordinary_task_is_not(text):
    assert why_untranslatable([Message(role="user", content=text)]) is None


def test_what_the_assistant_says_does_not_count():
    turns = [Message(role="user", content="Tell me something."), Message(role="assistant", content="It rhymes.")]
    assert why_untranslatable(turns) is None


def test_few_conversations_of_the_pack_are_about_language():
    found = [entry.id for entry in pack.entries("en") if why_untranslatable(entry.turns)]
    assert len(found) <= 12, found
