import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.sources.shapes import ShapeError, to_example

ROWS = {
    "messages": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello"},
    "prompt-completion": {"prompt": "Hi", "completion": "Hello"},
    "conversational prompt-completion": {
        "prompt": [{"role": "user", "content": "Hi"}],
        "completion": [{"role": "assistant", "content": "Hello"}],
    },
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_shape_gives_the_same_example(row):
    made = to_example(row, language="en", source="test")
    assert [(turn.role, turn.content) for turn in made.messages] == [("user", "Hi"), ("assistant", "Hello")]
    assert made.id == to_example(ROWS["messages"], language="en", source="other").id


def test_an_alpaca_input_follows_the_instruction():
    row = {"instruction": "Sum up.", "input": "A long text.", "output": "Short."}
    assert to_example(row, language="en", source="t").prompt[0].content == "Sum up.\n\nA long text."


def test_a_row_may_name_its_language_and_id():
    made = to_example(ROWS["alpaca"] | {"lang": "FI", "id": 7}, language="en", source="t")
    assert (made.language, made.id) == ("fi", "7")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "Hi"}, "has the keys 'text'; needs"),
        ({}, "has the keys none"),
        ({"messages": "Hi"}, "must be a list of turns, got str"),
        ({"messages": [{"role": "user"}]}, "turn 1 of 'messages' needs 'role' and 'content'"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "turn 1 of 'messages': Invalid enum value 'bot'"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "must alternate user, assistant"),
        ({"messages": []}, "got none"),
        ({"instruction": "Hi", "output": 3}, "'output' must be text, got int"),
        ({"instruction": "Hi", "output": "  "}, "the response is empty"),
        ({"instruction": "Hi", "output": "x", "language": "klingonish"}, "not a language tag"),
        ({"instruction": "Hi \ud800", "output": "x"}, "turn 1 holds half of a surrogate pair"),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_reason(row, words):
    with pytest.raises(ShapeError, match=words):
        to_example(row, language="en", source="t")


def test_a_row_without_language_says_what_to_give():
    with pytest.raises(ShapeError, match="--language en"):
        to_example(ROWS["alpaca"], language=None, source="t")


@given(
    st.dictionaries(
        st.sampled_from(
            ["messages", "conversations", "prompt", "completion", "instruction", "output", "input", "language", "id"]
        ),
        st.none() | st.text() | st.integers() | st.lists(st.dictionaries(st.text(), st.text())),
    )
)
def test_any_row_is_an_example_or_a_reason(row):
    try:
        made = to_example(row, language="en", source="t")
    except ShapeError as error:
        assert str(error)
    else:
        assert made.messages[-1].role == "assistant"
