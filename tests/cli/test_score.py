"""`pinch score`: run, contrasts, rank and power, as a user types them."""

import random
from math import sqrt

import pytest

from pinchtune.records import Score
from pinchtune.store import read_records, write_records
from tests.cli.in_process import pinch, refused
from tests.conftest import answer, prompt

MODELS = {"plain": 0, "pinch": 3, "uniform": 2, "english": -1}
N = 30


@pytest.fixture(scope="module")
def length():
    """(model, id, language) -> length of the answer; the fake judge prefers the longer."""
    draw = random.Random(1)
    return {
        (model, str(number), tag): draw.randrange(10, 16) + more
        for model, more in MODELS.items()
        for number in range(N)
        for tag in ("en", "es")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, length):
    """Four models' answers, all judged against plain's, counted; pinch's by a second judge too."""
    root = tmp_path_factory.mktemp("score")
    prompts = [prompt(str(number), tag) for number in range(N) for tag in ("en", "es")]
    write_records(root / "p.jsonl", prompts)
    for model in MODELS:
        made = [answer(p.id, p.language, model, "a" * length[model, p.id, p.language]) for p in prompts]
        write_records(root / model / "records.jsonl", made)
    for model in ("pinch", "uniform", "english"):
        pair = ("--candidate", root / model, "--baseline", root / "plain")
        assert pinch("judge", root / "p.jsonl", *pair, "--judge", "fake", "-o", root / f"{model}-fake").returncode == 0
    pair = ("--candidate", root / "pinch", "--baseline", root / "plain")
    assert pinch("judge", root / "p.jsonl", *pair, "-o", root / "pinch-reference").returncode == 0
    one_judge = [f"{model}-fake" for model in ("pinch", "uniform", "english")]
    done = score(root, one_judge, root / "scores", "--seen", "es")
    assert done.returncode == 0, done.stderr
    done = score(root, ["pinch-fake", "pinch-reference"], root / "judges", "--panel", "majority")
    assert done.returncode == 0, done.stderr
    return root


def score(root, verdicts, output, *words):
    given = [word for model in MODELS for word in ("--answers", root / model)]
    given += [word for name in verdicts for word in ("--verdicts", root / name)]
    return pinch("score", root / "p.jsonl", *given, "-o", output, *words)


def test_languages_without_answers_are_said(folder, tmp_path):
    asked = [prompt(str(number), tag) for number in range(N) for tag in ("en", "fi", "es", "he")]
    write_records(tmp_path / "p.jsonl", asked)
    only_english = [answer(str(number), "en", "mono", "aaa") for number in range(N)]
    write_records(tmp_path / "mono" / "records.jsonl", only_english)
    given = ("--answers", folder / "plain", "--answers", tmp_path / "mono")
    done = pinch("score", tmp_path / "p.jsonl", *given, "-o", tmp_path / "scores")
    assert done.returncode == 0, done.stderr
    assert "No answers in: fi, he.\nNo answers of mono in: es.\n" in done.stderr
    assert "No answers" not in score(folder, ["pinch-fake"], tmp_path / "whole").stderr


def points(length, model, tags=("en", "es")):
    """Count by hand: a win is 1, an equal length a tie."""
    won = []
    for number in range(N):
        for tag in tags:
            own, other = length[model, str(number), tag], length["plain", str(number), tag]
            won.append(1.0 if own > other else 0.5 if own == other else 0.0)
    return sum(won) / len(won)


def test_scores_are_what_one_counts_by_hand(folder, length):
    scores = {
        (one.model, one.language): one.value
        for one in read_records(folder / "scores/records.jsonl", Score)
        if one.metric == "side_by_side"
    }
    for model in ("pinch", "uniform", "english"):
        assert scores[model, "all"] == pytest.approx(points(length, model))
        assert scores[model, "es"] == scores[model, "seen"] == pytest.approx(points(length, model, ["es"]))
        assert scores[model, "en"] == pytest.approx(points(length, model, ["en"]))
    again = score(folder, ["pinch-fake", "uniform-fake", "english-fake"], folder / "scores", "--seen", "es", "--json")
    assert again.value["reused"] is True
    assert again.value["manifest"]["notes"]["seen"]["pinch"] == ["es"]


def test_a_panel_stands_beside_each_of_its_judges(folder):
    judges = {one.judge for one in read_records(folder / "judges/records.jsonl", Score) if one.judge}
    assert judges == {"fake", "reference-chrf++-m1", "panel-majority(fake, reference-chrf++-m1)"}
    done = score(folder, ["pinch-fake", "pinch-reference"], folder / "mean", "--panel", "mean")
    assert "panel-mean(fake, reference-chrf++-m1)" in done.stdout


def test_planned_contrasts_are_differences_of_scores(folder, length):
    words = ("--contrast", "pinch:uniform", "--contrast", "pinch:plain", "--groups", "all,seen")
    found = pinch("score", "contrasts", folder / "scores", *words, "--json").value
    assert [(one["first"], one["second"], one["language"]) for one in found] == [
        ("pinch", "uniform", "all"),
        ("pinch", "uniform", "seen"),
        ("pinch", "plain", "all"),
        ("pinch", "plain", "seen"),
    ]
    assert found[0]["value"] == pytest.approx(points(length, "pinch") - points(length, "uniform"))
    # The baseline itself has one half everywhere.
    assert found[3]["value"] == pytest.approx(points(length, "pinch", ["es"]) - 0.5)
    assert all(one["low"] <= one["value"] <= one["high"] and one["p"] <= one["adjusted"] for one in found)
    assert {one["n"] for one in found} == {N}
    text = pinch("score", "contrasts", folder / "scores", *words, "--margin", 5).stdout
    assert text.splitlines()[0].endswith("within 5 points  prompts")
    assert text.splitlines()[2].startswith("pinch - uniform    all")


