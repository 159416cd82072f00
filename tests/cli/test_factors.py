"""`pinch factors`: measuring a model, and setting what was found against scores, as a user types it."""

import csv
import json

import pytest

from pinchtune.records import Score
from pinchtune.scoring.correlation import correlate
from pinchtune.scoring.factors import Factor
from pinchtune.store import read_manifest, read_records, write_records
from tests.cli.in_process import pinch, refused
from tests.conftest import example

TAGS = ["en", "es", "fi", "ru", "sw", "zh"]
WORTH = {"en": 0.9, "es": 0.8, "fi": 0.5, "ru": 0.6, "sw": 0.3, "zh": 0.7, "non_english": 0.6}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The scores of one model against another in six languages, and in their mean."""
    made = [
        Score(
            metric="side_by_side",
            language=tag,
            model="pinch",
            baseline="english",
            judge="j",
            value=worth,
            low=worth - 0.1,
            high=worth + 0.1,
            n_asked=9,
            n_answered=9,
            n_judged=9,
        )
        for tag, worth in WORTH.items()
    ]
    path = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    write_records(path, made)
    return path


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory, scores):
    """Five languages beside English, measured on the pack, with a table of shares, and set against scores."""
    root = tmp_path_factory.mktemp("factors")
    (root / "shares.json").write_text('{"en": 0.5, "es": 0.2, "fi": 0.02, "ru": "4%", "zh": 0.1}')
    words = ("--languages", "es,fi,ru,sw,zh", "--limit", "3", "--shares", root / "shares.json", "--scores", scores)
    done = pinch("factors", tiny_model, *words, "-o", root / "found")
    assert done.returncode == 0, done.stderr
    (root / "out.txt").write_text(done.stdout)
    return root


def found(folder, name):
    return {one.language: one for one in read_records(folder / "found/records.jsonl", Factor) if one.name == name}


def test_each_language_has_each_factor_with_its_interval_and_texts(folder):
    for name in ("tokens_relative_to_english", "bits_relative_to_english", "bits_per_character"):
        one = found(folder, name)
        assert list(one) == TAGS
        assert all(factor.low <= factor.value <= factor.high for factor in one.values())
        assert {factor.n_texts for factor in one.values()} == {3}
    assert found(folder, "bits_relative_to_english")["en"].value == 1
    chinese = found(folder, "tokens_per_word")["zh"]
    assert (chinese.value, chinese.reason) == (None, "no_spaces")
    shares = found(folder, "pretraining_share")
    assert shares["ru"].value == 0.04
    assert (shares["sw"].value, shares["sw"].reason) == (None, "not_in_table")
    assert read_manifest(folder / "found").settings["shares"]["fi"] == 0.02


def test_the_correlation_is_that_of_the_languages_beside_english(folder):
    rows = [json.loads(line) for line in (folder / "found/correlations/records.jsonl").read_text().splitlines()]
    shares = next(one for one in rows if one["factor"] == "pretraining_share")
    known = {"es": 0.2, "fi": 0.02, "ru": 0.04, "zh": 0.1}
    by_hand = correlate(list(known.values()), [WORTH[tag] for tag in known])
    assert shares["correlation"]["n"] == 4
    assert shares["correlation"]["value"] == pytest.approx(by_hand.value)
    assert shares["p_corrected"] >= shares["correlation"]["p_value"]
    assert {"low", "high"} == set(shares["correlation"]["fisher"])
    assert "side by side of pinch against english" in shares["sentence"]


def test_what_so_few_languages_can_tell_is_said(folder):
    said = (folder / "out.txt").read_text()
    assert "5 languages show a correlation with 80% power only where it is 0.96 or stronger" in said
    assert "corrected for their number (Holm), none is shown" in said


def test_a_scatter_is_a_picture_with_its_points_and_its_band(folder):
    made = folder / "found/correlations"
    name = "factors-bits_relative_to_english-side_by_side-pinch-vs-english"
    assert (made / f"{name}.svg").read_text().startswith("<svg")
    dots = list(csv.DictReader((made / f"{name}.csv").read_text().splitlines()))
    assert [one["language"] for one in dots] == TAGS[1:]
    bits = found(folder, "bits_relative_to_english")
    assert [float(one["x_high"]) for one in dots] == [bits[tag].high for tag in TAGS[1:]]
    band = list(csv.DictReader((made / f"{name}-band.csv").read_text().splitlines()))
    assert all(float(one["low"]) <= float(one["fit"]) <= float(one["high"]) for one in band)


def test_the_same_again_measures_nothing_and_another_score_is_set_against_it(folder, tiny_model, scores):
    words = ("--languages", "es,fi,ru,sw,zh", "--limit", "3", "--shares", folder / "shares.json", "--json")
    done = pinch("factors", tiny_model, *words, "--scores", scores, "--method", "spearman", "-o", folder / "found")
    assert done.value["reused"] is True
    assert {one["correlation"]["method"] for one in done.value["correlations"]} == {"spearman"}
    # Back to what the other tests read.
    pinch("factors", tiny_model, *words, "--scores", scores, "-o", folder / "found")


def test_texts_of_ones_own_need_no_pack(tiny_model, tmp_path):
    made = [
        example(f"t{n}", tag, assistant=f"{word} {n}") for n in range(3) for tag, word in (("en", "a"), ("de", "ß"))
    ]
    write_records(tmp_path / "t.jsonl", made)
    words = ("--languages", "de", "--texts", tmp_path / "t.jsonl", "--no-bits", "-o", tmp_path / "f", "--json")
    done = pinch("factors", tiny_model, *words)
    assert {one["language"] for one in done.value["factors"]} == {"en", "de"}
    again = pinch("factors", tiny_model, "--languages", "fr", *words[2:6], tmp_path / "g")
    assert refused(again, "has no text in fr")


def test_a_language_that_the_pack_has_not_is_named_and_has_a_reason(tiny_model, tmp_path):
    done = pinch("factors", tiny_model, "--languages", "fi,yo", "--limit", "2", "--no-bits", "-o", tmp_path / "f")
    assert "no parallel text in yo" in done.stderr
    yoruba = [one for one in read_records(tmp_path / "f/records.jsonl", Factor) if one.language == "yo"]
    assert {one.reason for one in yoruba} == {"not_in_pack"}
    assert "no parallel text" in done.stdout


def test_what_cannot_be_meant_is_refused(tiny_model, tmp_path, scores):
    there = ("-o", tmp_path / "f")
    assert refused(pinch("factors", tiny_model, "--languages", "en", *there), "there is none")
    words = ("factors", tiny_model, "--languages", "fi", "--no-bits", *there)
    assert refused(pinch(*words, "--no-fertility"), "Nothing is left to find")
    assert refused(pinch(*words, "--method", "kendall"), "There is no correlation 'kendall'")
    assert refused(pinch(*words, "--scores", scores, "--tuned", "pinhc"), "no score of a model 'pinhc'")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--scores", "nope.jsonl"), "nope.jsonl"),
        (("--scores", "{}", "--metric", "side_by_sidee"), "Did you mean side_by_side"),
        (("--scores", "{}", "--metric", ""), "No score is named."),
        (("--scores", "{}", "--tuned", "pinhc"), "Did you mean pinch"),
        (("--tuned", "pinch"), "--tuned needs --scores."),
        (("--method", "spearman", "--metric", "side_by_side"), "--metric and --method need --scores."),
    ],
)
def test_a_word_mistyped_of_scores_is_refused_before_anything_is_measured(tmp_path, scores, more, sentence):
    words = [str(scores) if word == "{}" else word for word in more]
    # The model would be the next fault.
    done = pinch("factors", tmp_path / "no-model", "--languages", "fi", *words, "-o", tmp_path / "f")
    assert refused(done, sentence)
    assert not (tmp_path / "f").exists()


def test_the_help_shows_examples():
    done = pinch("factors", "--help")
    assert "pinch factors gemma3-270m --languages fi,ru,sw,zh --output factors" in done.stdout
