"""The steps of a recipe's section of factors: when they are there, when they are done again, and what they find."""

import pytest

from pinchtune import recipe as recipes
from pinchtune.errors import DataError, RecipeError
from pinchtune.scoring.factors import Factor
from pinchtune.scoring.similarity import PairFactor
from pinchtune.store import read_manifest, read_records
from pinchtune.study.executors.needs import HEAVY, LIGHT, resources_of
from pinchtune.study.graph import Graph, build
from pinchtune.study.plan import plan
from pinchtune.study.run import open_place, run, run_graph


def asking(recipe, **settings):
    return recipes.parse(recipe.model_dump(mode="json") | {"factors": settings})


def keys(recipe):
    return {name: step.key for name, step in build(recipe).steps.items()}


@pytest.fixture
def shares(tmp_path):
    path = tmp_path / "shares.yaml"
    path.write_text("en: 0.6\nfi: 0.01\nxh: 0.001\n")
    return path


def test_without_the_section_there_is_no_step_and_no_key_changes(small_recipe):
    before, after = keys(small_recipe), keys(asking(small_recipe, texts=2))
    assert not [name for name in before if name.startswith("factors")]
    assert {name for name in after if after[name] != before.get(name)} == {"factors/tokens", "factors/bits", "report"}
    assert "factors" not in small_recipe.model_dump()


def test_each_kind_is_a_step_of_its_own(small_recipe, shares):
    steps = build(asking(small_recipe, fertility=False, shares=str(shares), similarity="slavic", distances=True)).steps
    there = [name for name in steps if name.startswith("factors/")]
    assert there == ["factors/bits", "factors/shares", "factors/similarity", "factors/distances"]
    assert set(there) <= set(steps["report"].inputs)
    assert steps["factors/bits"].inputs == ("base",)
    assert resources_of(steps["factors/bits"]) == HEAVY
    assert resources_of(steps["factors/shares"]) == LIGHT


def test_an_edited_table_of_shares_is_read_again_and_nothing_is_measured_again(small_recipe, shares):
    before = keys(asking(small_recipe, shares=str(shares)))
    shares.write_text("en: 0.6\nfi: 0.02\n")
    after = keys(asking(small_recipe, shares=str(shares)))
    assert [name for name in before if before[name] != after[name]] == ["factors/shares", "report"]


def test_a_language_that_the_study_has_not_changes_nothing_in_the_table(small_recipe, shares):
    before = keys(asking(small_recipe, shares=str(shares)))
    shares.write_text("en: 0.6\nfi: 0.01\nxh: 0.009\n")
    assert keys(asking(small_recipe, shares=str(shares))) == before


def test_a_table_that_is_not_there_is_told_before_anything_is_done(small_recipe):
    with pytest.raises(DataError, match="cannot be read"):
        build(asking(small_recipe, shares="no-such.csv"))


def test_a_misspelt_key_is_answered_with_the_nearest(small_recipe):
    with pytest.raises(RecipeError, match=r"factors.fertilty: unknown key. Did you mean fertility"):
        asking(small_recipe, fertilty=True)
    with pytest.raises(RecipeError, match="factors.texts"):
        asking(small_recipe, texts=1)


def test_the_plan_counts_the_steps(small_recipe):
    made = plan(asking(small_recipe, texts=2))
    assert (made.steps["factors"].all, made.steps["factors"].todo) == (2, 2)
    assert made.seconds["factors"] is None  # how fast another model is here is not known
    assert "factors/bits" in made.todo


def test_the_steps_find_the_factors_of_every_language_the_study_has(small_recipe, shares, tmp_path):
    asked = asking(
        small_recipe.model_copy(update={"languages": ["fi", "ru", "yo"]}),
        texts=2,
        shares=str(shares),
        similarity="slavic",
    )
    whole, part = build(asked), Graph()
    part.steps = {name: step for name, step in whole.steps.items() if name.partition("/")[0] in ("base", "factors")}
    run_graph(part, open_place(tmp_path / "run"))
    folder = tmp_path / "run/factors"
    bits = {
        one.language: one
        for one in read_records(folder / "bits/records.jsonl", Factor)
        if one.name == "bits_relative_to_english"
    }
    assert list(bits) == ["en", "fi", "ru", "yo"]
    assert (bits["en"].value, bits["yo"].value, bits["yo"].reason) == (1, None, "not_in_pack")
    assert bits["fi"].low < bits["fi"].value < bits["fi"].high
    tokens = {one.name for one in read_records(folder / "tokens/records.jsonl", Factor)}
    assert tokens == {"tokens_relative_to_english", "tokens_per_word"}
    given = {one.language: one.value for one in read_records(folder / "shares/records.jsonl", Factor)}
    assert given == {"en": 0.6, "fi": 0.01, "ru": None, "yo": None}
    pairs = list(read_records(folder / "similarity/pairs.jsonl", PairFactor))
    assert {one.name for one in pairs} == {"same_family", "same_script"}
    assert read_manifest(folder / "shares").notes == {"unknown": {"not_in_table": 2}}


def test_a_whole_study_shows_them_on_its_page(small_recipe, tmp_path):
    few = small_recipe.model_copy(update={"comparisons": small_recipe.comparisons[1:]})
    few = recipes.parse(few.model_dump(mode="json") | {"mixtures": {"pinch": few.model_dump()["mixtures"]["pinch"]}})
    ran = run(asking(few, texts=2, bits=False), tmp_path / "run")
    text = (ran.folder / "report/index.html").read_text()
    assert "With 1 language beside English nothing can be said of any factor" in text
    assert (ran.folder / "report/factors.csv").is_file()
    assert run(asking(few, texts=2, bits=False), ran.folder).done == ()
