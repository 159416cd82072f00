import re
import tracemalloc

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchtune.records import Failure, Identified, Outcome, Score, Verdict
from pinchtune.report import page as report_page
from pinchtune.report.cells import Cells, file_name
from pinchtune.report.figures import Picture
from pinchtune.report.html import render
from pinchtune.report.page import Page, write_page
from tests.conftest import answer, prompt
from tests.report.links import Tags, dead_links

RESULTS = {"p1": "win", "p2": "loss", "p3": "tie", "p4": "loss"}
HOSTILE = "</pre></div><script>alert(1)</script><img src=x onerror=alert(1)>\"'\x00\u202e\u2067{{ 7 * 7 }}"


def verdict(identifier, first, second, choice, **more):
    return Verdict(**{"language": "fi", "judge": "j"} | more, id=identifier, first=first, second=second, choice=choice)


def both_orders(identifier, result, candidate="c", baseline="b", **more):
    choices = {"win": ("first", "second"), "loss": ("second", "first"), "tie": ("first", "first")}[result]
    yield verdict(identifier, candidate, baseline, choices[0], **more)
    yield verdict(identifier, baseline, candidate, choices[1], **more)


def records(tags=("en", "fi"), models=("c", "b"), text=lambda identifier, tag: f"{identifier} in {tag}", judge="j"):
    """Everything of a study in which one model meets one other, four prompts and one that no judge decided."""
    candidate, baseline = models
    ids = [*RESULTS, "p5"]
    said = [answer(i, tag, model, f"{model}: {text(i, tag)}") for model in models for tag in tags for i in ids]
    pair = {"judge": judge, "candidate": candidate, "baseline": baseline}
    return {
        "prompts": [prompt(i, tag, text(i, tag), f"reference {text(i, tag)}") for tag in tags for i in ids],
        "answers": said,
        "identified": [
            Identified(id=one.id, language=one.language, model=one.model, faithful=one.language == "en", found="en")
            for one in said
        ],
        "outcomes": [
            Outcome(id=i, language=tag, result=result, **pair) for tag in tags for i, result in RESULTS.items()
        ],
        "verdicts": [
            one
            for tag in tags
            for i, result in RESULTS.items()
            for one in both_orders(i, result, *models, language=tag, judge=judge)
        ],
    }


def cell(tmp_path, language="fi", title="A study", pair=("c", "b"), **found):
    cells = Cells([pair], **(found or records()))
    cells.write(tmp_path, title=title)
    return (tmp_path / cells.links(*pair)[language]).read_text()


def together(several):
    """Records of several comparisons with one baseline; what they share once."""
    return {name: list(dict.fromkeys(one for some in several for one in some[name])) for name in several[0]}


def page(n=1, **more):
    """A study of `n` models against one, each in two languages."""
    pairs = [(f"c{number}", "b") for number in range(n)]
    more |= together([records(models=pair) for pair in pairs])
    made = {"low": 0.2, "high": 0.6, "n_asked": 5, "n_answered": 5, "n_judged": 4, "judge": "j"}
    scores = [
        Score(metric="side_by_side", language=tag, model=model, baseline="b", value=0.375, **made)
        for model, _ in pairs
        for tag in ("en", "fi", "all", "non_english")
    ]
    scores += [msgspec.structs.replace(one, metric="language_fidelity", baseline=None, judge=None) for one in scores]
    return Page(title="A study", seed=0, models=["b", *dict(pairs)], comparisons=pairs, scores=scores, **more)


def test_losses_come_first_then_ties_wins_and_what_was_not_decided(tmp_path):
    text = cell(tmp_path)
    assert re.findall(r'<section id="(\w+)">', text) == ["lost", "tied", "won", "undecided"]
    assert re.findall(r"<bdi>(p\d)</bdi></a>", text) == ["p2", "p4", "p3", "p1", "p5"]
    row = re.search(r"<tbody><tr><td><bdi>j</bdi></td>(.*?)</tr>", text)[1]
    assert re.findall(r">(\d+)<", row) == ["2", "1", "1", "1"]
    assert re.findall(r'href="#(\w+)"', row) == ["lost", "tied", "won", "undecided"]


