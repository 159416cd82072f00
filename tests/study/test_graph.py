import msgspec
import pytest

from pinchtune import recipe as recipes
from pinchtune.experiments import only
from pinchtune.records import Message
from pinchtune.study.graph import build


def keys(recipe):
    return {name: step.key for name, step in build(recipe).steps.items()}


def test_steps_come_after_their_inputs(small_recipe):
    seen = set()
    for name, step in build(small_recipe).steps.items():
        assert set(step.inputs) <= seen
        seen.add(name)


def test_a_key_changes_with_a_setting_and_with_every_input_before_it(small_recipe):
    before = keys(small_recipe)
    after = keys(small_recipe.model_copy(update={"seed": 1}))
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert changed == {"mix", "tune", "answer", "identify", "judge", "score", "report"}


def test_the_studys_name_changes_the_report_alone(small_recipe):
    before, after = keys(small_recipe), keys(small_recipe.model_copy(update={"name": "other"}))
    assert [name for name in before if before[name] != after[name]] == ["report"]


def test_an_edited_file_is_another_source(small_recipe, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    source = small_recipe.data.train.model_copy(update={"source": str(path), "language": "en"})
    recipe = small_recipe.model_copy(update={"data": small_recipe.data.model_copy(update={"train": source})})
    before = keys(recipe)
    path.write_text('{"instruction": "a", "output": "c"}\n')
    assert keys(recipe)["examples/en"] != before["examples/en"]
    assert keys(recipe)["prompts/en"] == before["prompts/en"]


def test_a_pack_that_grows_changes_nothing_for_those_who_use_its_short_part(small_recipe, monkeypatch):
    from pinchtune.sources import pack

    before = keys(small_recipe)
    whole = pack.entries

    def grown(tag):
        longer = whole(tag)[0]
        long_turn = Message(role="assistant", content="word " * 300)
        turns = (longer.turns[0], long_turn)
        return (*whole(tag), msgspec.structs.replace(longer, id="a-long-one", turns=turns))

    monkeypatch.setattr(pack, "entries", grown)
    assert keys(small_recipe) == before
    wider = small_recipe.data.train.model_copy(update={"max_words": None, "limit": None})
    assert (
        keys(small_recipe.model_copy(update={"data": small_recipe.data.model_copy(update={"train": wider})})) != before
    )


@pytest.fixture
def study_of_experiments(small_recipe):
    """Three languages, their monolingual models, and a pinch, on the pack."""
    settings = small_recipe.model_dump(mode="json") | {
        "languages": ["en", "fi", "ru"],
        "n_examples": 8,
        "mixtures": {},
        "comparisons": [],
        "experiments": {
            "alone": {"design": "monolingual"},
            "pinch": {"design": "pinch", "languages": ["en", "fi"], "percents": [50, 100]},
        },
    }
    return recipes.parse(settings)


def test_experiments_become_steps_with_a_baseline_for_each_language(study_of_experiments):
    steps = build(study_of_experiments).steps
    assert sum(step.kind == "tune" for step in steps.values()) == 3 + 2
    assert steps["judge/mono-en-vs-mono-fi/fi"].inputs == ("prompts/fi", "answer/mono-en/fi", "answer/mono-fi/fi")
    judged = {name for name, step in steps.items() if step.kind == "judge"}
    assert len(judged) == 3 * 2 + 2 * 3
    assert "judge/mono-fi-vs-mono-fi/fi" not in judged
    assert {"candidate": "mono-en", "baseline": "mono-fi", "languages": ["fi"]} in steps["score"].settings[
        "comparisons"
    ]
    assert {one["experiment"] for one in steps["report"].settings["figures"]} == {"alone", "pinch"}


def test_one_experiment_alone_has_the_same_steps_as_among_others(study_of_experiments):
    whole = keys(study_of_experiments)
    alone = keys(only(study_of_experiments, "pinch"))
    assert {name for name in alone if alone[name] != whole.get(name)} == {"score", "report"}


def test_another_name_of_an_experiment_changes_the_report_alone(study_of_experiments):
    settings = study_of_experiments.model_dump(mode="json")
    settings["experiments"]["seen"] = settings["experiments"].pop("pinch")
    before, after = keys(study_of_experiments), keys(recipes.parse(settings))
    assert [name for name in before if before[name] != after[name]] == ["report"]


def test_another_seed_among_an_experiments_leaves_the_first_alone(study_of_experiments):
    settings = study_of_experiments.model_dump(mode="json")
    for experiment in settings["experiments"].values():
        experiment["seeds"] = [0, 1]
    before, after = keys(study_of_experiments), keys(recipes.parse(settings))
    assert [name for name in before if before[name] != after[name]] == ["score", "report"]
    more = {name for name in after if name not in before}
    assert {name.split("/")[0] for name in more} == {"mix", "tune", "answer", "identify", "judge"}
    assert all("seed-1" in name for name in more)


def test_a_seed_moves_the_draw_the_tuning_and_the_sampling_of_its_mixture(study_of_experiments):
    settings = study_of_experiments.model_dump(mode="json")
    settings["experiments"]["alone"]["seeds"] = [3]
    steps = build(recipes.parse(settings)).steps
    for name in ("mix/mono-fi-seed-3", "tune/mono-fi-seed-3", "answer/mono-fi-seed-3/en"):
        assert steps[name].settings["seed"] == 3


def test_several_sources_are_translated_each_and_mixed_together(study_of_experiments):
    settings = study_of_experiments.model_dump(mode="json")
    settings["data"]["train"]["also"] = [{"source": "lima", "limit": 5}]
    settings["data"]["translation"] = {"engine": "fake"}
    steps = build(recipes.parse(settings)).steps
    assert steps["mix/mono-fi"].inputs == ("examples/fi", "examples-2/fi")
    assert steps["examples-2/fi"].inputs == ("examples-2/en",)
    assert steps["examples-2/en"].settings["source"] == "lima"
    assert "also" not in steps["examples/en"].settings
    assert steps["prompts/fi"].inputs == ("prompts/en",)


def test_a_usual_language_more_changes_no_step_that_was_there(small_recipe):
    before = keys(small_recipe)
    after = keys(small_recipe.model_copy(update={"languages": ["en", "fi", "sw"]}))
    assert [name for name in before if before[name] != after[name]] == ["score", "report"]
    assert all(name.endswith("/sw") for name in after if name not in before)


def test_a_language_that_identification_seldom_meets_is_told_to_it(small_recipe):
    steps = build(small_recipe.model_copy(update={"languages": ["en", "fi", "de"]})).steps
    assert steps["identify/pinch/fi"].settings["languages"] == ["de"]
    assert steps["judge/pinch-vs-english/fi"].settings["languages"] == ["de"]
    judging = small_recipe.judging.model_copy(update={"judge": "llm:some-model"})
    asked = small_recipe.model_copy(update={"languages": ["en", "fi", "de"], "judging": judging})
    assert build(asked).steps["judge/pinch-vs-english/fi"].settings["languages"] == []


def test_comparisons_by_hand_may_keep_to_some_languages(small_recipe):
    comparison = small_recipe.comparisons[0].model_copy(update={"languages": ["fi"]})
    steps = build(small_recipe.model_copy(update={"comparisons": [comparison]})).steps
    assert [name for name, step in steps.items() if step.kind == "judge"] == ["judge/pinch-vs-english/fi"]
    assert "answer/pinch/en" in steps


# ------------------------------------------------------------------------------------------- names


def test_what_a_mixture_is_called_is_in_no_key_but_those_of_score_and_report(small_recipe, renamed):
    before = build(small_recipe).steps
    after = build(renamed(small_recipe, english="plain", pinch="vs-fi")).steps
    pairs = list(zip(before.values(), after.values(), strict=True))
    assert [one.name for one, other in pairs if one.key != other.key] == ["score", "report"]
    assert after["judge/vs-fi-vs-plain/fi"].key == before["judge/pinch-vs-english/fi"].key
    assert after["judge/vs-fi-vs-plain/fi"].names == {
        "pinch-3-en-with-fi-of-8-seed-0": "vs-fi",
        "mono-en-of-8-seed-0": "plain",
    }


def test_the_same_mixture_in_other_words_is_the_same_steps(small_recipe):
    settings = small_recipe.model_dump(mode="json")
    settings["mixtures"]["pinch"] |= {"pinch_examples": None, "pinch_percent": 37.5, "seed": 0}
    settings["mixtures"]["english"] = {"design": "custom", "counts": {"fi": 0, "en": 8}}
    before, after = keys(small_recipe), keys(recipes.parse(settings))
    assert [name for name in before if before[name] != after[name]] == ["report"]
    settings["mixtures"]["pinch"]["seed"] = 1
    after = keys(recipes.parse(settings))
    assert before["answer/pinch/fi"] != after["answer/pinch/fi"]


def test_mixtures_that_change_names_are_scored_anew(small_recipe, renamed):
    # The same answers and the same words, and yet another table.
    before = build(small_recipe).steps
    after = build(renamed(small_recipe, english="pinch", pinch="english")).steps
    assert after["tune/pinch"].key == before["tune/english"].key
    assert after["score"].key != before["score"].key


def test_two_names_for_one_mixture_are_the_same_steps_twice(small_recipe):
    settings = small_recipe.model_dump(mode="json")
    settings["mixtures"]["again"] = settings["mixtures"]["english"]
    settings["comparisons"].append({"candidate": "again", "baseline": "english"})
    steps = build(recipes.parse(settings)).steps
    for kind in ("mix/{}", "tune/{}", "answer/{}/fi", "identify/{}/fi"):
        assert steps[kind.format("again")].key == steps[kind.format("english")].key
    # Set against itself, a mixture's verdicts still say which of the two was shown first.
    assert list(steps["judge/again-vs-english/fi"].names.values()) == ["again", "english"]


def test_models_of_one_mixture_and_two_base_models_share_no_answer(small_recipe):
    other = keys(small_recipe.model_copy(update={"base_model": "gemma3-270m"}))
    before = keys(small_recipe)
    same = {name.split("/")[0] for name in before if before[name] == other[name]}
    assert same == {"examples", "prompts", "mix"}
