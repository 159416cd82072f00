"""The plan of a study, against the paper's numbers and against arithmetic done here."""

import time
from collections import Counter
from pathlib import Path

import pytest

from pinchtune import languages, recipe
from pinchtune.cli.plan_text import plan_text
from pinchtune.design_words import Uniform, mixture_languages
from pinchtune.errors import LanguageError
from pinchtune.experiments import expand, only
from pinchtune.judging.tally import Price
from pinchtune.store import Manifest, write_json, write_records
from pinchtune.study.calibrate import Calibration, calibrate
from pinchtune.study.dot import dot
from pinchtune.study.graph import build
from pinchtune.study.plan import plan
from tests.conftest import example

PROMPTS = 617


@pytest.fixture(scope="module")
def paper():
    return recipe.load("paper/all")


@pytest.fixture(scope="module")
def planned(paper):
    return plan(paper)


def finish(loaded, folder: Path) -> None:
    """Leave a run folder as if all steps had been done."""
    for name, step in build(loaded).steps.items():
        manifest = Manifest(key=step.key, step=name, kind=step.kind, version=1, settings=step.settings)
        write_json(folder / name / "manifest.json", manifest)


def grown(loaded, **changes):
    return recipe.parse(loaded.model_dump(mode="json") | changes)


# ------------------------------------------------------------------------------------------- paper


def test_the_papers_models_are_each_tuned_once(paper, planned):
    six = {"en", "ar", "fi", "it", "ru", "sw"}
    mixtures = expand(paper).recipe.mixtures
    figures = {one.experiment: one for one in expand(paper).figures}
    orders = figures["how-many-languages"].arms
    sets = {frozenset(arm.languages) for arm in orders}
    assert len(orders) == 3 * 6
    assert all(tags <= six for tags in sets)
    monolingual = set(languages.PAPER) | set(languages.SLAVIC)
    assert {name for name in mixtures if name.startswith("mono-")} == {f"mono-{tag}" for tag in monolingual}
    assert len(monolingual) == 12 + 7 - 2  # Russian and Czech are in both
    percentages = 11 + 11
    # The six languages together are 100 percent of experiment 3; one language alone is monolingual.
    added = len([tags for tags in sets if 1 < len(tags) < 6])
    assert added == 12
    pairs = {arm.pair for arm in figures["bilingual"].arms}
    assert len(pairs) == 6
    assert ("en", "es") in pairs
    assert not {frozenset(pair) for pair in pairs} & sets
    assert planned.models.all == len(mixtures) == 17 + percentages + added + 6 == 57
    assert {len(mixture_languages(one)) for one in mixtures.values() if isinstance(one, Uniform)} == {2, 3, 4, 5, 6, 12}


def test_the_papers_percentages_are_eleven_over_twelve_and_over_six_languages(paper):
    figures = {one.experiment: one for one in expand(paper).figures}
    for name in ("how-many-examples", "seen-and-unseen"):
        assert [arm.n_pinch for arm in figures[name].arms] == [40, *range(464, 4641, 464)]
    assert set(figures["how-many-examples"].arms[5].languages) == set(languages.PAPER)
    assert set(figures["seen-and-unseen"].arms[0].languages) == {"en", "ar", "fi", "it", "ru", "sw"}
    counted = next(one for name, one in expand(paper).recipe.mixtures.items() if name.startswith("pinch-40-en-with-11"))
    assert "en" not in counted.languages


def test_the_papers_judge_calls_are_the_cells_twice_for_each_instruction(planned):
    monolingual, untuned = 12 * 12 - 12, 12 * 12
    percentages, added, pairs, slavic = 22 * 12, 12 * 12, 6 * 10, 7 * 7 - 7
    cells = monolingual + untuned + percentages + added + pairs + slavic - 2  # Russian and Czech, both ways
    assert cells == 784
    assert planned.steps["judge"].all == cells
    assert planned.judge_calls.all == planned.judge_calls.todo == 2 * PROMPTS * cells == 967_456
    answers = 12 * 12 + 12 + 22 * 12 + 12 * 12 + 6 * 10 + 7 * 7 - 2 * 2
    assert planned.answers.all == PROMPTS * answers == 412_773
    assert planned.examples.all == 57 * 4640


