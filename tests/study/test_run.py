"""One end-to-end run through every stage, and what a second run, a changed recipe, a kill and a sibling do."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from pinchtune.errors import DataError, PinchError, RunError
from pinchtune.recipe import parse
from pinchtune.records import Answer, Score, Verdict
from pinchtune.store import read_manifest, read_records
from pinchtune.study import steps
from pinchtune.study.graph import build
from pinchtune.study.plan import plan
from pinchtune.study.run import clean, run, show, status
from tests.report.links import dead_links

_WHOLE = []


@pytest.fixture
def ran(small_recipe, tmp_path, tmp_path_factory):
    """A finished run in a folder of its own: the study is done once, and copied for each test."""
    if not _WHOLE:
        _WHOLE.append(run(small_recipe, tmp_path_factory.mktemp("whole") / "one"))
    folder = shutil.copytree(_WHOLE[0].folder, tmp_path / "runs" / "one")
    return msgspec.structs.replace(_WHOLE[0], folder=folder)


def test_every_step_leaves_records_and_a_manifest(ran, small_recipe):
    graph = build(small_recipe)
    assert set(ran.done) == set(graph.steps)
    for name, step in graph.steps.items():
        manifest = read_manifest(ran.folder / name)
        assert manifest is not None
        assert manifest.key == step.key
        assert not (ran.folder / name / ".key").exists()
    answers = list(read_records(ran.folder / "answer/pinch/fi/records.jsonl", Answer))
    verdicts = list(read_records(ran.folder / "judge/pinch-vs-english/fi/records.jsonl", Verdict))
    assert (len(answers), len(verdicts)) == (3, 6)
    mix = read_manifest(ran.folder / "mix/pinch").notes
    assert mix["counts"] == {"en": 5, "fi": 3}


def test_scores_are_at_the_top_with_intervals_and_denominators(ran):
    scores = list(read_records(ran.folder / "scores.jsonl", Score))
    metrics = {one.metric for one in scores}
    # Whether a random model's eight tokens are long enough to tell their language is chance.
    assert metrics >= {"side_by_side", "tie_rate", "stopped"}
    assert {one.baseline for one in scores if one.metric == "side_by_side"} == {"english", "base"}
    assert all(one.low <= one.value <= one.high for one in scores)


def test_the_page_shows_every_prompt_and_runs_nothing(ran):
    page = (ran.folder / "report/index.html").read_text()
    assert "<script" not in page
    for answer in read_records(ran.folder / "answer/pinch/fi/records.jsonl", Answer):
        assert answer.id in page
    assert page.count('class="item"') == 6


def test_every_link_of_the_report_leads_somewhere_and_its_cells_tell_every_verdict(ran):
    assert dead_links(ran.folder / "report") == []
    cells = list((ran.folder / "report/cells").iterdir())
    assert len(cells) == 4
    told = sum(path.read_text().count("shown first") for path in cells)
    assert told == sum(len(path.read_text().splitlines()) for path in ran.folder.glob("judge/*/*/records.jsonl"))


def test_every_mixture_has_a_card_and_every_models_card_names_its_mixture(ran, small_recipe):
    for name, step in build(small_recipe).steps.items():
        if step.kind == "mix":
            card = (ran.folder / name / "README.md").read_text()
            title = re.search(r"(?m)^# (.*)", card)[1]
            model = (ran.folder / name.replace("mix", "tune") / "model/README.md").read_text()
            assert f"The mixture is `{title}`" in model
            assert f"Its key is `{step.key}`" in card
            assert step.key in model
    assert "| English | en | 5 |\n| Finnish | fi | 3 |" in card
    assert "| pinch-pack | 8 | cc0-1.0 |" in card
    assert title.startswith("pinch-3-en-with-fi")


def test_a_mixture_from_before_there_were_cards_is_not_drawn_again(ran, small_recipe):
    folder = ran.folder / "mix/pinch"
    manifest = read_manifest(folder)
    notes = {name: value for name, value in manifest.notes.items() if name != "card_key"}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, notes=notes)))
    (folder / "README.md").unlink()
    assert run(small_recipe, ran.folder).done == ()


def test_a_second_run_does_nothing(ran, small_recipe):
    before = {path: path.stat().st_mtime_ns for path in ran.folder.rglob("manifest.json")}
    again = run(small_recipe, ran.folder)
    assert again.done == ()
    assert {path: path.stat().st_mtime_ns for path in ran.folder.rglob("manifest.json")} == before


def test_a_changed_setting_redoes_what_depends_on_it_alone(ran, small_recipe):
    changed = small_recipe.model_copy(
        update={"generation": small_recipe.generation.model_copy(update={"max_new_tokens": 5})}
    )
    again = run(changed, ran.folder)
    assert {name.split("/")[0] for name in again.done} == {"answer", "identify", "judge", "score", "report"}


def test_a_new_language_leaves_old_answers_alone(ran, small_recipe):
    again = run(small_recipe.model_copy(update={"languages": ["en", "fi", "ar"]}), ran.folder)
    assert not any(name.startswith(("tune", "answer/pinch/fi", "answer/english/en")) for name in again.done)
    assert "answer/pinch/ar" in again.done


def test_studies_beside_each_other_share_steps(ran, small_recipe, tmp_path):
    other = small_recipe.model_copy(update={"name": "other", "comparisons": small_recipe.comparisons[:1]})
    again = run(other, tmp_path / "runs" / "two")
    assert {name.split("/")[0] for name in again.done} == {"score", "report"}
    assert (tmp_path / "runs/two/tune/pinch/model/adapter_model.safetensors").is_file()


def test_the_same_mixtures_under_other_names_are_tuned_and_judged_once(ran, small_recipe, renamed, tmp_path):
    other = renamed(small_recipe, english="plain", pinch="with-finnish")
    again = run(other, tmp_path / "runs" / "two")
    assert again.done == ("score", "report")
    for name in ("answer/{}/fi", "judge/{}-vs-base/fi"):
        theirs, ours = ran.folder / name.format("pinch"), again.folder / name.format("with-finnish")
        assert (ours / "records.jsonl").read_bytes() == (theirs / "records.jsonl").read_bytes()
    theirs, ours = (list(read_records(one.folder / "scores.jsonl", Score)) for one in (ran, again))
    names = {"english": "plain", "pinch": "with-finnish", "base": "base", None: None}
    assert [(names[one.model], names[one.baseline]) for one in theirs] == [(one.model, one.baseline) for one in ours]
    assert [(one.metric, one.value) for one in theirs] == [(one.metric, one.value) for one in ours]
    page = (again.folder / "report/index.html").read_text()
    assert "with-finnish" in page
    assert "mono-en" not in page


def test_a_mixture_renamed_in_its_own_run_folder_is_taken_over(ran, small_recipe, renamed, monkeypatch):
    other = renamed(small_recipe, pinch="with-finnish")
    states = {one.step: one.state for one in status(other, ran.folder).steps}
    assert (states["tune/with-finnish"], states["tune/english"], states["score"]) == ("linked", "done", "missing")
    assert set(plan(other, ran.folder).todo) == {"score", "report"}
    for kind in steps.RUNNERS.keys() - {"score", "report"}:
        monkeypatch.delitem(steps.RUNNERS, kind)
    run(other, ran.folder)
    assert {one.model for one in read_records(ran.folder / "scores.jsonl", Score)} == {
        "base",
        "english",
        "with-finnish",
    }
    assert "tune/pinch" in clean(ran.folder, [other])


def test_two_names_for_one_mixture_are_tuned_once_and_both_shown(small_recipe, tmp_path, monkeypatch):
    settings = small_recipe.model_dump(mode="json")
    settings["generation"]["engine"] = "fake"
    settings["mixtures"]["again"] = settings["mixtures"]["english"]
    settings["comparisons"] = [
        {"candidate": "pinch", "baseline": "english"},
        {"candidate": "pinch", "baseline": "again"},
        {"candidate": "again", "baseline": "english"},
    ]
    recipe = parse(settings)
    done = []
    for kind in ("tune", "answer", "judge"):
        monkeypatch.setitem(
            steps.RUNNERS, kind, lambda step, *_, do=steps.RUNNERS[kind]: done.append(step.name) or do(step, *_)
        )
    planned = plan(recipe)
    assert (planned.models.all, planned.steps["judge"].all) == (2, 2 * 2)
    ran = run(recipe, tmp_path / "one")
    assert sorted(done) == [
        "answer/english/en",
        "answer/english/fi",
        "answer/pinch/en",
        "answer/pinch/fi",
        "judge/again-vs-english/en",
        "judge/again-vs-english/fi",
        "judge/pinch-vs-english/en",
        "judge/pinch-vs-english/fi",
        "tune/english",
        "tune/pinch",
    ]
    side = [one for one in read_records(ran.folder / "scores.jsonl", Score) if one.metric == "side_by_side"]
    values = {(one.model, one.baseline, one.language): one.value for one in side}
    assert values["pinch", "again", "all"] == values["pinch", "english", "all"]
    # Against itself, all are ties.
    assert values["again", "english", "all"] == 0.5
    assert "again against english" in (ran.folder / "report/index.html").read_text()


def test_a_seed_repeats_a_study_to_the_last_byte(ran, small_recipe, tmp_path):
    again = run(small_recipe, tmp_path / "elsewhere" / "one")
    assert (again.folder / "scores.jsonl").read_bytes() == (ran.folder / "scores.jsonl").read_bytes()
    assert (again.folder / "report/index.html").read_bytes() == (ran.folder / "report/index.html").read_bytes()


def test_answers_finished_before_a_fault_are_not_asked_again(small_recipe, tmp_path, monkeypatch):
    settings = small_recipe.generation.model_copy(update={"engine": "fake", "batch_size": 1})
    recipe = small_recipe.model_copy(update={"generation": settings})
    from pinchtune.generation.engines.fake import FakeEngine

    monkeypatch.setattr(steps, "open_engine", lambda _n, model, on_note: FakeEngine(model, fail_after=2))
    with pytest.raises(RunError, match="6 steps failed, 12 that need them were left") as raised:
        run(recipe, tmp_path / "one")
    assert "answer/base/en: RuntimeError: the fake engine was told to fail here" in str(raised.value)
    folder = tmp_path / "one/answer/base/en"
    assert len((folder / "finished.jsonl").read_text().splitlines()) == 2
    assert not (folder / "manifest.json").exists()
    asked = []

    class Counting(FakeEngine):
        def generate(self, conversations, sampling):
            asked.extend(conversations)
            return super().generate(conversations, sampling)

    monkeypatch.setattr(steps, "open_engine", lambda _n, model, on_note: Counting(model))
    run(recipe, tmp_path / "one")
    # Two of the three answers of every step were there.
    assert len(asked) == 3 * 2
    calm = run(recipe, tmp_path / "calm" / "one")
    for path in (file for file in (calm.folder / "answer").rglob("*") if file.is_file()):
        assert (tmp_path / "one" / path.relative_to(calm.folder)).read_bytes() == path.read_bytes()


def test_a_failed_step_leaves_the_others_done_and_says_which(ran, small_recipe, monkeypatch):
    def fail(*_):
        raise PinchError("the mixture is no good", hint="Stir again.")

    monkeypatch.setitem(steps.RUNNERS, "mix", fail)
    with pytest.raises(RunError, match="2 steps failed") as raised:
        run(small_recipe.model_copy(update={"seed": 1}), ran.folder)
    assert "mix/english: the mixture is no good" in str(raised.value)
    assert read_manifest(ran.folder / "answer/base/en").settings["seed"] == 1


def test_one_failed_step_keeps_its_own_hint(ran, small_recipe):
    huge = small_recipe.mixtures["english"].model_copy(update={"n_examples": 999})
    recipe = small_recipe.model_copy(update={"mixtures": {**small_recipe.mixtures, "huge": huge}})
    with pytest.raises(PinchError, match="Step mix/huge failed: 999 examples in en were asked for") as raised:
        run(recipe, ran.folder)
    assert "7 steps that need it were left" in raised.value.hint


def test_a_folder_that_is_not_ours_is_left_alone(ran, small_recipe):
    mine = ran.folder / "score"
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(PinchError, match="is not empty"):
        run(small_recipe, ran.folder)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_study_killed_while_it_trains_goes_on_and_ends_alike(ran, small_recipe, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(small_recipe.model_dump(mode="json")))
    folder = tmp_path / "killed" / "one"
    code = (
        "import json, sys; from pathlib import Path; from pinchtune import recipe; from pinchtune.study.run import run;"
        "run(recipe.parse(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, str(path), str(folder)])
    waited = time.monotonic() + 100
    while not (folder / "tune/english/.key").exists() and process.poll() is None and time.monotonic() < waited:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert counted(small_recipe, folder)["unfinished"] == 1
    run(small_recipe, folder)
    assert (folder / "scores.jsonl").read_bytes() == (ran.folder / "scores.jsonl").read_bytes()
    leftovers = [one.name for one in folder.rglob(".*") if one.name == ".key"]
    assert leftovers == []


def test_manifests_hold_no_secret_and_no_path_of_the_output(ran, monkeypatch):
    text = "".join(path.read_text() for path in ran.folder.rglob("manifest.json"))
    assert str(ran.folder) not in text
    assert msgspec.json.decode((ran.folder / "recipe.json").read_bytes())["name"] == "small"


def counted(recipe, folder):
    return {state: count for state, count in status(recipe, folder).counts.items() if count}


def test_status_says_where_every_step_stands_and_why(small_recipe, tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "one"
    n_steps = len(build(small_recipe).steps)
    assert counted(small_recipe, folder) == {"missing": n_steps}

    def fail(step, *_):
        if step.name == "mix/pinch":
            raise PinchError("no good", hint="Stir again.")
        return mix(step, *_)

    mix = steps.RUNNERS["mix"]
    monkeypatch.setitem(steps.RUNNERS, "mix", fail)
    with pytest.raises(PinchError, match="no good"):
        run(small_recipe, folder)
    monkeypatch.undo()
    states = {one.step: one for one in status(small_recipe, folder).steps}
    assert states["answer/english/fi"].state == "done"
    assert (states["mix/pinch"].state, states["mix/pinch"].reason) == ("failed", "no good")
    assert states["judge/pinch-vs-base/fi"].state == "missing"
    assert states["judge/pinch-vs-base/fi"].reason == "needs mix/pinch, which failed"
    # Of another study of the same name, it is no news.
    other = small_recipe.model_copy(update={"seed": 1})
    assert "failed" not in counted(other, folder)
    beside = counted(small_recipe, folder.with_name("two"))
    assert beside == {"linked": counted(small_recipe, folder)["done"], "missing": n_steps - beside["linked"]}
    run(small_recipe, folder)
    assert counted(small_recipe, folder) == {"done": n_steps}
    assert not (folder / "failed.json").exists()


def test_a_steps_manifest_is_shown_and_an_unknown_one_suggests_a_known(ran):
    assert show(ran.folder, "mix/pinch").notes["counts"] == {"en": 5, "fi": 3}
    with pytest.raises(DataError, match="no finished step 'mix/punch'") as raised:
        show(ran.folder, "mix/punch")
    assert "Did you mean mix/pinch" in raised.value.hint
    with pytest.raises(DataError, match="no finished step"):
        show(ran.folder, "../one/mix/pinch")


def test_clean_removes_what_no_recipe_needs_and_nothing_that_no_step_made(ran, small_recipe):
    shorter = small_recipe.model_copy(
        update={"generation": small_recipe.generation.model_copy(update={"max_new_tokens": 5}), "name": "shorter"}
    )
    begun = ran.folder / "judge/pinch-vs-base/zh"
    begun.mkdir()
    (begun / ".key").write_text("0" * 64)
    thesis = ran.folder / "judge/thesis.txt"
    thesis.write_text("years of work")
    mine = ran.folder / "mine"
    shutil.copytree(ran.folder / "score", mine)
    before = set(ran.folder.rglob("*"))
    assert clean(ran.folder, [small_recipe]) == ["judge/pinch-vs-base/zh"]
    changed = {"answer", "identify", "judge", "score", "report"}
    wanted = sorted(
        name for name in [*build(small_recipe).steps, "judge/pinch-vs-base/zh"] if name.split("/")[0] in changed
    )
    assert clean(ran.folder, [shorter]) == wanted
    assert set(ran.folder.rglob("*")) == before
    assert clean(ran.folder, [shorter], dry_run=False) == wanted
    assert thesis.exists()
    assert (mine / "records.jsonl").exists()
    assert not (ran.folder / "answer").exists()
    assert counted(shorter, ran.folder)["done"] == len(build(small_recipe).steps) - len(wanted) + 1
    assert clean(ran.folder, [shorter], dry_run=False) == []


def test_clean_wants_a_run_folder_and_a_recipe(small_recipe, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is not a run folder"):
        clean(tmp_path, [small_recipe], dry_run=False)
    with pytest.raises(PinchError, match="Without a recipe"):
        clean(tmp_path, [])


def test_one_experiment_alone_needs_and_scores_its_own(ran, small_recipe):
    given = small_recipe.model_dump(mode="json") | {"comparisons": [], "mixtures": {}, "n_examples": 8}
    each = {"design": "monolingual", "baseline": "base"}
    given["experiments"] = {
        "alone": {**each, "languages": ["en"], "evaluate": ["en"]},
        "more": {**each, "languages": ["fi"], "evaluate": ["fi"]},
    }
    recipe = parse(given | {"languages": ["en"]})
    folder = ran.folder.with_name("experiments")
    ran = run(recipe, folder, only="alone")
    assert not any("fi" in name.split("/")[1:] for name in ran.done)
    assert {one.language for one in read_records(folder / "scores.jsonl", Score)} <= {"en", "all", "seen", "unseen"}
    with pytest.raises(PinchError, match="no experiment 'alnoe'") as raised:
        run(recipe, folder, only="alnoe")
    assert "Did you mean alone" in raised.value.hint
