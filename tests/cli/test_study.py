"""`pinch study` and `pinch report` on run folders here and behind URLs of fsspec."""

import json
import re
import uuid
from pathlib import Path

import pytest
import yaml

from pinchtune import recipe as recipes
from pinchtune.errors import PinchError
from pinchtune.study import dot
from pinchtune.study import run as runs
from pinchtune.study.executors import doing
from pinchtune.study.executors.remote import open_place
from pinchtune.study.executors.warm import Warm
from pinchtune.study.graph import build
from pinchtune.study.progress import Silent
from pinchtune.study.run import only_experiment
from tests.cli.in_process import pinch, refused

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def recipe(tiny_model, tmp_path, monkeypatch):
    """A recipe that takes seconds, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINCHTUNE_CACHE", str(tmp_path / "cache"))
    value = {
        "name": "small",
        "base_model": str(tiny_model),
        "languages": ["en", "fi"],
        "n_examples": 4,
        "data": {"train": {"max_words": 30, "limit": 6}, "eval": {"max_words": 40, "limit": 1}},
        "tuning": {"epochs": 1, "batch_size": 4},
        "generation": {"engine": "fake", "max_new_tokens": 4},
        "experiments": {"one": {"design": "pinch", "languages": ["en", "fi"], "examples": [1]}},
    }
    value["experiments"]["two"] = {"design": "monolingual", "languages": ["fi"], "baseline": "base"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(value))
    return tmp_path / "r.yaml"


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    return f"file://{tmp_path}/runs/mine" if request.param == "file" else f"memory://{uuid.uuid4().hex}/runs/mine"


def there(url, name):
    system, root = fsspec.core.url_to_fs(url)
    return system.exists(f"{root}/{name}")


def test_a_run_folder_behind_a_url_is_run_looked_at_shown_and_tidied(recipe, url, tmp_path):
    words = (recipe, "--output", url, "--only", "two")
    ran = pinch("study", "run", *words, "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.value["folder"] == url
    assert ran.value["scores"]
    assert there(url, "report/index.html")
    assert "<html" in Path(ran.value["report"]).read_text(encoding="utf-8")
    status = pinch("study", "status", *words, "--json").value
    assert {one["state"] for one in status["steps"]} == {"done"}
    assert [one["step"] for one in status["steps"]] == ran.value["done"]
    assert pinch("study", "plan", *words, "--json").value["todo"] == []
    colours = re.findall('fillcolor="(.*?)"', pinch("study", "plan", *words, "--dot").stdout)
    assert set(colours) == {dot._DONE}
    assert pinch("study", "show", "score", "-o", url).value["kind"] == "score"
    again = pinch("report", url, "--json")
    assert again.value["done"] == ["report"]
    assert f"It is also there: {url}/report/index.html" in pinch("study", "run", *words).stdout
    # The other experiment needs what this one has, and the rest of this one is of no use to it.
    assert pinch("study", "clean", recipe, "-o", url, "--json").value["steps"] == ["report", "score"]
    done = pinch("study", "clean", recipe, "-o", url, "--yes")
    assert done.stdout.endswith("2 steps removed.\n")
    assert not there(url, "score/manifest.json")
    assert sorted(path.name for path in tmp_path.iterdir() if ":" in path.name) == []


def test_a_dry_run_tells_what_status_tells(recipe, tmp_path):
    for words in ((), ("--only", "two"), ("--seed", 3), ("--json",), ("-o", f"file://{tmp_path}/x")):
        told = pinch("study", "status", recipe, *words)
        assert told.returncode == 0, told.stderr
        assert pinch("study", "run", recipe, *words, "--dry-run") == told
    assert told.stdout.splitlines()[-1].startswith("0 there, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_what_is_there_and_what_a_run_would_do_are_counted(recipe):
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text("{}")
    graph = build(only_experiment(recipes.load(str(recipe)), "two"))
    texts = [step for step in graph.steps.values() if step.kind in ("examples", "prompts")]
    for step in texts:
        doing.do(step, Warm(folder, graph, Silent()))
    words = (recipe, "--only", "two", "--dry-run")
    told = pinch("study", "run", *words, "-o", folder).stdout.splitlines()
    left = len(graph.steps) - len(texts)
    assert told[-1].startswith(f"{len(texts)} there, {left} to do: {len(texts)} done, 0 linked, {left} missing")
    assert {line.split()[0] for line in told[2:-1]} == set(graph.steps) - {step.name for step in texts}
    # In a run folder beside it, the next run links them.
    beside = pinch("study", "run", *words, "-o", "runs/beside").stdout
    assert f"{len(texts)} there, {left} to do: 0 done, {len(texts)} linked" in beside


@pytest.mark.parametrize("more", [("--jobs", 2), ("--executor", "ray")])
def test_a_memory_that_workers_cannot_reach_is_refused(recipe, more):
    done = pinch("study", "run", recipe, "-o", "memory://runs/mine", *more)
    assert refused(done, "memory:// is in the memory of this process, where other processes cannot reach it.")
    assert "s3://bucket/runs/mine" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("report", "file://nowhere"), "file://nowhere: is not a run folder"),
        (("report", "--answers", "a", "-o", "s3://bucket/page"), "a page of answers is written to this machine"),
        (("study", "show", "score", "-o", "file://nowhere"), "is not a run folder"),
        (("study", "show", "score", "-o", "nope"), "nope: is not a run folder"),
        (("study", "plan", "quickstart", "--only", "x"), "quickstart has no experiments."),
        (("study", "status", "quickstart", "--only", "x"), "The recipe has no experiments."),
        (("study", "status", "r.yaml", "-o", "nonsense://x/y"), "A run folder at nonsense:// cannot be opened."),
        (("study", "status", "r.yaml", "--only", "tow"), "Did you mean two"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_folder_that_is_none_is_a_sentence(recipe, tmp_path, words, sentence):
    assert refused(pinch(*words), sentence)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_a_key_in_a_recipe_is_refused_before_the_recipe_is_kept(recipe, tmp_path):
    value = yaml.safe_load(recipe.read_text())
    extra = {"extra_headers": {"Authorization": "Bearer sk-12345"}}
    value["judging"] = {"judge": "reference", "panel": [{"judge": "llm:m", "settings": {"extra": extra}}]}
    recipe.write_text(json.dumps(value))
    done = pinch("study", "run", recipe, "-o", "runs/mine")
    assert refused(done, "The setting extra.extra_headers.Authorization looks like a key or password")
    assert "OPENAI_API_KEY" in done.stderr
    assert "sk-12345" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_the_page_of_an_unfinished_study_is_not_written_and_nothing_is_done(recipe, monkeypatch):
    folder = Path("runs/mine")
    assert pinch("study", "run", recipe, "-o", folder, "--only", "two").returncode == 0
    old = (folder / "report" / "index.html").read_bytes()
    (folder / "recipe.json").write_text(json.dumps(recipes.load(str(recipe)).model_dump(mode="json")))
    before = sorted(folder.rglob("*"))
    done = pinch("report", folder)
    assert re.search(r"runs/mine is not finished: \d+ steps are left\.", done.stderr)
    assert refused(done, "`pinch study run RECIPE --output runs/mine`")
    assert sorted(folder.rglob("*")) == before
    assert (folder / "report" / "index.html").read_bytes() == old

    # Of a finished one, the old page is there as long as no new one is.
    assert pinch("study", "run", recipe, "-o", folder, "--only", "two").returncode == 0
    assert pinch("report", folder, "--json").value["done"] == ["report"]
    assert sorted(folder.rglob("*")) == before

    def fails(*_):
        raise PinchError("no page")

    monkeypatch.setitem(doing.RUNNERS, "report", fails)
    assert refused(pinch("report", folder), "no page")
    assert (folder / "report" / "index.html").is_file()
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [("-o", "x"), ("--title", "x"), ("--answers", "x"), ("--prompts", "pack"), ("--seed", 0), ("--seen", "fi")]
)
def test_a_run_folders_page_takes_no_options_of_a_page_of_answers(tmp_path, words):
    name = "--output" if words[0] == "-o" else words[0]
    assert refused(pinch("report", tmp_path, *words), f"it takes no {name}.")


def test_a_study_is_not_run_into_what_a_single_command_wrote(recipe, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    assert refused(pinch("study", "run", recipe, "-o", folder), "holds what a single command wrote, not a study")
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


@pytest.mark.usefixtures("recipe")
def test_a_run_folder_of_another_study_gets_a_note():
    said = []

    class Noting(Silent):
        def note(self, sentence):
            said.append(sentence)

    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/recipe.json").write_text('{"name": "other"}')
    mine = recipes.load("r.yaml")
    runs._check_free(open_place("runs/mine"), "runs/mine", mine, Noting())
    assert said == ["runs/mine is the run folder of the study 'other'; 'small' is run there now."]
    Path("runs/mine/recipe.json").write_text('{"name": "small"}')
    runs._check_free(open_place("runs/mine"), "runs/mine", mine, Noting())
    assert len(said) == 1