def test_each_experiment_is_counted_with_what_those_before_it_leave(planned):
    rows = {one.name: (one.n_models, one.n_new_models, one.n_cells, one.n_new_cells) for one in planned.experiments}
    assert rows == {
        "monolingual": (12, 12, 132, 132),
        "against-base": (12, 0, 144, 144),
        "how-many-examples": (12 + 11, 11, 132, 132),
        "seen-and-unseen": (12 + 11, 11, 132, 132),
        "how-many-languages": (12 + 13, 12, 189, 144),
        "bilingual": (12 + 6, 6, 180, 60),
        "similarity": (7, 5, 42, 40),
        "human-validation": (4, 0, 12, 0),
    }
    assert sum(one.n_new_models for one in planned.experiments) == planned.models.all
    assert sum(one.n_new_cells for one in planned.experiments) == planned.steps["judge"].all


def test_the_papers_plan_comes_in_seconds():
    began = time.monotonic()
    plan(recipe.load("paper/all"))
    assert time.monotonic() - began < 5


def test_translation_is_priced_by_its_characters(planned):
    # 11 languages and five Slavic ones more, each with 1,000 + 3,640 conversations and 617 instructions.
    assert planned.characters.all == pytest.approx(16 * (1000 * 3000 + 3640 * 1000 + PROMPTS * 160))
    assert planned.translation_cost == pytest.approx(planned.characters.all * 20 / 1e6)


def test_a_judge_is_priced_where_its_price_is_known(paper, planned):
    assert planned.judge_cost is None
    assert any("--prices" in note for note in planned.notes)
    priced = plan(paper, prices={"google/gemma-3-27b-it": Price(input=0.1, output=0.4)})
    tokens = planned.judge_tokens.all - planned.judge_calls.all  # each call writes one
    assert priced.judge_cost == pytest.approx((tokens * 0.1 + planned.judge_calls.all * 0.4) / 1e6, rel=1e-6)
    # Two answers as long as they may be, and what is around them.
    assert tokens / planned.judge_calls.all == pytest.approx(2 * 768 + (1285 + 170) / 3.5, rel=0.05)


@pytest.mark.parametrize("place", ["paper", "pack"])
def test_recipes_of_single_experiments_are_parts_of_the_whole(place):
    whole = recipe.load(f"{place}/all")
    steps = {step.key for step in build(whole).steps.values()}
    names = [name for name in recipe.shipped() if name.startswith(f"{place}/") and name != f"{place}/small"]
    assert len(names) == 9
    for name in names:
        single = recipe.load(name)
        # Factors are of all the languages of a study together: other languages, other steps.
        own = [step for step in build(single).steps.values() if step.kind != "factors"]
        left = [step.name for step in own if step.key not in steps]
        assert left == ([] if name == f"{place}/all" and single.name == whole.name else ["score", "report"])


@pytest.mark.parametrize("name", recipe.shipped())
def test_every_shipped_recipe_can_be_planned(name):
    made = plan(recipe.load(name))
    assert made.models.todo > 0
    assert made.judge_calls is not None
    assert len(made.todo) == sum(one.all for one in made.steps.values())


def test_the_papers_and_the_packs_recipes_have_the_same_experiments():
    for name in recipe.shipped():
        if name.startswith("paper/"):
            paper, pack = recipe.load(name), recipe.load(name.replace("paper", "pack", 1))
            assert paper.languages == pack.languages
            for one, other in zip(paper.experiments.values(), pack.experiments.values(), strict=True):
                assert one.model_dump(exclude={"examples"}) == other.model_dump(exclude={"examples"})


