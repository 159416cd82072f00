"""`pinch judge`: run, check and import, as a user types them."""

import json
import re
import sys

import pytest

from pinchtune.store import read_manifest, write_records
from tests.cli.in_process import pinch, refused
from tests.cli.terminal import terminal
from tests.conftest import answer, prompt
from tests.fault_server import FaultServer, chat
from tests.judging.test_batch import prefers_longer

#: Sentences of which an identifier is sure.
TEXTS = {
    "en": "The river runs through the valley and past the old mill, where the children play in summer.",
    "fi": "Joki virtaa laakson läpi vanhan myllyn ohi, ja lapset leikkivät siellä kesäisin aamusta iltaan.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prompts in two languages, and answers of two models: "good" says the reference, and more of it than "bad"."""
    root = tmp_path_factory.mktemp("judge")
    prompts = [
        prompt(str(number), tag, f"Question {number}?", f"{number}. {text}")
        for number in range(6)
        for tag, text in TEXTS.items()
    ]
    write_records(root / "p.jsonl", prompts)
    write_records(root / "good/records.jsonl", [answer(p.id, p.language, "good", p.reference) for p in prompts])
    write_records(root / "bad/records.jsonl", [answer(p.id, p.language, "bad", p.reference[:50]) for p in prompts])
    return root


@pytest.fixture
def judge(folder, tmp_path, monkeypatch):
    """Return a function that runs `pinch judge` on them, with a cache of the test's own."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    named = ("--candidate", folder / "good", "--baseline", folder / "bad", "--cache", tmp_path / "c.sqlite")

    def run(*words, output=tmp_path / "v"):
        return pinch("judge", folder / "p.jsonl", *named, "-o", output, *words)

    return run


def verdicts(path):
    return [json.loads(line) for line in (path / "records.jsonl").read_text("utf-8").splitlines()]


def test_the_reference_judge_is_the_default_and_run_may_be_said(folder, judge, tmp_path):
    done = judge()
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'v'}: 24 of 24 records\n"
    assert {(one["judge"], one[one["choice"]]) for one in verdicts(tmp_path / "v")} == {("reference-chrf++-m1", "good")}
    words = ("--candidate", folder / "good", "--baseline", folder / "bad", "-o", tmp_path / "w")
    assert pinch("judge", "run", folder / "p.jsonl", *words).returncode == 0
    assert verdicts(tmp_path / "w") == verdicts(tmp_path / "v")


def test_the_fake_judge_counts_what_it_could_not_judge(judge, tmp_path):
    done = judge("--judge", "fake", "--setting", 'fail_on=["3"]', "--languages", "fi", "--json")
    assert done.value["manifest"]["failed"] == {"fake": 2}
    assert (done.value["manifest"]["n_in"], done.value["manifest"]["n_out"]) == (12, 10)
    assert len((tmp_path / "v/failures.jsonl").read_text().splitlines()) == 2


def test_an_estimate_needs_no_key_and_writes_nothing(judge, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    (tmp_path / "prices.yaml").write_text("m: {input: 2, output: 8}\n")
    found = judge("--judge", "llm:m", "--estimate", "--prices", tmp_path / "prices.yaml", "--json").value
    assert (found["n_pairs"], found["n_calls"], found["n_cached"]) == (12, 24, 0)
    assert found["cost"] == pytest.approx((2 * found["n_prompt_tokens"] + 8 * found["n_tokens"]) / 1e6)
    assert "Cost: not known: give --prices" in judge("--judge", "llm:m", "--estimate").stdout
    assert not (tmp_path / "v").exists()


def test_a_cap_on_cost_stops_and_a_higher_one_goes_on(judge, tmp_path):
    (tmp_path / "prices.yaml").write_text("m: {input: 100, output: 100}\n")

    def reply(body):
        read = round(len(body["messages"][0]["content"].encode()) / 4)
        return prefers_longer(body) | {"usage": {"prompt_tokens": read, "completion_tokens": 1}}

    with FaultServer(reply=reply) as server:
        llm = ("--judge", "llm:m", "--base-url", f"{server.url}/v1", "--setting", "workers=1")
        priced = (*llm, "--prices", tmp_path / "prices.yaml")
        cost = judge(*priced, "--estimate", "--json").value["cost"]
        done = judge(*priced, "--max-cost", cost / 3)
        assert done.returncode == 1
        assert f"over the cap of ${cost / 3:.4f}" in done.stderr
        assert "the same command with a higher --max-cost goes on" in done.stderr
        assert not (tmp_path / "v").exists()
        assert 0 < server.n_requests < 24
        again = judge(*priced, "--max-cost", cost, "--json")
        assert again.returncode == 0, again.stderr
        assert server.n_requests == 24
    told = again.value["spent"]
    assert told["n_calls"] + told["n_cached"] == 24
    assert 0 < told["cost"] <= cost
    assert {one[one["choice"]] for one in verdicts(tmp_path / "v")} == {"good"}
    assert all(0.5 < one["probability"] < 1 for one in verdicts(tmp_path / "v"))


def result_of(line):
    request = json.loads(line)
    body = prefers_longer(request["body"])
    return json.dumps({"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}})


def test_a_batch_goes_out_and_comes_back_as_the_live_calls_would(judge, tmp_path, monkeypatch):
    llm = ("--judge", "llm:m", "--base-url", "http://127.0.0.1:9/v1")
    with monkeypatch.context() as patch:
        patch.delenv("OPENAI_API_KEY")
        done = judge(*llm, "--batch-requests", tmp_path / "requests.jsonl", "--json")
    assert done.value == {"requests": 24, "files": [str(tmp_path / "requests.jsonl")]}
    results = [result_of(line) for line in (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()]
    (tmp_path / "results.jsonl").write_text("\n".join(results[:20]))
    some = judge(*llm, "--batch-results", tmp_path / "results.jsonl")
    assert refused(some, "4 calls have no verdict in these files.")
    assert "20 verdicts read from 20 lines." in some.stderr
    assert judge(*llm, "--batch-requests", tmp_path / "left.jsonl", "--json").value["requests"] == 4
    (tmp_path / "rest.jsonl").write_text("\n".join(results[20:]))
    files = ("--batch-results", tmp_path / "results.jsonl", "--batch-results", tmp_path / "rest.jsonl")
    done = judge(*llm, *files)
    assert done.returncode == 0, done.stderr
    assert judge(*llm, "--batch-requests", tmp_path / "none.jsonl").stdout.startswith("0 requests in no file")
    with FaultServer(reply=prefers_longer) as server:
        live = ("--judge", "llm:m", "--base-url", f"{server.url}/v1", "--cache", tmp_path / "other.sqlite")
        assert judge(*live, output=tmp_path / "live").returncode == 0
    assert (tmp_path / "live/records.jsonl").read_bytes() == (tmp_path / "v/records.jsonl").read_bytes()


def test_what_a_batch_lacks_is_asked_live_where_that_is_said(judge, tmp_path):
    with FaultServer(reply=prefers_longer) as server:
        llm = ("--judge", "llm:m", "--base-url", f"{server.url}/v1")
        judge(*llm, "--batch-requests", tmp_path / "requests.jsonl")
        lines = (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()
        (tmp_path / "results.jsonl").write_text("\n".join(map(result_of, lines[:20])))
        done = judge(*llm, "--batch-results", tmp_path / "results.jsonl", "--live")
        assert done.returncode == 0, done.stderr
        assert server.n_requests == 4
    assert len(verdicts(tmp_path / "v")) == 24


def test_an_early_stop_says_which_is_better_and_judges_no_more(tmp_path):
    prompts = [prompt(str(number)) for number in range(100)]
    write_records(tmp_path / "p.jsonl", prompts)
    for model, text in (("good", "A long answer."), ("bad", "Short.")):
        write_records(tmp_path / model / "records.jsonl", [answer(p.id, "en", model, text) for p in prompts])
    words = ("--candidate", tmp_path / "good", "--baseline", tmp_path / "bad", "--judge", "fake", "--early-stop")
    done = pinch("judge", tmp_path / "p.jsonl", *words, "-o", tmp_path / "v")
    assert re.search(r"^The candidate is better: shown after \d0 prompts, at look [12] of 5", done.stdout)
    assert "judge all prompts for its size" in done.stdout
    notes = read_manifest(tmp_path / "v").notes["early_stop"]
    assert (notes["stopped_early"], notes["finding"]) == (True, "above")
    assert len(verdicts(tmp_path / "v")) == 2 * notes["prompts"] < 200


def test_a_judge_that_gives_no_verdict_is_exit_code_1_and_the_sentence_says_so(judge):
    with FaultServer(reply=lambda _: chat("C", finish="length")) as server:
        done = judge("--judge", "llm:m", "--base-url", f"{server.url}/v1", "--limit", 1)
    assert done.returncode == 1
    assert "4 unparsable" in done.stdout
    assert "The judge gave no verdict: " in done.stderr
    assert "are the answers to these prompts" not in done.stderr


def test_answers_to_other_prompts_are_exit_code_1_and_another_sentence(judge, folder, tmp_path):
    write_records(tmp_path / "p.jsonl", [prompt("of-another-set")])
    words = ("--candidate", folder / "good", "--baseline", folder / "bad", "-o", tmp_path / "v")
    done = pinch("judge", tmp_path / "p.jsonl", *words)
    assert done.returncode == 1
    assert "are the answers to these prompts" in done.stderr


# ---------------------------------------------------------------------------------------------- check


def test_a_check_tells_a_judges_power_in_each_language(judge):
    words = ("judge", "check", "pack", "--languages", "en,fi", "--n", 2, "--limit", 12)
    done = pinch(*words, "--judge", "reference")
    assert done.returncode == 0, done.stderr
    header = ["language", "wrong_language", "shuffled", "cut_off", "other_prompt", "attack", "power", "consistent"]
    assert done.stdout.split()[: len(header)] == header
    assert re.search(r"(?m)^finds 10 of 10 planted defects in Finnish", done.stdout)
    found = pinch(*words, "--judge", "fake", "--json").value
    assert {(one["language"], one["n_pairs"]) for one in found["languages"]} == {("en", 10), ("fi", 10)}
    cut = [one for one in found["detections"] if one["defect"] == "cut_off"]
    # Whoever prefers the longer answer finds what was cut off.
    assert [one["n_detected"] for one in cut] == [2, 2]


def test_a_judge_that_answers_nothing_is_checked_as_failed():
    words = ("judge", "check", "pack", "--languages", "en,fi", "--n", 1, "--limit", 5)
    done = pinch(*words, "--judge", "llm:m", "--engine", "fake")
    assert done.returncode == 1, done.stderr
    assert "gave no verdict in both orders on a planted defect in English (10 calls failed)" in done.stdout


# --------------------------------------------------------------------------------------------- import


def annotation(number, preference, **more):
    return {
        "instruction": f"Question {number}?",
        "output_1": "An answer of the baseline.",
        "generator_1": "baseline/model",
        "output_2": "Another answer.",
        "generator_2": "candidate",
        "annotator": "gpt",
        "preference": preference,
        **more,
    }


def test_alpaca_evals_file_becomes_folders_that_score_takes(tmp_path):
    rows = [annotation(0, 2), annotation(1, 1), annotation(2, 2), annotation(3, 0), annotation(4, None)]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    done = pinch("judge", "import", tmp_path / "annotations.json", "-o", tmp_path / "i")
    # Two wins, a loss and a draw, as AlpacaEval counts them: (2 + 1/2) / 4.
    assert done.stdout.splitlines()[2].split() == ["en", "candidate", "baseline/model", "62.50", "23.94", "4"]
    again = pinch("judge", "import", tmp_path / "annotations.json", "-o", tmp_path / "i", "--json")
    assert [one["value"] for one in again.value] == [0.625]
    folders = [manifest.parent for manifest in (tmp_path / "i/answers").rglob("manifest.json")]
    answers = [word for path in folders for word in ("--answers", path)]
    scored = pinch(
        "score", tmp_path / "i/prompts.jsonl", *answers, "--verdicts", tmp_path / "i/verdicts", "-o", tmp_path / "s"
    )
    assert scored.returncode == 0, scored.stderr
    assert "candidate against baseline/model" in scored.stdout


def test_a_file_cannot_choose_where_it_is_written(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([annotation(0, 2, generator_2="../../outside")]))
    done = pinch("judge", "import", tmp_path / "a.json", "-o", tmp_path / "deep/i")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"i"}


def test_a_file_of_three_models_leaves_nothing_behind(tmp_path):
    rows = [annotation(0, 2), annotation(1, 1, generator_2="another")]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    done = pinch("judge", "import", tmp_path / "a.json", "-o", tmp_path / "i")
    assert refused(done, "holds verdicts on 2 pairs of models")
    assert not (tmp_path / "i").exists()


def test_another_file_does_not_replace_what_was_imported(tmp_path):
    for name, preference in (("a.json", 2), ("b.json", 1)):
        (tmp_path / name).write_text(json.dumps([annotation(name, preference), annotation(1, 1)]))
    assert pinch("judge", "import", tmp_path / "a.json", "-o", tmp_path / "i").returncode == 0
    before = (tmp_path / "i/prompts.jsonl").read_bytes()
    done = pinch("judge", "import", tmp_path / "b.json", "-o", tmp_path / "i")
    assert refused(done, "holds the result of other settings or other data")
    assert (tmp_path / "i/prompts.jsonl").read_bytes() == before
    assert pinch("judge", "import", tmp_path / "b.json", "-o", tmp_path / "i", "--overwrite").returncode == 0


def test_a_language_is_read_as_everywhere(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([annotation(0, 2), annotation(1, 1)]))
    done = pinch("judge", "import", tmp_path / "a.json", "--language", "EN", "-o", tmp_path / "i", "--json")
    assert [(one["language"], one["value"]) for one in done.value] == [("en", 0.5)]


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--judge", "refrence"], "Did you mean reference?"),
        (["--judge", "llm"], "Name it after a colon: --judge llm:MODEL"),
        (["--judge", "llm:m", "--base-url", "localhost:8000"], "base_url is not an address"),
        (["--judge", "llm:m", "--engine", "endpont"], "Did you mean endpoint?"),
        (["--judge", "llm:m", "--setting", "labels=XY"], "labels is 'XY'."),
        (["--judge", "llm:m", "--setting", "worker=3"], "endpoint has no setting 'worker'"),
        (["--judge", "llm:m", "--setting", "workers"], "--setting key=value"),
        (["--judge", "llm:m", "--setting", "on_note=x"], "llm has no setting 'on_note'"),
        (["--judge", "reference", "--explain"], "reference has no setting 'explain'"),
        (["--judge", "llm:m", "--max-cost", "1"], "A cost cap needs a price."),
        (["--judge", "llm:m", "--prices", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["--prices", "nowhere.yaml"], "--judge llm:MODEL"),
        (["--batch-requests", "r.jsonl"], "makes no requests that could be written to a file"),
        (["--judge", "llm:m", "--batch-results", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--languages", "sw"], "has no prompt in sw"),
        (["--languages", "finnish"], "Did you mean fi?"),
        (["--cache", "."], ".: is a folder; a verdict cache is a file"),
        (["--early-stop", "--languages", "fi", "--limit", "2"], "5 looks need 5 prompts or more; there are 2."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_to_a_run_is_a_sentence(judge, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    with_cache = [*words, "--judge", "llm:m"] if "--cache" in words else words
    done = judge(*with_cache)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "v").exists()


def test_a_run_asks_where_to_and_a_judge_that_needs_a_key_for_it(judge, folder, monkeypatch):
    words = ("--candidate", folder / "good", "--baseline", folder / "bad")
    assert refused(pinch("judge", folder / "p.jsonl", *words), "--output FOLDER")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert refused(judge("--judge", "llm:m"), "Set the environment variable OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "pack"], "Missing option '--judge'"),
        (["check", "pack", "--judge", "reference", "--n", "0"], "Invalid value for '--n'"),
        (["check", "p.jsonl", "--judge", "reference"], "No prompt has a reference response of"),
        (["import", "nowhere.json", "-o", "i"], "nowhere.json: there is no such file"),
        (["import", "p.jsonl", "-o", "i"], "not a JSON list"),
        (["import", "a.json", "-o", "i", "--format", "arena"], "There is no format 'arena'"),
        (["import", "a.json", "-o", "i", "--language", "finnish"], "Did you mean fi?"),
        (["import", "a.json", "-o", "full"], "nothing in it says that pinch made it"),
    ],
    ids=" ".join,
)
def test_wrong_input_to_the_others_is_a_sentence(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path / "p.jsonl", [prompt("a", reference="Short.")])
    (tmp_path / "a.json").write_text(json.dumps([annotation(0, 2)]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert refused(pinch("judge", *words), sentence)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_the_judges_attempts_and_its_endpoints_are_two_settings(judge, tmp_path):
    llm = ("--judge", "llm:m", "--languages", "fi", "--limit", 1, "--setting", "engine.base_delay=0")
    counts = {}
    for name, reply in {"faulty": lambda _: (500, "down"), "unreadable": lambda _: chat("no verdict")}.items():
        with FaultServer(reply=reply) as server:
            more = ("--base-url", f"{server.url}/v1", "--setting", "attempts=2", "--setting", "engine.attempts=3")
            done = judge(*llm, *more, "--json", output=tmp_path / name)
            counts[name] = server.n_requests
            assert done.returncode == 1, done.stderr
            assert sum(done.value["manifest"]["failed"].values()) == 2
    # Two calls, one an order. A fault is the endpoint's to try again, a reply that is no verdict the judge's.
    assert counts == {"faulty": 2 * 3, "unreadable": 2 * 2}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("engine.atempts=3",), "Did you mean attempts"),
        (("workers=3", "engine.workers=4"), "The setting workers is given twice."),
        (("engine.model=m",), "engine.model is no setting of an engine."),
    ],
)
def test_an_engines_setting_that_is_none_is_refused(judge, settings, sentence):
    words = [word for one in settings for word in ("--setting", one)]
    assert refused(judge("--judge", "llm:m", *words), sentence)


def test_on_a_terminal_too_an_error_in_an_argument_stands_alone(folder, tmp_path):
    named = ("--candidate", folder / "good", "--baseline", folder / "bad", "-o", tmp_path / "v")
    with terminal() as seen:
        done = pinch("judge", folder / "p.jsonl", *named, "--setting", "margn=2", stderr=sys.stderr)
    assert done.returncode == 2
    assert seen.screens()[-1][0] == "pinch: reference has no setting 'margn'."
    assert len(seen.screens()[-1]) == 2  # and what to type next
