from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.mixtures.designs import custom, describe, monolingual, pinch, uniform
from tests.conftest import example

TAGS = ("en", "fi", "sw", "ar")
POOL = [example(f"id{number}", tag) for number in range(80) for tag in TAGS]
others = st.lists(st.sampled_from(TAGS[1:]), min_size=1, max_size=3, unique=True)


@given(languages=others, size=st.integers(1, 80), part=st.floats(0, 1), seed=st.integers(0, 999))
def test_a_pinch_has_the_size_asked_for_even_languages_and_no_id_twice(languages, size, part, seed):
    count = int(part * size)
    made = pinch(POOL, languages=languages, n_examples=size, pinch_examples=count, seed=seed)
    counts = Counter(one.language for one in made)
    assert len(made) == len({one.id for one in made}) == size
    assert counts["en"] == size - count
    dealt = [counts[tag] for tag in languages]
    assert max(dealt) - min(dealt) <= 1


@given(languages=others, small=st.integers(0, 60), more=st.integers(0, 20), seed=st.integers(0, 999))
def test_a_smaller_pinch_is_inside_a_larger(languages, small, more, seed):
    def foreign(count):
        made = pinch(POOL, languages=languages, n_examples=80, pinch_examples=count, seed=seed)
        return {(one.id, one.language) for one in made if one.language != "en"}

    assert foreign(small) <= foreign(small + more)


@given(seed=st.integers(0, 999), count=st.integers(0, 40))
def test_the_multilingual_copy_replaces_its_english_original(seed, count):
    english = monolingual(POOL, language="en", n_examples=40, seed=seed)
    mixed = pinch(POOL, languages=["fi", "sw"], n_examples=40, pinch_examples=count, seed=seed)
    assert [one.id for one in english] == [one.id for one in mixed]


def test_a_percent_is_of_the_whole_mixture():
    made = pinch(POOL, languages=["fi"], n_examples=40, pinch_percent=5)
    assert Counter(one.language for one in made)["fi"] == 2


@pytest.mark.parametrize("sizes", [{}, {"pinch_examples": 3, "pinch_percent": 3.0}])
def test_a_count_and_a_percent_are_two_fields_and_one_is_given(sizes):
    with pytest.raises(PinchError, match="A pinch has one size"):
        pinch(POOL, languages=["fi"], n_examples=40, **sizes)


def test_a_pinch_larger_than_the_mixture_is_refused():
    with pytest.raises(PinchError, match="A pinch of 50 does not fit into 40"):
        pinch(POOL, languages=["fi"], n_examples=40, pinch_examples=50)


@given(seed=st.integers(0, 99))
def test_uniform_is_even_and_uses_no_id_twice(seed):
    made = uniform(POOL, languages=TAGS, n_examples=42, seed=seed)
    counts = Counter(one.language for one in made)
    assert sorted(counts.values()) == [10, 10, 11, 11]
    assert len({one.id for one in made}) == 42


def test_custom_counts_and_shares():
    made = custom(POOL, counts={"en": 10, "fi": 5})
    assert Counter(one.language for one in made) == {"en": 10, "fi": 5}
    shared = custom(POOL, shares={"en": 0.9, "fi": 0.1}, n_examples=33)
    assert Counter(one.language for one in shared) == {"en": 30, "fi": 3}
    assert len({one.id for one in made}) == 15


def test_custom_takes_the_scarce_language_first():
    pool = [*[example(f"id{n}") for n in range(10)], *[example(f"id{n}", "fi") for n in range(3)]]
    assert Counter(one.language for one in custom(pool, counts={"en": 7, "fi": 3})) == {"en": 7, "fi": 3}


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(PinchError, match="Shares sum to 0"):
        custom(POOL, shares={"en": 0.5}, n_examples=10)
    with pytest.raises(PinchError, match="either counts or shares"):
        custom(POOL)


def test_a_manifest_says_which_id_went_to_which_language():
    made = pinch(POOL, languages=["fi"], n_examples=10, pinch_examples=4)
    said = describe(made)
    assert said["counts"] == {"en": 6, "fi": 4}
    assert set(said["ids"]["fi"]) == {one.id for one in made if one.language == "fi"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"counts": {"en": -5, "fi": 3}},
        {"counts": {"en": 0}},
        {"counts": {}},
        {"counts": {"en": 5}, "n_examples": 10},
        {"shares": {"en": float("nan")}, "n_examples": 10},
    ],
)
def test_counts_and_shares_that_mean_nothing_are_refused(wrong):
    with pytest.raises(PinchError):
        custom(POOL, **wrong)
