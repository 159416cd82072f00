"""Translation as a step of a study, into a language that no identifier knows."""

import pytest

from pinchtune import recipe
from pinchtune.errors import LanguageError
from pinchtune.records import Example, Prompt
from pinchtune.store import read_manifest, read_records
from pinchtune.study.graph import build
from pinchtune.study.run import run


@pytest.fixture
def translated_recipe(small_recipe):
    settings = small_recipe.model_dump(mode="json")
    settings["languages"] = ["en", "bem"]
    settings["data"]["translation"] = {"engine": "fake", "settings": {"price": 20.0}}
    settings["mixtures"]["pinch"]["languages"] = ["bem"]
    settings["generation"]["engine"] = "fake"
    return recipe.parse(settings)


def test_a_language_that_the_source_has_not_is_made_and_mixed(translated_recipe, tmp_path):
    ran = run(translated_recipe, tmp_path / "one")
    made = list(read_records(ran.folder / "examples/bem/records.jsonl", Example))
    english = {one.id: one for one in read_records(ran.folder / "examples/en/records.jsonl", Example)}
    assert made
    assert {one.id for one in made} <= set(english)
    assert all(one.made.startswith("translated:fake") for one in made)
    prompts = list(read_records(ran.folder / "prompts/bem/records.jsonl", Prompt))
    assert {one.language for one in prompts} == {"bem"}
    assert all(one.reference for one in prompts)
    notes = read_manifest(ran.folder / "examples/bem").notes
    assert notes["languages"]["bem"]["done"] == len(made) == len(english) - notes["languages"]["bem"]["kept_in_source"]
    assert notes["cost"] > 0
    assert read_manifest(ran.folder / "mix/pinch").notes["counts"] == {"bem": 3, "en": 5}


def test_another_engine_setting_translates_again_and_nothing_before_it(translated_recipe):
    before = {name: step.key for name, step in build(translated_recipe).steps.items()}
    settings = translated_recipe.model_dump(mode="json")
    settings["data"]["translation"]["settings"]["masks"] = "space"
    after = {name: step.key for name, step in build(recipe.parse(settings)).steps.items()}
    changed = {name for name in before if before[name] != after[name]}
    assert "examples/bem" in changed
    assert not {"examples/en", "prompts/en", "mix/english", "tune/english"} & changed


def test_a_language_that_the_engine_cannot_do_fails_its_step_alone(translated_recipe, tmp_path):
    settings = translated_recipe.model_dump(mode="json")
    settings["data"]["translation"]["settings"] = {"targets": ["fi"]}
    with pytest.raises((LanguageError, Exception), match="does not translate from en into"):
        run(recipe.parse(settings), tmp_path / "one")
    assert read_manifest(tmp_path / "one" / "tune/english") is not None
