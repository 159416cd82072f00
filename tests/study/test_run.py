"""One end-to-end run through every stage, and what a second run, a changed recipe, a kill and a sibling do."""

import json
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from pinchtune.errors import PinchError, RunError
from pinchtune.records import Answer, Score, Verdict
from pinchtune.store import read_manifest, read_records
from pinchtune.study import steps
from pinchtune.study.graph import build
from pinchtune.study.run import run


@pytest.fixture
def ran(small_recipe, tmp_path):
    return run(small_recipe, tmp_path / "runs" / "one")


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


def test_a_seed_repeats_a_study_to_the_last_byte(ran, small_recipe, tmp_path):
    again = run(small_recipe, tmp_path / "elsewhere" / "one")
    assert (again.folder / "scores.jsonl").read_bytes() == (ran.folder / "scores.jsonl").read_bytes()
    assert (again.folder / "report/index.html").read_bytes() == (ran.folder / "report/index.html").read_bytes()


def test_answers_finished_before_a_fault_are_not_asked_again(small_recipe, tmp_path, monkeypatch):
    settings = small_recipe.generation.model_copy(update={"engine": "fake", "batch_size": 1})
    recipe = small_recipe.model_copy(update={"generation": settings})
    from pinchtune.generation.engines.fake import FakeEngine

    monkeypatch.setattr(steps, "open_engine", lambda _n, model, on_note: FakeEngine(model, fail_after=2))
    with pytest.raises(RuntimeError, match="told to fail"):
        run(recipe, tmp_path / "one")
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
    assert len(asked) == 3 * 2 * 3 - 2


def test_a_failed_step_leaves_the_others_done_and_says_which(small_recipe, tmp_path, monkeypatch):
    def fail(*_):
        raise PinchError("the mixture is no good", hint="Stir again.")

    monkeypatch.setitem(steps.RUNNERS, "mix", fail)
    with pytest.raises(RunError, match="2 steps failed") as raised:
        run(small_recipe, tmp_path / "one")
    assert "mix/english: the mixture is no good" in str(raised.value)
    assert read_manifest(tmp_path / "one/answer/base/en") is not None
    monkeypatch.undo()
    assert run(small_recipe, tmp_path / "one").done


def test_one_failed_step_keeps_its_own_hint(small_recipe, tmp_path):
    recipe = small_recipe.model_copy(
        update={
            "mixtures": {
                **small_recipe.mixtures,
                "huge": small_recipe.mixtures["english"].model_copy(update={"n_examples": 999}),
            }
        }
    )
    with pytest.raises(PinchError, match="Step mix/huge failed: 999 examples in en were asked for"):
        run(recipe, tmp_path / "one")


def test_a_folder_that_is_not_ours_is_left_alone(small_recipe, tmp_path):
    mine = tmp_path / "one" / "score"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(PinchError, match="is not empty"):
        run(small_recipe, tmp_path / "one")
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_study_killed_at_any_moment_goes_on_and_ends_alike(ran, small_recipe, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(small_recipe.model_dump(mode="json")))
    folder = tmp_path / "killed" / "one"
    code = (
        "import json, sys; from pathlib import Path; from pinchtune import recipe; from pinchtune.study.run import run;"
        "run(recipe.parse(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))"
    )
    for milestone in ("tune/english/.key", "answer/english/en/.key", "judge/pinch-vs-base/en/.key"):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, str(path), str(folder)])
        waited = time.monotonic() + 100
        while not (folder / milestone).exists() and process.poll() is None and time.monotonic() < waited:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(small_recipe, folder)
    assert (folder / "scores.jsonl").read_bytes() == (ran.folder / "scores.jsonl").read_bytes()
    leftovers = [one.name for one in folder.rglob(".*") if one.name == ".key"]
    assert leftovers == []


def test_manifests_hold_no_secret_and_no_path_of_the_output(ran, monkeypatch):
    text = "".join(path.read_text() for path in ran.folder.rglob("manifest.json"))
    assert str(ran.folder) not in text
    assert msgspec.json.decode((ran.folder / "recipe.json").read_bytes())["name"] == "small"