def test_a_table_has_every_model_and_group_or_those_asked_for(folder, length):
    found = pinch("score", "contrasts", folder / "scores", "--json").value
    cells = {(one["model"], one["language"]): one for one in found}
    groups = ("en", "es", "all", "non_english", "seen")
    assert set(cells) == {(model, group) for model in ("pinch", "uniform", "english") for group in groups}
    assert cells["english", "en"]["value"] == pytest.approx(points(length, "english", ["en"]))
    some = pinch("score", "contrasts", folder / "scores", "--groups", "es", "--json").value
    assert {one["language"] for one in some} == {"es"}
    # Fewer cells to be right about at once: narrower.
    assert some[0]["high"] - some[0]["low"] < cells["pinch", "es"]["high"] - cells["pinch", "es"]["low"]
    assert "95% of all at once" in pinch("score", "contrasts", folder / "scores").stdout


def test_a_ranking_puts_the_models_in_the_order_of_their_points(folder, length):
    found = pinch("score", "rank", folder / "scores", "--baseline", "plain", "--json").value
    expected = sorted(MODELS, key=lambda model: -points(length, model) if model != "plain" else -0.5)
    assert [one["model"] for one in found] == expected
    assert all(one["low"] <= one["strength"] <= one["high"] for one in found)
    assert all(one["best_rank"] <= place <= one["worst_rank"] for place, one in enumerate(found, 1))
    versus = {one["model"]: one["versus"] for one in found}
    assert versus["plain"] is None
    # Davidson's likelihood equations: expected and observed points of a model are the same, where pairs form a tree.
    assert versus["pinch"]["value"] == pytest.approx(points(length, "pinch"), abs=1e-3)
    text = pinch("score", "rank", folder / "scores", "--ties", "half_wins", "--language", "es").stdout
    assert text.split()[0] == "model"
    assert text.splitlines()[2].split()[0] == "pinch"


def test_power_is_answered_both_ways():
    needed = pinch("score", "power", "--difference", 3, "--tie-rate", 40, "--json").value
    # (1.96 + 0.8416)^2 * 0.15 / 0.03^2: the variance of a score of one half with 40% ties is 0.6 / 4.
    assert needed["variance"] == pytest.approx(0.15)
    assert needed["prompts"] == 1309
    found = pinch("score", "power", "--prompts", 1309, "--tie-rate", 40, "--json").value
    assert found["difference"] == pytest.approx(0.03, abs=1e-4)
    assert found["standard_error"] == pytest.approx(sqrt(0.15 / 1309))
    text = pinch("score", "power", "--prompts", 617, "--languages", 12, "--cells", 5).stdout
    assert text.startswith("617 prompts show a difference of ")
    assert "in the mean over 12 languages" in text
    assert ", which is more than there is," in pinch("score", "power", "--prompts", 2).stdout
    assert pinch("score", "power", "--difference", 3).stdout.startswith("1309 prompts show a difference of 3 points")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "p.jsonl", "--answers", "pinch", "--panel", "vote", "-o", "s"], "A panel cannot decide by 'vote'"),
        (["run", "p.jsonl", "--answers", "pinch", "--answers", "pinch", "-o", "s"], "of one model"),
        (["run", "p.jsonl", "--answers", "nowhere", "-o", "s"], "nowhere: there is no such file"),
        (
            ["run", "p.jsonl", "--answers", "pinch", "--verdicts", "nowhere", "-o", "s"],
            "nowhere: there is no such file",
        ),
        (
            ["run", "p.jsonl", "--answers", "pinch", "--verdicts", "pinch-fake", "-o", "s"],
            "a model 'plain', of which no",
        ),
        (["run", "p.jsonl", "--answers", "pinch", "--seen", "finnish", "-o", "s"], "Did you mean fi?"),
        (["run", "p.jsonl", "-o", "s"], "Missing option '--answers'"),
        (["contrasts", "nowhere"], "there is no such file"),
        (["contrasts", "pinch"], "there is no such file"),
        (["contrasts", "scores", "--contrast", "pinch"], "--contrast FIRST:SECOND"),
        (["contrasts", "scores", "--contrast", "pinch:unifrom"], "Did you mean uniform?"),
        (["contrasts", "scores", "--groups", "fi"], "There is no language or mean 'fi'"),
        (["contrasts", "scores", "--judge", "fak"], "Did you mean fake?"),
        (["contrasts", "judges"], "There are verdicts of 3 judges."),
        (["contrasts", "scores", "--margin", "0"], "Invalid value for '--margin'"),
        (["rank", "scores", "--ties", "half"], "Ties cannot be counted as 'half'"),
        (["rank", "scores", "--baseline", "plane"], "Did you mean plain?"),
        (["rank", "scores", "--language", "unsen"], "There is no language or mean 'unsen'"),
        (["rank", "scores", "--judge", "fak"], "Did you mean fake?"),
        (["rank", "judges"], "3 judges"),
        (["power"], "Give one of the two."),
        (["power", "--difference", "3", "--prompts", "9"], "Give one of the two."),
        (["power", "--difference", "3", "--tie-rate", "101"], "Invalid value for '--tie-rate'"),
        (["power", "--difference", "3", "--tie-rate", "100"], "Where every prompt is a tie"),
        (["power", "--prompts", "9", "--power", "1"], "Invalid value for '--power'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_a_sentence(folder, monkeypatch, words, sentence):
    monkeypatch.chdir(folder)
    assert refused(pinch("score", *words), sentence)
    assert not (folder / "s").exists()
