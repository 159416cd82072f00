import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.records import Answer, Example, Message, Sampling, Score
from tests.conftest import answer, example, prompt

texts = st.text()


@given(identifier=texts, user=texts, assistant=texts)
def test_a_record_survives_a_line_of_json_whatever_its_text(identifier, user, assistant):
    record = example(identifier, "en", user, assistant)
    assert msgspec.json.decode(msgspec.json.encode(record), type=Example) == record


def test_a_record_is_frozen():
    with pytest.raises(AttributeError):
        example("a").id = "b"


def test_an_unknown_key_is_refused():
    with pytest.raises(msgspec.ValidationError, match="langauge"):
        msgspec.json.decode(b'{"id":"a","langauge":"en","messages":[]}', type=Example)


def test_an_example_knows_its_prompt_and_its_response():
    one = example("a", user="Why?", assistant="Because.")
    assert one.prompt == (Message(role="user", content="Why?"),)
    assert one.response == "Because."
    assert prompt("p", text="Why?").instruction == "Why?"


@pytest.mark.parametrize("wrong", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_sampling_that_no_engine_can_mean_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Sampling(**wrong)


def test_to_dict_holds_defaults_and_plain_values():
    assert answer("a").to_dict()["stop_reason"] == "stop"
    assert answer("a").to_dict()["engine"] == ""
    assert prompt("a").to_dict() == {
        "id": "a",
        "language": "en",
        "messages": [{"role": "user", "content": "A question?"}],
        "reference": "An answer.",
        "category": None,
    }


def test_an_empty_answer_is_an_answer():
    assert msgspec.json.decode(msgspec.json.encode(answer("a", text="")), type=Answer).text == ""


def test_a_score_without_denominators_cannot_be_made():
    with pytest.raises(TypeError, match="n_asked"):
        Score(metric="m", language="en", model="x", value=0.5, low=0.4, high=0.6)
