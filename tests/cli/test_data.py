"""`pinch data` as a user meets it: in a process of its own, with its exit codes and its two streams."""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from pinchtune.records import Example
from pinchtune.sources.files import load_examples
from pinchtune.store import Manifest, read_manifest, read_records, write_records
from tests.conftest import example, prompt

# Works before and after `data` is among the commands of `pinch`.
CODE = """
from pinchtune import cli
from pinchtune.cli import data
if not any(group.name == "data" for group in cli.app.registered_groups):
    cli.app.add_typer(data.app, name="data")
cli.main()
"""
PINCH = [sys.executable, "-W", "ignore", "-c", CODE, "data"]
ENGLISH = "This is a sentence in English, with quite enough words in it to be identified."


def pinch(*words, cwd=None):
    return subprocess.run([*PINCH, *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture
def parallel(tmp_path):
    """Ten ids in two languages."""
    path = tmp_path / "parallel.jsonl"
    examples = [example(str(n), tag, f"{tag} {n}?", f"{tag} {n}.") for n in range(10) for tag in ("en", "fi")]
    write_records(path, examples)
    return path


@pytest.fixture
def messy(tmp_path):
    """A duplicate, a near duplicate, and a question of the evaluation set."""
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    path = tmp_path / "messy.jsonl"
    examples = [
        example("a", user="Count.", assistant=text),
        example("b", user="Count.", assistant=text),
        example("c", user="Count.", assistant=text + " and on"),
        example("d", user="Why is the sky blue?"),
        example("e", user="Who wrote Emma?"),
    ]
    write_records(path, examples)
    return path


@pytest.fixture
def asked(tmp_path):
    write_records(tmp_path / "asked.jsonl", [prompt("x", text="Why is the sky blue?", reference=None)])
    return tmp_path / "asked.jsonl"


def kept(path):
    return [one.id for one in read_records(path, Example)]


@pytest.mark.parametrize("words", [[], ["describe"], ["split"], ["dedupe"]], ids=" ".join)
def test_every_command_has_a_help_with_an_example(words):
    done = pinch(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert not words or f"pinch data {words[0]} " in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["describe", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["describe", "rows.jsonl"], "rows.jsonl, line 1: no language"),
        (["describe", "rows.jsonl", "--language", "en", "-o", "out.txt"], "out.txt: a .json file is written"),
        (["split", "rows.jsonl", "--language", "en", "--eval", "some"], "neither a count nor a percentage"),
        (["split", "rows.jsonl", "--language", "en", "--eval", "0.1"], "Write --eval 200 for 200 ids, or --eval 5%."),
        (["split", "rows.jsonl", "--language", "en", "--eval", "2"], "2 of 2 ids for evaluation leaves a side empty"),
        (["split", "rows.jsonl", "--language", "en", "--eval", "100%"], "100 percent is no share"),
        (["split", "rows.jsonl", "--language", "en", "--eval", "1", "-o", "."], "is replaced as a whole"),
        (["split", "rows.jsonl"], "Missing option"),
        (["dedupe", "rows.jsonl", "--language", "en", "--against", "nowhere.jsonl"], "there is no such file"),
        (["dedupe", "rows.jsonl", "--language", "en", "--threshold", "0"], "A threshold of 0 means nothing"),
        (["dedupe", "rows.jsonl", "--language", "en", "-o", "out.csv"], "out.csv: a .jsonl file is written"),
        (["dedupe", "rows.jsonl", "--language", "en", "-o", "."], ".: a .jsonl file is written"),
        (["dedupe", "rows.jsonl", "--language", "en", "-o", "rows.jsonl"], "is what is read, and stays as it is"),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, list) else None,
)
def test_wrong_input_is_a_sentence_and_exit_code_2(tmp_path, words, sentence):
    rows = '{"instruction": "Hi", "output": "Hello"}\n{"instruction": "Why?", "output": "Because."}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    done = pinch(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert os.listdir(tmp_path) == ["rows.jsonl"]
    assert (tmp_path / "rows.jsonl").read_text() == rows


def test_a_description_is_a_table_or_json_or_a_file(tmp_path):
    path = tmp_path / "d.jsonl"
    write_records(path, [example("a", assistant=ENGLISH), example("b", "fi", assistant=ENGLISH), example("c", "fi")])
    done = pinch("describe", path, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].split()[:4] == ["en", "1", "0", "100.0"]
    assert "b: declared fi, looks en" in done.stdout
    done = pinch("describe", path, "--json", "--output", tmp_path / "d.json")
    value = json.loads(done.stdout)
    assert value["languages"]["fi"]["agreement"]["share"] == 0.0
    assert value["total"]["agreement"]["disagreeing"] == [{"id": "b", "language": "fi", "found": "en"}]
    assert json.loads((tmp_path / "d.json").read_text()) == value


def test_a_description_without_identification_says_nothing_of_it(parallel):
    done = pinch("describe", parallel, "--no-identify")
    assert "10 ids, 10 of them in more than one language." in done.stdout
    assert "declared" not in done.stdout.partition("\n")[2]


def test_the_pack_can_be_described():
    value = json.loads(pinch("describe", "pack", "--no-identify", "--json").stdout)
    assert value["languages"]["fi"]["n_examples"] == 240


def test_an_empty_file_is_described(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    done = pinch("describe", tmp_path / "empty.jsonl")
    assert done.returncode == 0, done.stderr
    assert "0 ids" in done.stdout


@pytest.mark.parametrize(("size", "n_ids"), [("3", 3), ("40%", 4)])
def test_a_split_keeps_parallel_ids_together_and_its_seed_in_the_manifest(tmp_path, parallel, size, n_ids):
    done = pinch("split", parallel, "--eval", size, "--seed", 7, "--output", tmp_path / "s", "--json")
    assert done.returncode == 0, done.stderr
    train, evaluation = (load_examples(tmp_path / "s" / f"{side}.jsonl").examples for side in ("train", "eval"))
    assert len(evaluation) == 2 * n_ids == 2 * len({one.id for one in evaluation})
    assert not {one.id for one in evaluation} & {one.id for one in train}
    manifest = read_manifest(tmp_path / "s")
    assert isinstance(manifest, Manifest)
    assert (manifest.seeds, manifest.n_in, manifest.n_out) == ({"seed": 7}, 20, 20)
    assert json.loads(done.stdout)["counts"]["eval"] == manifest.notes["counts"]["eval"] == {"en": n_ids, "fi": n_ids}


def test_a_split_done_before_says_so_and_another_one_is_left_alone(tmp_path, parallel):
    words = ("split", parallel, "--output", tmp_path / "s", "--eval")
    assert pinch(*words, 3).returncode == 0
    before = (tmp_path / "s" / "eval.jsonl").read_bytes()
    assert "nothing was done again" in pinch(*words, 3).stderr
    refused = pinch(*words, 4)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "s" / "eval.jsonl").read_bytes() == before
    assert pinch(*words, 4, "--overwrite").returncode == 0
    assert len(kept(tmp_path / "s" / "eval.jsonl")) == 8


def test_a_split_without_output_only_counts(tmp_path, parallel):
    done = pinch("split", parallel, "--eval", 3)
    assert done.stdout.splitlines()[-1].split() == ["ids", "7", "3"]
    assert "give --output" in done.stderr
    assert os.listdir(tmp_path) == ["parallel.jsonl"]


def test_duplicates_are_counted_named_and_left_out(tmp_path, messy):
    done = pinch("dedupe", messy, "--output", tmp_path / "clean.jsonl", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "b (en): repeats a (en), exact, 1.00" in done.stdout
    assert "c (en): repeats a (en), near" in done.stdout
    assert kept(tmp_path / "clean.jsonl") == ["a", "d", "e"]


def test_overlap_with_an_evaluation_set_is_reported_and_left_out(tmp_path, messy, asked):
    done = pinch("dedupe", messy, "--against", asked, "--output", tmp_path / "clean.jsonl", "--json")
    value = json.loads(done.stdout)
    assert {name: value[f"n_{name}"] for name in ("examples", "overlaps", "exact", "near", "kept")} == {
        "examples": 5,
        "overlaps": 1,
        "exact": 1,
        "near": 1,
        "kept": 2,
    }
    assert value["overlaps"] == [
        {"id": "d", "language": "en", "reason": "exact", "of_id": "x", "of_language": "en", "similarity": 1.0}
    ]
    assert kept(tmp_path / "clean.jsonl") == ["a", "e"]


def test_without_output_nothing_is_written(tmp_path, messy, asked):
    done = pinch("dedupe", messy, "--against", asked)
    assert done.returncode == 0
    assert "give --output" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["asked.jsonl", "messy.jsonl"]


def test_a_threshold_of_one_leaves_near_duplicates_in(tmp_path, messy):
    assert pinch("dedupe", messy, "--threshold", 1, "--output", tmp_path / "clean.jsonl").returncode == 0
    assert kept(tmp_path / "clean.jsonl") == ["a", "c", "d", "e"]


def test_training_data_may_be_cleaned_of_the_packs_questions(tmp_path):
    from pinchtune.sources import pack

    asked = next(pack.prompts(["fi"]))
    stolen = example("mine", "fi", asked.instruction)
    write_records(tmp_path / "d.jsonl", [msgspec.structs.replace(stolen, source="web"), example("own")])
    value = json.loads(pinch("dedupe", tmp_path / "d.jsonl", "--against", "pack", "--json").stdout)
    assert [(one["id"], one["of_id"]) for one in value["overlaps"]] == [("mine", asked.id)]


def test_the_result_keeps_what_examples_hold(tmp_path, parallel):
    assert pinch("dedupe", parallel, "--output", tmp_path / "clean.jsonl").returncode == 0
    assert (
        next(read_records(tmp_path / "clean.jsonl", Example)).messages == example("0", "en", "en 0?", "en 0.").messages
    )
    assert len(kept(tmp_path / "clean.jsonl")) == 20


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from pinchtune.cli.data import app;"
        "CliRunner().invoke(app, ['dedupe', '--help']);"
        "print([m for m in ('torch', 'numpy', 'lingua', 'py3langid', 'langcodes') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
