import json

import pytest

from pinchtune import recipe
from pinchtune.errors import DataError, RecipeError

MINIMAL = {
    "name": "mine",
    "languages": ["en", "fi"],
    "mixtures": {
        "english": {"design": "monolingual", "n_examples": 10},
        "pinch": {"design": "pinch", "languages": ["fi"], "n_examples": 10, "pinch_examples": 2},
    },
    "comparisons": [{"candidate": "pinch", "baseline": "english"}],
}


def faults(**changes):
    with pytest.raises(RecipeError) as raised:
        recipe.parse(MINIMAL | changes)
    return list(raised.value.faults)


@pytest.mark.parametrize("name", recipe.shipped())
def test_every_shipped_recipe_is_valid_and_opens_with_its_command(name):
    loaded = recipe.load(name)
    assert loaded.mixtures or loaded.experiments
    first = recipe.shipped()[name].read_text().splitlines()[0]
    assert first in (f"# pinch study run {name}", f"# pinch {name}")


def test_quickstart_is_shipped():
    assert "quickstart" in recipe.shipped()


def test_a_minimal_recipe_has_defaults():
    made = recipe.parse(MINIMAL)
    assert made.tuning.method == "lora"
    assert made.models == ["english", "pinch"]


def test_the_base_model_answers_where_a_comparison_names_it():
    made = recipe.parse(MINIMAL | {"comparisons": [{"candidate": "pinch", "baseline": "base"}]})
    assert made.models == ["base", "english", "pinch"]


def test_an_unknown_key_suggests_the_nearest():
    assert faults(tunning={}) == [f for f in faults(tunning={}) if "Did you mean tuning" in f]
    assert "Did you mean learning_rate" in faults(tuning={"learning_rat": 1})[0]
    assert "mixtures.pinch" in faults(mixtures={"pinch": MINIMAL["mixtures"]["pinch"] | {"pinch_exampels": 3}})[0]


def test_all_faults_come_at_once():
    found = faults(name="Not A Name", seed=-1, languages=["en", "finnish"], generation={"engine": "vlm"})
    assert len(found) == 4
    assert any("Did you mean fi" in one for one in found)
    assert any(one.startswith("seed:") for one in found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"comparisons": [{"candidate": "pinhc", "baseline": "english"}]}, "Did you mean pinch"),
        ({"comparisons": [{"candidate": "pinch", "baseline": "pinch"}]}, "compared with itself"),
        ({"languages": ["en", "en"]}, "listed twice"),
        ({"languages": []}, "languages"),
        ({"mixtures": {}}, "mixtures"),
        ({"mixtures": {"base": MINIMAL["mixtures"]["english"]}}, "may not be called base"),
        ({"mixtures": {"a": {"design": "pinhc"}}}, "mixtures.a"),
        ({"mixtures": {"a": {"design": "pinch", "languages": ["fi"], "n_examples": 5}}}, "either pinch_examples"),
        ({"mixtures": {"a": {"design": "custom", "shares": {"en": 1.0}}}}, "shares need n_examples"),
        ({"judging": {"judge": "refrence"}}, "Did you mean reference"),
        ({"judging": {"settings": {"margn": 1}}}, "judging.settings: reference has no setting 'margn'. Did you mean m"),
        ({"judging": {"panel": [{"settings": {"margn": 1}}]}}, "judging.panel.0.settings: reference has no setting"),
        ({"judging": {"judge": "llm:m", "settings": {"engine.base_ulr": "x"}}}, "Did you mean base_url"),
        ({"judging": {"judge": "llm:m", "settings": {"engine": "endpiont"}}}, "Did you mean endpoint"),
        ({"judging": {"judge": "llm:m", "settings": {"workers": "x"}}}, "workers is a whole number"),
        ({"data": {"translation": {"engine": "llm:m", "settings": {"base_ulr": "x"}}}}, "Did you mean base_url"),
    ],
)
def test_a_fault_says_where_and_what_is_allowed(changes, words):
    assert words in " ".join(faults(**changes))


EXPERIMENTS = {
    "name": "mine",
    "languages": ["en", "fi", "ru"],
    "n_examples": 100,
    "experiments": {"alone": {"design": "monolingual"}},
}


