import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.records import Identified, Outcome, Score
from pinchtune.report.page import Page, write_page
from pinchtune.report.summary import gains, summary_table
from pinchtune.report.tables import heat, percent
from tests.conftest import answer, prompt

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'</div>&amp;{{ 7 * 7 }}"


def score(metric, language, model="c", **more):
    fields = {"value": 0.6, "low": 0.5, "high": 0.7, "n_asked": 1, "n_answered": 1, "n_judged": 1}
    return Score(metric=metric, language=language, model=model, **fields | more)


def page(text="An answer.", language="he", **more):
    tags = (language, "all", "non_english")
    return Page(
        title=more.pop("title", "A study"),
        seed=0,
        models=["c", "b"],
        comparisons=[("c", "b")],
        prompts=[prompt("p1", language, text, text)],
        answers=[answer("p1", language, "c", text), answer("p1", language, "b", "")],
        identified=[Identified(id="p1", language=language, model="c", faithful=False, found="en")],
        outcomes=[Outcome(id="p1", language=language, judge="j", candidate="c", baseline="b", result="win")],
        scores=[
            *[score("side_by_side", tag, baseline="b", judge="j") for tag in tags],
            *[score("language_fidelity", tag, model) for tag in tags for model in "cb"],
            score("language_fidelity_gain", "non_english", baseline="b"),
        ],
        **more,
    )


def written(folder, one):
    return write_page(one, folder).read_text()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.events = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]


def test_what_a_model_wrote_is_text_and_never_markup(tmp_path):
    plain, hostile = (Tags(written(tmp_path, page(text, title=text))) for text in ("plain", HOSTILE))
    assert hostile.tags == plain.tags
    assert hostile.events == []
    assert "49" not in re.findall(r"onerror[^<]*", (tmp_path / "index.html").read_text())[0]


@settings(max_examples=12)  # each draws its pictures
@given(st.text(max_size=60))
def test_no_text_adds_a_tag(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("page")
    assert Tags(written(folder, page("x" + text))).tags == Tags(written(folder, page("xy"))).tags


def test_the_page_loads_nothing_from_anywhere(tmp_path):
    text = written(tmp_path, page())
    assert "default-src 'none'" in text
    assert not re.findall(r"""(?:src|href)=["'](?!#|https://arxiv|cells/)""", text)


def test_right_to_left_scripts_are_marked(tmp_path):
    assert '<div class="prompt text" dir="rtl" lang="he">' in written(tmp_path, page())
    assert '<div class="prompt text" dir="ltr" lang="fi">' in written(tmp_path, page(language="fi"))


def test_an_empty_answer_and_a_wrong_language_are_said_so(tmp_path):
    text = written(tmp_path, page())
    assert "an empty answer" in text
    assert '<span class="bad">in English</span>' in text


def test_equal_studies_make_equal_bytes(tmp_path):
    assert written(tmp_path / "a", page()) == written(tmp_path / "b", page())


def test_scores_are_there_as_csv(tmp_path):
    written(tmp_path, page())
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("metric,language,model,value,low,high")
    assert len(lines) == 1 + len(page().scores)


def test_the_sentence_does_not_say_more_than_the_interval(tmp_path):
    assert "cannot be told apart" in written(tmp_path, page())


def test_a_gain_of_language_fidelity_says_over_what_it_is(tmp_path):
    gain = score("language_fidelity_gain", "unseen", baseline="b", n_asked=60, n_answered=58, n_judged=41)
    shown = msgspec.structs.replace(page(), scores=[*page().scores, gain])
    assert "95% interval +50.0 to +70.0, over 41 of 60 prompts, told for both models" in written(tmp_path, shown)


def test_the_short_table_has_a_row_per_language_and_mean():
    header, rows = summary_table(page().scores)
    assert header == ["language", "c against b, %", "95% interval", "fidelity of c, %", "fidelity of b, %"]
    assert rows[0] == ["Hebrew", "60.0", "50.0 to 70.0", "60.0", "60.0"]
    (said,) = gains(page().scores)
    assert said == (
        "Language fidelity gained by c, all but english: +60.0 points [+50.0 to +70.0], "
        "over 1 of 1 prompts, told for both models"
    )


@pytest.mark.parametrize(("value", "text"), [(0.5, "50.0"), (1.0, "100.0"), (0.1234, "12.3")])
def test_percent_has_one_decimal(value, text):
    assert percent(value) == text


def test_heat_is_white_at_the_middle_and_stronger_away_from_it():
    assert heat(0.5) == "rgb(255, 255, 255)"
    assert heat(1.0) != heat(0.75) != heat(0.25)


def test_two_judges_have_a_section_and_columns_each(tmp_path):
    both = page()
    other = [score("side_by_side", tag, baseline="b", judge="k", value=0.5) for tag in ("he", "all", "non_english")]
    both = msgspec.structs.replace(both, scores=[*both.scores, *other])
    text = written(tmp_path, both)
    assert "c against b · j" in text
    assert "c against b · k" in text
    header, rows = summary_table(both.scores)
    assert header[1::2][:2] == ["c against b (j), %", "c against b (k), %"]
    assert rows[0][1:5:2] == ["60.0", "50.0"]


def test_control_characters_do_not_reach_the_page(tmp_path):
    assert not set("\x00\x07\x1b") & set(written(tmp_path, page("a\x00b\x07c\x1bd")))


def test_a_page_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("<h1>My own page</h1>")
    with pytest.raises(PinchError, match="is no page of ours"):
        write_page(page(), tmp_path)
    assert (tmp_path / "index.html").read_text() == "<h1>My own page</h1>"


def test_what_became_of_a_translation_is_counted_on_the_page(tmp_path):
    counts = {"done": 230, "mended": 4, "kept_in_source": 6, "flagged": 1, "failed": {"numbers": 3}}
    text = written(tmp_path, page(translated={"examples": {"fi": counts}}))
    row = text[text.index('id="translation"') :]
    cells = ["Finnish", "examples", "230", "4", "6", "1", "3 numbers"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in row
