"""Experiments put into mixtures and comparisons."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune import languages, recipe
from pinchtune.design_words import Custom, Monolingual, Pinch, Uniform, mixture_counts, mixture_size
from pinchtune.experiments import expand, only
from pinchtune.mixture_names import content_name, plainest
from pinchtune.mixtures.designs import DESIGNS
from tests.conftest import example

SIX = ["en", "ar", "fi", "it", "ru", "sw"]


def study(**changes):
    return recipe.parse(
        {"name": "mine", "languages": ["en", "ar", "fi", "ru"], "n_examples": 120}
        | {"experiments": {"x": {"design": "monolingual"}}}
        | changes
    )


def expanded(**experiment):
    return expand(study(experiments={"x": experiment}))


def cells(made):
    return {
        (one.candidate, one.baseline, tag)
        for one in made.recipe.comparisons
        for tag in one.languages or made.recipe.languages
    }


def test_a_recipe_without_experiments_is_itself():
    plain = recipe.load("quickstart")
    made = expand(plain)
    assert made.recipe is plain
    assert made.answers == {"english": tuple(plain.languages), "pinch": tuple(plain.languages)}


def test_each_language_has_its_own_baseline_and_no_model_meets_itself():
    made = expanded(design="monolingual")
    assert list(made.recipe.mixtures) == ["mono-en", "mono-ar", "mono-fi", "mono-ru"]
    tags = ["en", "ar", "fi", "ru"]
    assert cells(made) == {(f"mono-{one}", f"mono-{tag}", tag) for one in tags for tag in tags if one != tag}
    assert all(set(asked) == set(tags) for asked in made.answers.values())


def test_against_the_untuned_model_every_language_counts():
    made = expanded(design="monolingual", baseline="base")
    assert len(cells(made)) == 16
    assert set(made.answers) == {"base", "mono-en", "mono-ar", "mono-fi", "mono-ru"}


def test_the_untuned_model_may_be_an_arm():
    made = expanded(design="monolingual", untuned=True)
    assert {("base", f"mono-{tag}", tag) for tag in ("en", "ar", "fi", "ru")} <= cells(made)
    assert made.figures[0].arms[-1].seed is None


def test_a_baseline_may_be_a_mixture_by_hand():
    mixtures = {"english": {"design": "monolingual", "n_examples": 120}}
    pinch = {"design": "pinch", "languages": ["fi"], "examples": [10], "baseline": "english"}
    made = expand(study(mixtures=mixtures, experiments={"x": pinch}))
    assert list(made.recipe.mixtures) == ["english", "pinch-10-en-with-fi"]
    assert {baseline for _, baseline, _ in cells(made)} == {"english"}


def test_a_mixture_by_hand_with_the_content_of_an_experiments_is_that_mixture():
    mixtures = {"finnish": {"design": "custom", "counts": {"fi": 120}}}
    made = expand(study(mixtures=mixtures))
    assert list(made.recipe.mixtures) == ["finnish", "mono-en", "mono-ar", "mono-ru"]
    assert ("mono-en", "finnish", "fi") in cells(made)
    other = expand(study(mixtures={"finnish": {"design": "custom", "counts": {"fi": 119}}}))
    assert {"finnish", "mono-fi"} <= set(other.recipe.mixtures)


def test_a_percentage_is_split_over_all_languages_and_a_count_over_the_others():
    made = expanded(design="pinch", languages=["ru", "en", "fi"], percents=[50, 10], examples=[4])
    sizes = {arm.model: mixture_counts(made.recipe.mixtures[arm.model]) for arm in made.figures[0].arms}
    assert list(sizes.values()) == [
        {"en": 116, "fi": 2, "ru": 2},
        {"en": 112, "fi": 4, "ru": 4},
        {"en": 80, "fi": 20, "ru": 20},
    ]
    assert [arm.n_pinch for arm in made.figures[0].arms] == [4, 12, 60]
    assert [arm.percent for arm in made.figures[0].arms] == [pytest.approx(100 / 30), 10, 50]


def test_no_pinch_is_the_base_language_alone_and_all_of_it_an_even_split():
    pinch = {"design": "pinch", "languages": SIX, "percents": [0, 100]}
    adding = {"design": "add_languages", "orders": [SIX[::-1]]}
    made = expand(study(experiments={"pinch": pinch, "adding": adding}))
    none, whole = made.figures[0].arms
    assert none.model == "mono-en"
    assert whole.model == made.figures[1].arms[-1].model == "even-en_ar_fi_it_ru_sw"


def test_sets_with_the_same_languages_are_one_model_in_several_orders():
    made = expanded(design="add_languages", orders=[["fi", "en", "ru"], ["en", "fi", "ru"], ["ru", "fi", "en"]])
    models = [arm.model for arm in made.figures[0].arms]
    assert models[1] == models[4] == "even-en_fi"
    assert models[2] == models[5] == models[8] == "even-en_fi_ru"
    assert set(models) == {"mono-fi", "mono-en", "mono-ru", "even-en_fi", "even-fi_ru", "even-en_fi_ru"}
    assert [arm.order for arm in made.figures[0].arms] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_drawn_orders_are_balanced_and_follow_the_seed():
    def sets(seed):
        made = expand(study(seed=seed, experiments={"x": {"design": "add_languages", "languages": SIX, "n_orders": 3}}))
        return [arm.languages for arm in made.figures[0].arms]

    drawn = sets(0)
    for size in range(1, 6):
        held = Counter(tag for tags in drawn if len(tags) == size for tag in tags)
        assert len({tags for tags in drawn if len(tags) == size}) == 3
        if size % 2 == 0:
            assert set(held.values()) == {size // 2}
    assert drawn == sets(0)
    assert drawn != sets(1)


def test_pairs_are_evaluated_in_the_languages_of_neither_beside_each_alone():
    made = expanded(design="bilingual_pairs", pairs=[["fi", "en"]])
    pairs = {arm.pair for arm in made.figures[0].arms}
    assert pairs == {("en", "fi"), ("ar", "ru")}
    assert {cell for cell in cells(made) if cell[0] == "even-en_fi"} == {
        ("even-en_fi", "mono-ar", "ar"),
        ("even-en_fi", "mono-ru", "ru"),
    }
    assert set(made.answers["even-en_fi"]) == {"ar", "ru"}
    assert set(made.answers["mono-fi"]) == {"ar", "fi", "ru"}


def test_pairs_are_drawn_by_the_recipes_seed():
    drawn = {"x": {"design": "bilingual_pairs"}}

    def pairs(seed):
        made = expand(study(seed=seed, languages=list(languages.PAPER), experiments=drawn))
        return [arm.pair for arm in made.figures[0].arms]

    assert pairs(0) == pairs(0)
    assert len({pairs(seed)[0] for seed in range(8)}) > 1
    assert Counter(tag for pair in set(pairs(0)) for tag in pair) == dict.fromkeys(languages.PAPER, 1)


def test_custom_mixtures_keep_their_names():
    made = expanded(design="custom", shares={"half": {"en": 0.5, "fi": 0.5}}, counts={"some": {"en": 20, "ru": 100}})
    assert {"half", "some"} <= set(made.recipe.mixtures)
    assert [arm.label for arm in made.figures[0].arms] == ["half", "some"]


def test_seeds_repeat_models_and_baselines_together():
    made = expanded(design="pinch", languages=["fi"], examples=[10], seeds=[0, 7], evaluate=["fi"])
    assert list(made.recipe.mixtures) == [
        "pinch-10-en-with-fi",
        "mono-fi",
        "pinch-10-en-with-fi-seed-7",
        "mono-fi-seed-7",
    ]
    assert cells(made) == {
        ("pinch-10-en-with-fi", "mono-fi", "fi"),
        ("pinch-10-en-with-fi-seed-7", "mono-fi-seed-7", "fi"),
    }
    assert made.recipe.mixtures["mono-fi-seed-7"].seed == 7
    assert made.recipe.mixtures["mono-fi"].seed is None


def test_another_size_is_another_mixture_and_says_so():
    small = {"design": "monolingual", "n_examples": 60}
    made = expand(study(experiments={"x": {"design": "monolingual"}, "small": small}))
    assert {"mono-fi", "mono-fi-of-60"} <= set(made.recipe.mixtures)
    assert ("mono-en-of-60", "mono-fi-of-60", "fi") in cells(made)


def test_all_training_sets_of_an_experiment_have_one_size():
    for name in recipe.shipped():
        made = expand(recipe.load(name))
        for figure in made.figures:
            models = {model for arm in figure.arms for model in (arm.model, *arm.cells.values())} - {"base"}
            assert {mixture_size(made.recipe.mixtures[model]) for model in models} == {figure.n_examples}


def test_names_do_not_depend_on_what_else_is_in_the_recipe():
    whole = recipe.load("paper/all")
    every = expand(whole).recipe.mixtures
    for name in whole.experiments:
        alone = expand(only(whole, name)).recipe.mixtures
        assert all(every[one] == mixture for one, mixture in alone.items())


def test_many_languages_are_counted_in_a_name_and_told_apart_by_a_hash():
    wide = languages.PAPER
    made = expanded(design="custom", shares={"a": {"en": 1.0}}, evaluate=["fi"])
    assert made.figures[0].arms[0].model == "a"
    first = expanded(design="add_languages", orders=[list(wide[:8])]).figures[0].arms[-1].model
    second = expanded(design="add_languages", orders=[list(wide[1:9])]).figures[0].arms[-1].model
    assert first != second
    assert first.startswith("even-8-languages-")


def test_an_experiments_own_languages_are_asked_of_its_models_alone():
    own = {"design": "monolingual", "languages": ["hr"], "evaluate": ["hr", "sr"]}
    made = expand(study(experiments={"x": {"design": "monolingual"}, "y": own}))
    assert made.recipe.languages == ["en", "ar", "fi", "ru", "hr", "sr"]
    assert made.answers["mono-hr"] == ("hr", "sr")
    assert made.answers["mono-sr"] == ("sr",)
    assert "sr" not in made.answers["mono-en"]


TAGS = st.lists(st.sampled_from(["en", "fi", "ar"]), min_size=1, unique=True)
POOL = [example(str(n), tag, user=f"{tag} {n}") for n in range(12) for tag in ("en", "fi", "ar", "ru")]
MIXTURES = st.one_of(
    st.builds(lambda tag: Monolingual(design="monolingual", language=tag, n_examples=7), st.sampled_from(["en", "fi"])),
    st.builds(
        lambda base, tags, size: Pinch(design="pinch", base=base, languages=tags, n_examples=8, pinch_percent=size),
        st.sampled_from(["en", "fi"]),
        TAGS,
        st.integers(0, 100),
    ),
    st.builds(lambda tags: Uniform(design="uniform", languages=tags, n_examples=9), TAGS),
    st.builds(
        lambda one, other: Custom(design="custom", counts={"fi": one, "en": other}),
        st.integers(1, 6),
        st.integers(0, 6),
    ),
)


SHARES = st.builds(
    lambda tag, part, size: Custom(design="custom", shares={tag: part / 20, "fi": 1 - part / 20}, n_examples=size),
    st.sampled_from(["en", "ru"]),
    st.integers(0, 20),
    st.integers(1, 12),
)


def drawn(mixture):
    options = mixture.model_dump(exclude_none=True, exclude={"design", "seed"})
    return DESIGNS[mixture.design](POOL, **options)


@given(MIXTURES)
def test_the_plainest_mixture_draws_the_same_examples_and_counts_are_those_drawn(mixture):
    assert drawn(plainest(mixture)) == drawn(mixture)
    assert mixture_counts(mixture) == dict(Counter(one.language for one in drawn(mixture)))


@given(SHARES)
def test_the_plainest_form_of_shares_draws_what_their_largest_remainders_do(mixture):
    assert drawn(plainest(mixture)) == drawn(mixture)


@given(st.one_of(MIXTURES, SHARES), st.one_of(MIXTURES, SHARES))
def test_mixtures_of_one_content_name_draw_the_same_examples(one, other):
    if content_name(one, 0) == content_name(other, 0):
        assert drawn(one) == drawn(other)


def test_a_content_name_says_what_a_mixture_is_whatever_a_recipe_says_of_it():
    pinch = Pinch(design="pinch", languages=["fi", "sw"], n_examples=80, pinch_percent=30)
    assert content_name(pinch, 4) == "pinch-24-en-with-fi_sw-of-80-seed-4"
    assert content_name(pinch.model_copy(update={"seed": 1}), 4) == "pinch-24-en-with-fi_sw-of-80-seed-1"
    counts = [{"en": 5, "fi": 3}, {"fi": 3, "en": 5}, {"en": 3, "fi": 5}]
    first, same, other = (content_name(Custom(design="custom", counts=one), 0) for one in counts)
    assert first == same != other
    assert first.startswith("custom-en_fi-")