def test_experiments_need_neither_mixtures_nor_comparisons():
    made = recipe.parse(EXPERIMENTS)
    assert made.mixtures == {}
    assert recipe.parse(json.loads(json.dumps(made.model_dump(mode="json")))) == made


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ({"design": "pinhc"}, "experiments.x"),
        ({"design": "pinch", "languages": ["fi"]}, "experiments.x: give percents, or examples"),
        ({"design": "pinch", "languages": ["fi"], "percent": [1]}, "experiments.x.percent: unknown key. Did you mean"),
        ({"design": "pinch", "languages": ["en"], "percents": [1]}, "is of en alone"),
        ({"design": "pinch", "languages": ["fi"], "examples": [101]}, "101 does not fit into 100"),
        ({"design": "monolingual", "baseline": "basis"}, "the baseline 'basis' is no mixture. Did you mean base"),
        ({"design": "monolingual", "evaluate": ["fi", "fi"]}, "experiments.x.evaluate: a language is listed twice"),
        ({"design": "monolingual", "languages": ["fi"], "evaluate": ["fi"]}, "compared with itself alone"),
        ({"design": "monolingual", "seeds": []}, "experiments.x.seeds"),
        ({"design": "add_languages"}, "give either orders, or n_orders"),
        ({"design": "add_languages", "orders": [["en", "fi"]], "languages": ["en"]}, "languages go with n_orders"),
        ({"design": "bilingual_pairs"}, "3 languages cannot be divided into pairs: en, fi, ru"),
        ({"design": "bilingual_pairs", "pairs": [["en", "fi"], ["fi", "ru"]]}, "a language is listed twice"),
        ({"design": "custom"}, "give shares or counts"),
        ({"design": "custom", "shares": {"a": {"en": 0.5}}}, "the shares of 'a' sum to 0.5, not 1"),
        ({"design": "custom", "counts": {"a": {"en": 50}}}, "sum to 50; every training set has 100"),
        ({"design": "custom", "counts": {"mono-fi": {"en": 50, "ru": 50}}}, "another mixture called 'mono-fi'"),
    ],
)
def test_a_fault_of_an_experiment_says_where_and_what_is_allowed(experiment, words):
    with pytest.raises(RecipeError) as raised:
        recipe.parse(EXPERIMENTS | {"experiments": {"first": {"design": "monolingual"}, "x": experiment}})
    assert words in " ".join(raised.value.faults)


def test_experiments_have_a_size_of_their_own_or_the_recipes():
    with pytest.raises(RecipeError, match=r"experiments\.alone: give it n_examples, or the recipe"):
        recipe.parse({key: value for key, value in EXPERIMENTS.items() if key != "n_examples"})


def test_what_came_later_is_left_out_of_dumps_that_do_not_say_it():
    dumped = recipe.parse(MINIMAL).model_dump(mode="json")
    assert not {"experiments", "n_examples"} & dumped.keys()
    assert set(dumped["comparisons"][0]) == {"candidate", "baseline"}
    assert "seed" not in dumped["mixtures"]["pinch"]
    assert "also" not in dumped["data"]["train"]


def test_a_seed_of_nought_is_said():
    mixtures = MINIMAL["mixtures"] | {"english": MINIMAL["mixtures"]["english"] | {"seed": 0}}
    assert recipe.parse(MINIMAL | {"mixtures": mixtures}).model_dump()["mixtures"]["english"]["seed"] == 0


def test_a_missing_key_is_named():
    with pytest.raises(RecipeError, match="name: is missing"):
        recipe.parse({key: value for key, value in MINIMAL.items() if key != "name"})


def test_a_file_that_is_no_yaml_is_named_with_its_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: mine\nlanguages: [en, fi\nseed: 3\n")
    with pytest.raises(DataError, match=r"r\.yaml, line \d: not YAML"):
        recipe.load(path)


def test_a_missing_file_suggests_a_shipped_recipe(tmp_path):
    with pytest.raises(DataError, match="there is no such recipe") as raised:
        recipe.load("quickstrat")
    assert "Did you mean quickstart" in raised.value.hint
    with pytest.raises(DataError, match="not a recipe"):
        recipe.load(tmp_path)


def test_a_list_is_no_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("- a\n- b\n")
    with pytest.raises(DataError, match="keys and values"):
        recipe.load(tmp_path / "r.yaml")


def test_overrides_replace_top_level_keys():
    assert recipe.load("quickstart", seed=7).seed == 7
    assert recipe.load("quickstart", seed=None).seed == 0


def test_the_schema_describes_every_key():
    schema = json.loads(recipe.schema())
    assert set(MINIMAL) <= set(schema["properties"])
    assert all("description" in one for one in schema["$defs"]["TuningSettings"]["properties"].values())


def test_a_recipe_survives_json():
    made = recipe.parse(MINIMAL)
    assert recipe.parse(json.loads(json.dumps(made.model_dump(mode="json")))) == made


def test_a_key_given_twice_is_refused_with_its_lines(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: mine\nlanguages: [en, fi]\nmixtures:\n  english: {design: monolingual, language: en}\n"
        "  pinch:\n    design: pinch\n  english:\n    design: monolingual\n"
        "comparisons:\n  - {candidate: pinch, baseline: english, candidate: x}\nname: yours\nname: ours\n"
    )
    with pytest.raises(RecipeError) as caught:
        recipe.load(path)
    assert list(caught.value.faults) == [
        "mixtures.english is given twice, in lines 4 and 7.",
        "comparisons.0.candidate is given twice, in line 10.",
        "name is given 3 times, in lines 1, 11 and 12.",
    ]


def test_merged_and_aliased_mappings_repeat_nothing(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: mine\nlanguages: [en, fi]\nmixtures:\n  one: &one {design: monolingual, language: en, n_examples: 8}\n"
        "  two: {<<: *one, language: fi}\n  three: *one\ncomparisons:\n  - {candidate: two, baseline: one}\n"
    )
    loaded = recipe.load(path)
    assert loaded.mixtures["two"].language == "fi"
    assert loaded.mixtures["three"] == loaded.mixtures["one"]
