import pytest

from pinchtune.errors import DataError
from pinchtune.sources import lima

SINGLE = {"conversations": ["How do I boil an egg?", "Eight minutes, then cold water."], "source": "wikihow"}
MULTI = {"conversations": ["Name a tree.", "Oak.", "Another.", "Ash."], "source": "multi_turn"}


def read(*rows, **options):
    return list(lima.read(enumerate(rows, 1), **options))


def test_a_row_becomes_an_english_exchange_with_its_part_of_lima_as_category():
    (made,) = read(SINGLE)
    assert (made.language, made.category, made.source) == ("en", "wikihow", "GAIR/lima")
    assert [(turn.role, turn.content) for turn in made.messages] == [
        ("user", "How do I boil an egg?"),
        ("assistant", "Eight minutes, then cold water."),
    ]


def test_longer_conversations_are_left_out_unless_asked_for():
    assert [len(one.messages) for one in read(SINGLE, MULTI)] == [2]
    assert [len(one.messages) for one in read(SINGLE, MULTI, single_turn=False)] == [2, 4]


def test_a_last_instruction_without_response_is_left_out_of_its_conversation():
    (made,) = read({"conversations": ["Name a tree.", "Oak.", "Another."], "source": "multi_turn"}, single_turn=False)
    assert [turn.content for turn in made.messages] == ["Name a tree.", "Oak."]


def test_the_same_row_has_the_same_id_wherever_it_stands():
    assert read(SINGLE)[0].id == read(MULTI, SINGLE)[0].id


def test_rows_are_read_as_they_are_asked_for():
    def rows():
        yield 1, SINGLE
        raise AssertionError("the second row was read")

    assert next(lima.read(rows())).category == "wikihow"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": []}, "GAIR/lima, line 2: no list of texts in 'conversations'; the keys are 'messages'"),
        ({"conversations": "Hi"}, "line 2: no list of texts"),
        ({"conversations": ["Hi", 3]}, "line 2: no list of texts"),
        ({"conversations": ["Hi"], "source": "test"}, "line 2: has no response"),
        ({"conversations": ["Hi", " "]}, "line 2: the response is empty"),
    ],
)
def test_a_bad_row_is_named_with_its_place_and_reason(row, words):
    with pytest.raises(DataError, match=words) as raised:
        read(SINGLE, row)
    assert "A row of LIMA is" in raised.value.hint


def test_its_licence_must_be_accepted():
    assert lima.SOURCE.gated
    assert "CC BY-NC-SA" in lima.SOURCE.licence
    assert lima.SOURCE.page == "https://huggingface.co/datasets/GAIR/lima"
