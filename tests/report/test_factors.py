"""The report's section on factors: which scores they meet, what is drawn, and what is said of few languages."""

import csv

import msgspec
import pytest

from pinchtune.report.factors import section_of, shares_of, write_section
from pinchtune.report.page import write_page
from pinchtune.scoring.factors import Factor
from pinchtune.scoring.similarity import pair_features
from tests.report.studies import TAGS, figures_of, outcomes_of
from tests.report.test_page import page, score

MONO = {"alone": {"design": "monolingual"}}
PINCH = {"sizes": {"design": "pinch", "languages": ["en", "fi", "ru"], "percents": [50], "examples": [8]}}


def measured(tags, name="bits_relative_to_english"):
    return [
        Factor(name=name, language=tag, value=1 + 0.3 * n, low=0.9 + 0.3 * n, high=1.1 + 0.3 * n, n_texts=10)
        for n, tag in enumerate(tags)
    ]


def section(tags=TAGS, factors=None, pairs=(), scores=(), **experiments):
    figures = figures_of(tags, **experiments) if experiments else []
    outcomes = outcomes_of(figures, lambda arm, tag: 0.2 + 0.1 * (sum(map(ord, "".join(arm.languages))) % 5))
    found = measured(tags) if factors is None else factors
    return section_of(found, pairs, figures, outcomes, scores, candidates=["c"], seed=0)


def test_models_of_one_language_are_scored_elsewhere_and_english_is_left_out():
    made = section(**MONO)
    (found,) = made.found
    assert (found.score, found.correlation.n) == ("mean score in other languages", len(TAGS) - 1)
    (drawn,) = made.drawn
    assert [one.language for one in drawn.dots] == TAGS[1:]
    assert made.sentences[0].startswith("4 languages show a correlation with 80% power only where it is 0.99 or")


def test_the_smallest_pinch_is_scored_in_each_language():
    made = section(**PINCH)
    assert [one.score for one in made.found] == ["side by side of a pinch of 8 (sizes)"]


def test_pairs_meet_the_score_of_each_model_in_each_other_language():
    slavic = ["ru", "sr", "hr", "sl", "pl"]
    made = section(slavic, factors=[], pairs=pair_features(slavic), **MONO)
    assert {one.correlation.n_languages for one in made.found} == {5}
    assert {one.correlation.n for one in made.found} == {20}
    assert made.drawn == []
    cells = dict(zip(*(made.correlations[0], made.correlations[1][0]), strict=True))
    assert cells["n"] == "20 pairs of 5"
    assert cells["95%, Fisher"] == ""


def test_a_study_by_hand_has_its_comparisons_and_their_fidelity():
    scores = [score("side_by_side", tag, baseline="b", judge="j") for tag in TAGS]
    scores += [score("language_fidelity", tag, model) for tag in TAGS for model in "cb"]
    made = section(scores=scores)
    assert [one.score for one in made.found] == ["side by side of c against b", "language fidelity of c"]
    assert "never changes" in made.found[0].sentence


def test_three_languages_are_too_few_and_the_page_says_so():
    tags = ["en", "fi", "ru", "sw"]
    made = section(tags, **MONO)
    assert made.sentences[0] == (
        "With 3 languages beside English nothing can be said of any factor: an interval needs 4 or more."
    )
    assert "Nothing can be said about bits beside English" in made.found[0].sentence


def test_no_factor_is_no_section_and_no_score_is_said():
    assert section(factors=[], **MONO) is None
    assert section().sentences == ["No score per language is there to set them against."]


def test_the_table_has_intervals_and_reasons():
    factors = [*measured(["en", "fi"]), Factor(name="pretraining_share", language="en", value=0.504)]
    factors.append(Factor(name="pretraining_share", language="fi", value=None, reason="not_in_table"))
    header, rows = section(factors=factors, **MONO).table
    assert header == ["language", "pretraining share", "bits beside English", "texts"]
    assert rows[1] == ["Finnish", "not in the table", "1.30 (1.20 to 1.40)", "10"]
    assert rows[0][1] == "50.4%"
    assert shares_of(factors) == {"en": 0.504}
    assert shares_of(measured(["en"])) is None


def test_the_section_leaves_its_numbers_beside_the_page(tmp_path):
    made = section(pairs=pair_features(TAGS), **MONO)
    write_section(made, tmp_path)
    rows = list(csv.DictReader((tmp_path / "correlations.csv").read_text().splitlines()))
    assert [one["factor"] for one in rows] == [one.factor for one in made.found]
    assert float(rows[0]["fisher_low"]) == made.found[0].correlation.fisher.low
    assert float(rows[0]["bootstrap_high"]) == pytest.approx(made.found[0].correlation.bootstrap.high)
    assert rows[0]["sentence"] == made.found[0].sentence
    dots = list(csv.DictReader((tmp_path / f"{made.drawn[0].key}.csv").read_text().splitlines()))
    assert [float(one["x_low"]) for one in dots] == [one.x_low for one in made.drawn[0].dots]
    assert len((tmp_path / f"{made.drawn[0].key}-band.csv").read_text().splitlines()) == 51
    assert (tmp_path / "factors.csv").read_text().startswith("name,language,value,low,high,n_texts,reason\n")


def test_the_page_shows_the_section_where_there_is_one(tmp_path):
    made = section(pairs=pair_features(TAGS), **MONO)
    plain = write_page(page(), tmp_path / "plain").read_text()
    text = write_page(msgspec.structs.replace(page(), factors=made), tmp_path / "with").read_text()
    assert 'id="factors"' not in plain
    shown = text[text.index('<section id="factors">') : text.index('<section id="answers">')]
    assert shown.count("<svg") == 1
    assert "<th>95%, Fisher</th><th>95%, bootstrap</th>" in shown
    assert "<td>Finnish</td>" in shown
    assert made.found[0].sentence in shown
    assert (tmp_path / "with/factors.csv").is_file()