def test_the_comments_of_drawn_orders_and_pairs_say_what_is_drawn():
    figures = {one.experiment: one for one in expand(recipe.load("paper/all")).figures}
    adding = figures["how-many-languages"].arms
    orders = []
    for number in (1, 2, 3):
        sets = [arm.languages for arm in adding if arm.order == number]
        orders.append([next(iter(set(now) - set(before))) for before, now in zip([(), *sets], sets, strict=False)])
    said = " ".join(recipe.shipped()["paper/how-many-languages"].read_text().replace("\n# ", " ").split())
    assert "; ".join(" ".join(order) for order in orders) in said
    said = " ".join(recipe.shipped()["paper/bilingual"].read_text().replace("\n# ", " ").split())
    for pair in {arm.pair for arm in figures["bilingual"].arms}:
        assert "-".join(pair) in said or "-".join(reversed(pair)) in said


def test_small_is_meant_for_an_hour_on_two_cores():
    made = plan(recipe.load("cpu-small"))
    assert made.models.all == 2 * (4 + 3)
    assert made.total_seconds < 3600


# --------------------------------------------------------------------------------- what is there


def test_a_language_more_runs_the_steps_of_that_language_alone(tmp_path):
    before = recipe.load("pack/monolingual")
    finish(before, tmp_path / "one")
    assert plan(before, tmp_path / "one").todo == ()
    after = plan(grown(before, languages=[*before.languages, "pl"]), tmp_path / "one")
    left = [name for name in after.todo if name not in ("score", "report")]
    assert all(name.endswith(("/pl", "/mono-pl")) or "/mono-pl/" in name or "/mono-pl-vs-" in name for name in left)
    # One model; it answers in 13 languages, and 12 others and the base model in its own; 12 + 12 pairs with the others'
    # models and 13 + 12 with the untuned one.
    assert Counter(name.split("/")[0] for name in left) == {
        "examples": 1,
        "prompts": 1,
        "mix": 1,
        "tune": 1,
        "answer": 13 + 12 + 1,
        "identify": 13 + 12 + 1,
        "judge": 12 + 12 + 13 + 12,
    }
    assert after.models.todo == 1


def test_what_a_run_beside_has_done_is_there(tmp_path):
    single = recipe.load("pack/monolingual")
    finish(single, tmp_path / "one")
    write_json(tmp_path / "one" / "recipe.json", {})
    whole = plan(recipe.load("pack/all"), tmp_path / "two")
    assert whole.models.todo == 57 - 12
    assert whole.steps["judge"].todo == 784 - (132 + 144)
    assert whole.answers.todo < whole.answers.all


def test_one_experiment_counts_for_itself(paper):
    made = plan(only(paper, "bilingual"))
    assert made.models.all == 18
    assert [one.n_new_models for one in made.experiments] == [18]


def test_two_names_of_one_mixture_are_counted_once_in_the_last_row_too(small_recipe, tmp_path):
    pinch = small_recipe.model_dump(mode="json")["mixtures"]["pinch"]
    mixtures = small_recipe.model_dump(mode="json")["mixtures"] | {"same": pinch}
    twins = [{"candidate": "pinch", "baseline": "same"}, {"candidate": "pinch", "baseline": "english"}]
    made = plan(grown(small_recipe, mixtures=mixtures, comparisons=twins))
    counted = {one: made.steps[one].todo for one in made.steps}
    assert counted["tune"] == 2
    assert len(made.todo) > sum(counted.values())
    (last,) = [line for line in plan_text(made).splitlines() if line.startswith("all ")]
    assert [int(one) for one in last.split()[1:]] == [sum(counted.values()), 0, sum(counted.values())]
    (note,) = [one for one in made.notes if "under two names" in one]
    assert note.startswith("pinch and same are one model")


def test_finished_texts_are_counted_and_not_estimated(paper, tmp_path):
    graph = build(paper)
    texts = [example(str(n), user="a" * 100, assistant="b" * 100) for n in range(50)]
    step = graph.steps["examples/en"]
    write_records(tmp_path / "one/examples/en/records.jsonl", texts)
    manifest = Manifest(key=step.key, step=step.name, kind="examples", version=1, settings=step.settings, n_out=50)
    write_json(tmp_path / "one/examples/en/manifest.json", manifest)
    made = plan(only(paper, "monolingual"), tmp_path / "one")
    assert made.characters.all == pytest.approx(11 * (50 * 200 + 3640 * 1000 + PROMPTS * 160), rel=0.01)


