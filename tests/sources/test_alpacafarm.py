from pathlib import Path

import pytest

from pinchtune.errors import DataError, PinchError
from pinchtune.sources import alpacafarm
from pinchtune.sources.named import open_source

ROWS = [
    {"instruction": "Name a bird.", "input": "", "output": "A wren.", "generator": "m", "dataset": "koala"},
    {"instruction": "Sum it up.", "input": "A long text.", "output": "Short.", "generator": "m", "dataset": "vicuna"},
    {"instruction": "Tell a joke.", "input": "", "output": "", "generator": "m", "dataset": "oasst"},
]
#: A copy of tatsu-lab/alpaca_eval's results beside the checkout, where there is one; it is no part of this project.
COPY = Path(__file__).parents[3] / "shared/data/alpaca_eval"


def read(rows, **options):
    return list(alpacafarm.read(enumerate(rows, 1), **options))


def test_a_row_becomes_an_english_prompt_with_its_set_as_category():
    first, second, _ = read(ROWS)
    assert (first.language, first.instruction, first.category) == ("en", "Name a bird.", "koala")
    assert second.instruction == "Sum it up.\n\nA long text."


def test_sets_can_be_left_out():
    assert [one.category for one in read(ROWS, without=("oasst",))] == ["koala", "vicuna"]
    assert [one.category for one in read(ROWS, without="oasst")] == ["koala", "vicuna"]


def test_a_set_that_is_none_of_the_five_is_refused_with_the_nearest():
    with pytest.raises(PinchError, match="no set named 'oast'") as raised:
        alpacafarm.read([], without=("oast",))
    assert "Did you mean oasst?" in raised.value.hint


def test_ids_depend_on_the_instruction_alone():
    others = [{"instruction": "Sum it up.\n\nA long text.", "dataset": "vicuna", "output": "Other.", "generator": "n"}]
    assert read(others)[0].id == read(ROWS)[1].id
    assert len({one.id for one in read(ROWS)}) == len(ROWS)


def test_what_a_model_answered_is_a_reference_only_if_asked_for():
    assert [one.reference for one in read(ROWS)] == [None, None, None]
    assert [one.reference for one in read(ROWS, references=True)] == ["A wren.", "Short.", None]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"dataset": "koala"}, "line 4: 'instruction' must be text, got NoneType"),
        ({"dataset": "koala", "instruction": " "}, "line 4: 'instruction' is empty"),
        ({"instruction": "Why?"}, "line 4: 'dataset' must be text"),
        ({"instruction": "Why?", "dataset": "koala", "input": 3}, "line 4: 'input' must be text, got int"),
        ({"instruction": "Why?", "dataset": "koala"}, "line 4: 'output' must be text"),
        (ROWS[0], "line 4: asks what item 1 asks"),
    ],
)
def test_a_bad_row_is_named_with_its_place_and_reason(row, words):
    with pytest.raises(DataError, match=words):
        read([*ROWS, row], references=True)


def test_the_sets_add_up_to_the_papers_numbers():
    assert sum(alpacafarm.SUBSETS.values()) == 805
    assert sum(alpacafarm.SUBSETS.values()) - alpacafarm.SUBSETS["oasst"] == 617


@pytest.mark.skipif(not COPY.is_dir(), reason=f"no copy of AlpacaEval's results in {COPY}")
@pytest.mark.parametrize(("without", "count"), [((), 805), (("oasst",), 617)])
def test_alpaca_evals_own_file_gives_the_papers_numbers(without, count):
    prompts = list(open_source("alpacafarm", path=COPY / "text_davinci_003/model_outputs.json", without=without))
    assert len({one.id for one in prompts}) == len(prompts) == count