def test_both_orders_of_each_verdict_are_told_and_so_is_a_call_without_one(tmp_path):
    found = records()
    found["verdicts"] += [verdict("p5", "c", "b", "first", probability=0.83)]
    found["unjudged"] = {
        ("c", "b", "fi"): [Failure(id="p5", language="fi", stage="judge", reason="unparsable", detail="I cannot say")]
    }
    said = dict(
        zip(
            ("p2", "p4", "p3", "p1", "p5"),
            re.findall(r'<ul class="verdicts">(.*?)</ul>', cell(tmp_path, **found), re.DOTALL),
            strict=True,
        )
    )
    lines = {identifier: text.replace("</li>", " ") for identifier, text in said.items()}
    plain = {identifier: " ".join(re.sub(r"<[^>]+>", "", text).split()) for identifier, text in lines.items()}
    assert plain["p2"] == "loss · j · shown first c: chose b · shown first b: chose b"
    assert plain["p3"] == "tie · j · shown first c: chose c · shown first b: chose b"
    assert plain["p5"] == (
        "undecided · j · shown first c: chose c (83%) · shown first b: no verdict "
        "a call without a verdict: unparsable: I cannot say"
    )


def test_a_person_sees_a_pair_once_and_may_call_it_a_tie(tmp_path):
    found = records(judge="human:ann")
    found["verdicts"] = [verdict("p3", "b", "c", "tie", judge="human:ann")]
    said = re.findall(r'<ul class="verdicts">(.*?)</ul>', cell(tmp_path, **found), re.DOTALL)[2]
    assert " ".join(re.sub(r"<[^>]+>", "", said).split()) == "tie · human:ann · shown first b: a tie"


def test_a_second_judge_has_counts_of_its_own_and_the_first_one_orders(tmp_path):
    found = records()
    found["outcomes"] += [msgspec.structs.replace(one, judge="panel", result="win") for one in found["outcomes"]]
    text = cell(tmp_path, **found)
    rows = re.findall(r"<td><bdi>(j|panel)</bdi></td>(.*?)</tr>", text)
    assert [re.findall(r">(\d+)<", row) for _, row in rows] == [["2", "1", "1", "1"], ["0", "0", "4", "1"]]
    assert re.findall(r"<bdi>(p\d)</bdi></a>", text)[0] == "p2"


def test_a_reader_who_knows_no_hebrew_finds_the_english_prompt(tmp_path):
    hebrew = cell(tmp_path, "he", **records(tags=("en", "he")))
    assert '<div class="prompt text" dir="rtl" lang="he">p1 in he</div>' in hebrew
    assert '<div class="prompt text" dir="ltr" lang="en">p1 in en</div>' in hebrew
    assert '<span class="bad">in English</span>' in hebrew
    assert "In English" not in cell(tmp_path, "en", **records(tags=("en", "he")))


def test_an_answer_that_is_missing_or_empty_is_said_so(tmp_path):
    found = records()
    found["answers"] = [answer("p1", "fi", "c", ""), answer("p2", "fi", "b")]
    text = cell(tmp_path, **found)
    assert (text.count("an empty answer"), text.count(">no answer<")) == (1, 8)


def test_what_a_model_or_a_recipe_says_is_text_and_never_markup(tmp_path):
    names = HOSTILE + "c", HOSTILE + "b"
    hostile = records(models=names, text=lambda i, tag: f"{i}{tag}{HOSTILE}", judge=HOSTILE)
    text = cell(tmp_path / "hostile", title=HOSTILE, pair=names, **hostile)
    found, plain = Tags(text), Tags(cell(tmp_path / "plain"))
    assert (found.tags, found.events) == (plain.tags, [])
    assert "\x00" not in text
    assert "alert(1)" not in "".join(found.links)
    assert "default-src 'none'" in text
    # What turns the direction of text around ends where the name or the text ends.
    body = re.sub(r"<title>.*?</title>", "", text, flags=re.DOTALL)
    held = r"<bdi>.*?</bdi>|<div class=\"(?:prompt |reference )?text\" dir.*?</div>|<a href=\"../index.html\">.*?</a>"
    assert "\u202e" not in re.sub(held, "", body, flags=re.DOTALL)


