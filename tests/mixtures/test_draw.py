import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.mixtures.draw import draw, index, ranked
from tests.conftest import example

TAGS = ("en", "fi", "sw", "ar")
POOL = [example(f"id{number}", tag) for number in range(60) for tag in TAGS]


@given(st.permutations(range(len(POOL))), st.integers(0, 10**6))
def test_a_draw_does_not_depend_on_the_order_of_the_input(order, seed):
    def drawn(pool):
        return draw(index(pool), base="en", n_examples=20, replacements=["fi", "sw"] * 3, seed=seed)

    assert drawn(POOL) == drawn([POOL[place] for place in order])


def test_a_ranking_depends_on_seed_and_purpose():
    ids = [str(number) for number in range(50)]
    orders = [ranked(ids, 0, "base"), ranked(ids, 1, "base"), ranked(ids, 0, "replace")]
    assert all(sorted(order) == sorted(ids) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_an_id_with_two_texts_in_one_language_is_refused_and_one_text_twice_counts_once():
    with pytest.raises(PinchError, match="'a' is there twice in en, with different texts"):
        index([example("a"), example("a", assistant="Another.")])
    assert len(index([example("a"), example("a")])["a"]) == 1


def test_too_small_a_pool_says_how_many_there_are():
    with pytest.raises(PinchError, match="70 examples in en were asked for; there are 60"):
        draw(index(POOL), base="en", n_examples=70, replacements=(), seed=0)


def test_a_language_that_runs_out_is_named():
    pool = index([*[example(f"id{n}") for n in range(10)], example("id3", "fi")])
    with pytest.raises(PinchError, match="Example 2 of the pinch is to be in fi"):
        draw(pool, base="en", n_examples=10, replacements=["fi", "fi"], seed=0)