# ------------------------------------------------------------------------------ sources and times


def test_what_only_a_source_knows_is_not_known_and_said(paper):
    data = paper.data.model_dump(mode="json") | {"eval": {"source": "hub:owner/name"}}
    made = plan(grown(only(paper, "similarity"), data=data))
    assert (made.answers, made.judge_calls, made.judge_tokens) == (None, None, None)
    assert made.experiments[0].n_judge_calls is None
    assert any("How many prompts" in note for note in made.notes)
    assert made.models.all == 7


def test_a_file_is_counted(tmp_path):
    rows = [example(str(n), "fi" if n % 2 else "en", "kysymys", "vastaus") for n in range(6)]
    write_records(tmp_path / "train.jsonl", rows)
    settings = recipe.load("tiny").model_dump(mode="json")
    settings["data"]["train"] = {"source": str(tmp_path / "train.jsonl")}
    settings["mixtures"]["pinch"] |= {"n_examples": 3, "pinch_examples": 1}
    settings["mixtures"]["english"]["n_examples"] = 3
    made = plan(recipe.parse(settings))
    assert made.training_tokens.all == round(2 * 3 * 14 / 3.5)
    settings["data"]["train"] = {"source": str(tmp_path / "no.jsonl")}
    missing = plan(recipe.parse(settings))
    assert missing.training_tokens is None
    assert any("training texts in en" in note for note in missing.notes)


def test_times_follow_a_calibration(paper):
    speed = Calibration(
        base_model=paper.base_model,
        tuning_start=10,
        tuning_tokens_per_second=1000,
        answer_start=20,
        answer_tokens_per_second=500,
    )
    plain = plan(only(paper, "similarity"))
    assert plain.total_seconds is None
    assert any("--calibrate" in note for note in plain.notes)
    made = plan(only(paper, "similarity"), calibration=speed)
    assert made.seconds["tune"] == pytest.approx(7 * 10 + made.training_tokens.all / 1000)
    assert made.seconds["answer"] == pytest.approx(7 * 20 + made.answers.all * 768 / 500)
    assert "judge" not in made.seconds
    assert any("google" in note for note in made.notes)


def test_a_calibration_tunes_and_answers_with_the_recipes_model(small_recipe):
    notes = []
    speed = calibrate(small_recipe, on_note=notes.append)
    assert speed.base_model == small_recipe.base_model
    assert speed.tuning_tokens_per_second > 0
    assert speed.answer_tokens_per_second > 0
    assert len(notes) == 2


# ------------------------------------------------------------------------------------ large, drawn


def known(tag: str) -> bool:
    try:
        return languages.parse(tag).tag == tag
    except LanguageError:
        return False


def test_ten_thousand_steps_are_planned_in_three_seconds():
    tags = [tag for first in "abcdefghilmnprstuvxyz" for second in "abefghiklmnorstuvw" if known(tag := first + second)]
    wide = {"name": "wide", "languages": tags[:57], "n_examples": 60, "experiments": {"x": {"design": "monolingual"}}}
    began = time.monotonic()
    made = plan(recipe.parse(wide))
    assert time.monotonic() - began < 3
    assert sum(one.all for one in made.steps.values()) > 9_900
    assert made.steps["judge"].all == 57 * 56


def test_the_picture_has_a_node_for_each_model_and_kind_of_step():
    loaded = recipe.load("cpu-small")
    text = dot(build(loaded), {"mix/mono-en"})
    assert text.startswith("digraph")
    assert text.rstrip().endswith("}")
    assert '"tune/mono-fi" -> "answer/mono-fi";' in text
    assert '"answer/mono-fi" [label="answer/mono-fi × 4"' in text
    assert text.count("#d5e8d4") == 1
    nodes = [line for line in text.splitlines() if "[label=" in line]
    assert len(nodes) == 3 + 4 * 14 + 14 + 2 + 2
