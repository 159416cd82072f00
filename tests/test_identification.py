import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.identification import Identifier, long_enough, strip_unspoken
from pinchtune.sources import pack


@pytest.fixture(scope="module")
def identifier():
    return Identifier()


def test_an_answer_in_the_wrong_language_is_told(identifier):
    said = identifier.check("This is an English sentence in the place of a Finnish one.", "fi")
    assert (said.expected, said.found) == (False, "en")


def test_an_answer_in_the_right_language_is_told(identifier):
    assert identifier.check("Tämä on suomenkielinen lause, jossa on sanoja.", "fi").expected is True


def test_code_and_addresses_say_nothing(identifier):
    code = "```python\nfor item in items:\n    print(item)\n```\nSee https://example.org/how-to-write-loops"
    assert identifier.check(code, "fi").reason == "too_short"
    assert identifier.check(f"Näin se onnistuu helposti ja nopeasti:\n{code}", "fi").expected is True


def test_text_quoted_from_the_prompt_is_left_out():
    quoted = "The quick brown fox jumps over the lazy dog."
    assert quoted not in strip_unspoken(f"Käännös:\n{quoted}", prompt=f"Käännä:\n{quoted}")


def test_a_few_letters_are_too_short_to_tell(identifier):
    assert identifier.check("42", "fi").reason == "too_short"
    assert identifier.check("", "fi").reason == "too_short"
    assert not long_enough("Yes indeed")
    assert long_enough("这是一个很短的句子")


def test_a_language_that_no_identifier_knows_is_said_so(identifier):
    assert identifier.check("Dudu ya mwavuli inakwenda nyumbani kwake leo.", "bem").reason == "unsupported_language"


def test_serbian_in_latin_letters_is_not_held_against_it(identifier):
    latin = "Ovo je rečenica na srpskom jeziku, napisana latinicom, i sasvim je obična."
    assert identifier.check(latin, "sr").expected is True


def test_a_wrong_language_of_the_pack_is_not_accepted(identifier):
    wrong = [
        (tag, other)
        for tag, other in [("fi", "et"), ("es", "it"), ("ru", "cs"), ("ar", "he"), ("en", "sw"), ("zh", "en")]
        for entry in pack.entries(tag)[:25]
        if identifier.check(entry.turns[-1].content, other).expected is True
    ]
    assert len(wrong) <= 1, wrong


@given(st.text(max_size=200))
def test_no_text_breaks_the_identifier(text):
    said = Identifier().check(text, "en", prompt=text)
    assert (said.expected is None) == (said.reason is not None)