@settings(max_examples=25)
@given(st.text(max_size=60))
def test_no_text_adds_a_tag(text):
    def tags(said):
        view = Cells([("c", "b")], **records(text=lambda *_: said)).view("c", "b", "fi")
        return Tags(render("cell.html.jinja", title="t", **view)).tags

    assert tags("x" + text) == tags("xy")


NAMES = st.text(min_size=1, max_size=80)


@given(NAMES, NAMES, st.sampled_from(["en", "zh-Hant", "sr-Latn"]))
def test_a_cells_file_name_is_plain_short_and_always_the_same(candidate, baseline, tag):
    name = file_name(candidate, baseline, tag)
    assert re.fullmatch(r"[a-z0-9-]+\.html", name)
    assert len(name) < 130
    assert name == file_name(candidate, baseline, tag)


def test_names_that_differ_in_what_a_file_name_cannot_hold_have_pages_of_their_own():
    names = ["Pinch 40", "pinch 40", "pinch/40", "pinch_40", "../pinch 40", "ピンチ", "пинч"]
    assert len({file_name(name, "b", "fi") for name in names} | {file_name("b", name, "fi") for name in names}) == 14


def test_every_link_of_a_report_leads_somewhere(tmp_path):
    write_page(page(), tmp_path)
    assert dead_links(tmp_path) == []
    index = (tmp_path / "index.html").read_text()
    assert f'<td><a href="cells/{file_name("c0", "b", "fi")}">Finnish</a></td>' in index
    assert "c0: p1 in fi" in index
    cells = (tmp_path / "cells" / file_name("c0", "b", "fi")).read_text()
    assert '<a href="../index.html">' in cells
    assert f'<a href="{file_name("c0", "b", "en")}">English</a>' in cells
    (tmp_path / "cells" / file_name("c0", "b", "en")).unlink()
    assert len(dead_links(tmp_path)) > 0


def test_a_study_of_experiments_links_every_cell_and_shows_no_answer_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "_SHOWN", 1)  # pictures take time
    drawn = Picture(experiment="e", after="", title="t", svg="<svg></svg>", rows=())
    write_page(page(n=2, pictures=[drawn]), tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert "p1 in fi" not in index
    assert (index.count('<section id="c'), len(list((tmp_path / "cells").iterdir()))) == (1, 4)
    assert all(f'href="cells/{path.name}"' in index for path in (tmp_path / "cells").iterdir())
    assert "<summary>All 2 comparisons</summary>" in index
    assert f'<a href="cells/{file_name("c1", "b", "fi")}" title="Finnish">fi</a> 37.5' in index
    assert dead_links(tmp_path) == []


def test_so_does_a_study_of_many_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "_INLINE", 19)
    write_page(page(), tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert "p1 in fi" not in index
    assert "<summary>All 1 comparisons</summary>" in index


def test_pages_of_an_earlier_report_go_and_what_is_not_ours_stays(tmp_path):
    cell(tmp_path)
    mine = tmp_path / "cells" / "mine.html"
    mine.write_text("<h1>My own page</h1>")
    cell(tmp_path, **records(tags=("en", "fi", "he")))
    assert len(list((tmp_path / "cells").iterdir())) == 4
    cell(tmp_path, **records(tags=("fi",)))
    assert {path.name for path in (tmp_path / "cells").iterdir()} == {file_name("c", "b", "fi"), "mine.html"}


def test_pages_are_in_memory_one_at_a_time(tmp_path):
    def peak(n):
        pairs = [(f"c{number}", "b") for number in range(n)]
        found = together([records(("fi",), pair, lambda i, _: i + 4000 * "x") for pair in pairs])
        cells = Cells(pairs, **found)
        render("cell.html.jinja", title="t", **cells.view(*pairs[0], "fi"))
        tracemalloc.start()
        cells.write(tmp_path / str(n), title="t")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(8) < 1.2 * peak(1)
