"""The command line as a user meets it: in a process of its own, with its exit codes and its two streams."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

PINCH = [sys.executable, "-W", "ignore", "-c", "from pinchtune.cli import main; main()"]


def pinch(*words, cwd=None):
    return subprocess.run([*PINCH, *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["quickstart"],
        ["mix"],
        ["tune"],
        ["generate"],
        ["judge"],
        ["score"],
        ["report"],
        ["engines"],
        ["study", "run"],
        ["pack"],
        ["pack", "list"],
        ["pack", "show"],
        ["pack", "export"],
        ["pack", "check"],
        ["recipe"],
        ["recipe", "schema"],
        ["recipe", "check"],
        ["recipe", "list"],
    ],
    ids=" ".join,
)
def test_every_command_has_a_help(words):
    done = pinch(*words, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from pinchtune.cli import app;"
        "CliRunner().invoke(app, ['--help']);"
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'pydantic', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['rich']")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["mix", "nowhere.jsonl", "--languages", "fi", "--n-examples", 5, "--pinch-examples", 1, "-o", "m"],
            "nowhere.jsonl: there is no such file",
        ),
        (["mix", "pack", "--languages", "finnish", "--n-examples", 5, "-o", "m"], "Did you mean fi?"),
        (["mix", "pack", "--design", "pinhc", "--n-examples", 5, "-o", "m"], "Did you mean pinch"),
        (["mix", "pack", "--languages", "fi", "--n-examples", 5, "-o", "m"], "A pinch has one size"),
        (["mix", "pack", "--languages", "fi", "-o", "m"], "How large is the mixture to be?"),
        (["mix", "pack", "--design", "custom", "--counts", "en:5", "-o", "m"], "Write en=90,es=10"),
        (["tune", "pack", "--base", "./no-model", "-o", "m"], "There is no model './no-model'"),
        (["tune", "pack", "--rank", -3, "-o", "m"], "--rank: Input should be greater than or equal to 1"),
        (["generate", "pack", "--model", ".", "-o", "m"], "is not a model"),
        (["generate", "pack", "--model", "x/y", "--engine", "vlm", "-o", "m"], "There is no engine named 'vlm'"),
        (["generate", "pack", "--model", "m", "--setting", "on_note=x", "-o", "m"], "has no setting 'on_note'"),
        (["judge", "pack", "--candidate", "a", "--baseline", "b", "-o", "m"], "there is no such file"),
        (["report", "."], "is not a run folder"),
        (["report"], "A page shows a run folder, or answers"),
        (["study", "run", "nowhere.yaml"], "there is no such recipe"),
        (["pack", "show", "nonsense"], "no conversation with the id"),
        (["pack", "export", "--format", "xml", "-o", "x"], "There is no format 'xml'"),
        (["pack", "list", "--nonsense"], "No such option"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, list) else None,
)
def test_wrong_input_is_a_sentence_and_exit_code_2(tmp_path, words, sentence):
    done = pinch(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert os.listdir(tmp_path) == []


def test_results_are_json_where_asked(tmp_path):
    done = pinch(
        "mix", "pack", "--languages", "fi,ar", "--n-examples", 20, "--pinch-examples", 6, "-o", tmp_path / "m", "--json"
    )
    value = json.loads(done.stdout)
    assert value["manifest"]["notes"]["counts"] == {"ar": 3, "en": 14, "fi": 3}
    assert json.loads(pinch("pack", "list", "--json").stdout)["fi"]["train"] > 0
    assert json.loads(pinch("engines", "--json").stdout)["judges"]["reference"]


def test_quiet_says_nothing_but_the_result(tmp_path):
    words = ("mix", "pack", "--design", "monolingual", "--n-examples", 5, "-o", tmp_path / "m", "--quiet")
    assert pinch(*words).stderr == ""
    assert pinch(*words).stderr == ""


def test_a_command_done_before_says_so(tmp_path):
    words = ("mix", "pack", "--design", "monolingual", "--n-examples", 5, "-o", tmp_path / "m")
    pinch(*words)
    assert "nothing was done again" in pinch(*words).stderr


def test_every_stage_in_a_row_on_plain_files(tmp_path, tiny_model):
    def run(*words):
        return subprocess.run([*PINCH, *map(str, words)], check=True, capture_output=True, text=True, cwd=tmp_path)

    run("mix", "pack", "--languages", "fi", "--n-examples", 8, "--pinch-percent", 25, "-o", "mix")
    proof = run("tune", "mix", "--base", tiny_model, "--dry-run", "--json", "-o", "model")
    assert json.loads(proof.stdout)["n_examples"] == 8
    assert not (tmp_path / "model").exists()
    run("tune", "mix", "--base", tiny_model, "--epochs", 1, "-o", "model")
    for name, model in (("tuned", "model"), ("base", tiny_model)):
        run(
            "generate",
            "pack",
            "--model",
            model,
            "--name",
            name,
            "--languages",
            "en,fi",
            "--limit",
            2,
            "--max-new-tokens",
            5,
            "-o",
            name,
        )
    run(
        "judge",
        "pack",
        "--candidate",
        "tuned",
        "--baseline",
        "base",
        "--languages",
        "en,fi",
        "--limit",
        2,
        "-o",
        "verdicts",
    )
    scored = run(
        "score",
        "pack",
        "--answers",
        "tuned",
        "--answers",
        "base",
        "--verdicts",
        "verdicts",
        "--seen",
        "fi",
        "--languages",
        "en,fi",
        "--limit",
        2,
        "-o",
        "scores",
    )
    assert "tuned against base, %" in scored.stdout
    run("report", "--answers", "tuned", "--answers", "base", "--verdicts", "verdicts", "-o", "report")
    assert (tmp_path / "report/index.html").read_text().count('class="item"') == 4


def test_ctrl_c_is_exit_code_130_and_the_next_run_goes_on(tmp_path, tiny_model):
    words = [
        "generate",
        "pack",
        "--model",
        str(tiny_model),
        "--name",
        "m",
        "--engine",
        "transformers",
        "--batch-size",
        "1",
        "--max-new-tokens",
        "200",
        "-o",
        str(tmp_path / "a"),
    ]
    process = subprocess.Popen([*PINCH, *words], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "a" / "finished.jsonl"
    waited = time.monotonic() + 120
    while not (log.is_file() and log.read_text().count("\n") >= 2) and time.monotonic() < waited:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "a" / "records.jsonl").exists()
    assert log.read_text().count("\n") >= 2


def test_a_reader_that_leaves_is_no_error():
    process = subprocess.Popen([*PINCH, "pack", "list", "--ids"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr as stream:
        errors = stream.read()
    process.wait()
    assert b"Traceback" not in errors


def test_a_dry_run_lists_the_steps_and_writes_nothing(tmp_path):
    done = pinch("quickstart", "--dry-run", "--output", tmp_path / "q")
    assert "tune/pinch" in done.stdout
    assert "to do" in done.stdout
    assert not (tmp_path / "q").exists()


def test_the_pack_is_shown_and_exported(tmp_path):
    identifier = json.loads(pinch("pack", "list", "--ids", "--json").stdout)[0]["id"]
    assert "── fi" in pinch("pack", "show", identifier, "--languages", "fi").stdout
    done = pinch("pack", "export", "--languages", "fi", "-o", tmp_path / "fi.jsonl", "--json")
    assert json.loads(done.stdout)["n_written"] == (tmp_path / "fi.jsonl").read_text().count("\n") > 0


def test_a_recipe_is_checked_and_its_schema_printed(tmp_path):
    (tmp_path / "r.yaml").write_text("name: x\nlanguage: [en]\n")
    done = pinch("recipe", "check", tmp_path / "r.yaml")
    assert done.returncode == 2
    assert "Did you mean languages" in done.stderr
    assert "mixtures: is missing" in done.stderr
    assert json.loads(pinch("recipe", "schema").stdout)["title"] == "Recipe"
    assert pinch("recipe", "check", "quickstart").returncode == 0


def test_a_check_that_finds_something_exits_with_1(tmp_path):
    code = (
        "from pinchtune.sources import pack_check; pack_check.MIN_SCRIPT = 1.01;from pinchtune.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "pack", "check", "--languages", "fi"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "of letters are in Latn" in done.stdout
    assert pinch("pack", "check", "--languages", "fi").returncode == 0


def test_the_version_is_printed():
    assert pinch("--version").stdout.startswith("pinchtune ")


def test_nothing_judged_is_exit_code_1(tmp_path):
    line = (
        '{"id":"of-another-set","language":"en","model":"%s","text":"x","stop_reason":"stop","n_tokens":1,'
        '"sampling":{}}\n'
    )
    (tmp_path / "a.jsonl").write_text(line % "a")
    (tmp_path / "b.jsonl").write_text(line % "b")
    done = pinch(
        "judge", "pack", "--candidate", tmp_path / "a.jsonl", "--baseline", tmp_path / "b.jsonl", "-o", tmp_path / "v"
    )
    assert done.returncode == 1
    assert "No pair could be judged" in done.stderr


def test_a_language_that_a_conversation_has_not_is_refused():
    done = pinch("pack", "show", "howto-ripen-avocado", "--languages", "en,fr")
    assert done.returncode == 2
    assert "is not there in fr" in done.stderr
