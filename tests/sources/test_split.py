import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.mixtures.draw import ranked as ranked_for_draws
from pinchtune.sources.split import ranked, split
from tests.conftest import example

#: Distinct (id, language) pairs over at least two ids.
PAIRS = st.lists(
    st.tuples(st.text(min_size=1, max_size=4), st.sampled_from(["en", "fi", "sw", "zh"])), min_size=2, unique=True
).filter(lambda pairs: len({identifier for identifier, _ in pairs}) > 1)


def ids(part):
    return {one.id for one in part}


@given(PAIRS, st.integers(0, 9), st.data())
def test_every_example_is_on_one_side_and_parallel_ids_stay_together(pairs, seed, data):
    count = data.draw(st.integers(1, len({identifier for identifier, _ in pairs}) - 1))
    found = split([example(*pair) for pair in pairs], eval_count=count, seed=seed)
    assert len(ids(found.eval)) == count
    assert not ids(found.eval) & ids(found.train)
    assert sorted((one.id, one.language) for one in found.train + found.eval) == sorted(pairs)


@given(PAIRS, st.integers(0, 9), st.data())
def test_the_order_of_the_input_makes_no_difference(pairs, seed, data):
    shuffled = data.draw(st.permutations(pairs))
    one, other = (split([example(*p) for p in order], eval_count=1, seed=seed) for order in (pairs, shuffled))
    assert ids(one.eval) == ids(other.eval)
    assert {(e.id, e.language) for e in one.train} == {(e.id, e.language) for e in other.train}


@given(PAIRS, st.integers(0, 9))
def test_a_smaller_evaluation_set_is_inside_a_larger_one(pairs, seed):
    examples = [example(*pair) for pair in pairs]
    n_ids = len(ids(examples))
    sets = [ids(split(examples, eval_count=count, seed=seed).eval) for count in range(1, n_ids)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(sets))


@given(PAIRS, st.floats(0.1, 99.9))
def test_a_percentage_is_that_share_of_the_ids_to_the_nearest_one(pairs, percent):
    examples = [example(*pair) for pair in pairs]
    n_ids = len(ids(examples))
    wanted = round(n_ids * percent / 100)
    assume(0 < wanted < n_ids)
    assert len(ids(split(examples, eval_percent=percent).eval)) == wanted


def test_each_side_keeps_the_order_of_the_input():
    examples = [example(str(number), tag) for number in range(20) for tag in ("fi", "en")]
    found = split(examples, eval_count=5)
    assert [one for one in examples if one in found.eval] == list(found.eval)
    assert [one for one in examples if one in found.train] == list(found.train)


def test_another_seed_splits_otherwise():
    examples = [example(str(number)) for number in range(100)]
    assert ids(split(examples, eval_count=20).eval) != ids(split(examples, eval_count=20, seed=1).eval)


def test_a_split_is_the_same_today_as_ever():
    examples = [example(str(number)) for number in range(10)]
    assert sorted(ids(split(examples, eval_count=3, seed=7).eval)) == ["1", "3", "8"]


def test_the_ranking_is_another_one_than_that_of_a_draw():
    names = [str(number) for number in range(50)]
    assert ranked(names, 0) != ranked_for_draws(names, 0, "base")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({}, "has one size"),
        ({"eval_count": 1, "eval_percent": 10}, "has one size"),
        ({"eval_count": 0}, "0 of 4 ids for evaluation leaves a side empty"),
        ({"eval_count": 4}, "4 of 4 ids"),
        ({"eval_count": -1}, "-1 of 4 ids"),
        ({"eval_percent": 1}, "0 of 4 ids"),
        ({"eval_percent": 0}, "0 percent is no share"),
        ({"eval_percent": 100}, "100 percent is no share"),
        ({"eval_percent": math.nan}, "nan percent is no share"),
    ],
)
def test_a_size_that_makes_no_split_is_refused(size, words):
    with pytest.raises(PinchError, match=words):
        split([example(str(number)) for number in range(4)], **size)


def test_one_id_cannot_be_split():
    with pytest.raises(PinchError, match="1 of 1 ids") as raised:
        split([example("a"), example("a", "fi")], eval_count=1)
    assert "two ids or more" in raised.value.hint
