"""`pinch cache`, and what a question left unanswered does."""

import io
import sys

import pytest

from pinchtune.judging.cache import VerdictCache
from pinchtune.judging.judge import Judgement
from tests.cli.in_process import pinch, refused


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / "c.sqlite"
    opened = VerdictCache(path)
    opened.put([("key", "fi", Judgement("first", 0.75, reply="A", labels="AB"))], judge="llm-m")
    opened.close()
    return path


def answered(monkeypatch, text, *words):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return pinch("cache", "clear", "verdicts", *words)


@pytest.mark.parametrize("said", ["n\n", "\n", ""], ids=["no", "enter", "nobody"])
def test_who_does_not_agree_is_told_that_nothing_was_removed(cache, monkeypatch, said):
    done = answered(monkeypatch, said, "--cache", cache)
    assert (done.returncode, done.stdout.strip()) == (1, "Nothing was removed.")
    assert "stopped" not in done.stdout + done.stderr
    assert pinch("cache", "show", "verdicts", "--cache", cache, "--json").value[0]["verdicts"] == 1
    assert answered(monkeypatch, said, "--cache", cache, "--json").value == {"forgotten": 0}


def test_who_agrees_or_says_so_beforehand_forgets(cache, monkeypatch):
    assert answered(monkeypatch, "y\n", "--cache", cache).stdout.endswith("1 verdicts forgotten.\n")
    assert pinch("cache", "clear", "verdicts", "--cache", cache, "--yes").stdout == "0 verdicts forgotten.\n"


def test_a_kind_that_is_none_is_refused_before_any_question(cache):
    assert refused(pinch("cache", "clear", "verdict"), "There is no cache of 'verdict'")


def test_a_cache_or_a_judge_that_is_not_there_is_named_and_nothing_is_made(cache, tmp_path):
    done = pinch("cache", "clear", "verdicts", "--cache", tmp_path / "nope.db", "--yes")
    assert refused(done, "nope.db: there is no such file.")
    assert not (tmp_path / "nope.db").exists()
    done = pinch("cache", "clear", "verdicts", "--judge", "llm-n", "--cache", cache, "--yes")
    assert refused(done, "The cache has no verdicts by 'llm-n'.\nDid you mean llm-m? Allowed: llm-m.")
    assert pinch("cache", "clear", "verdicts", "--judge", "llm-m", "--cache", cache, "--yes").returncode == 0
    done = pinch("cache", "clear", "verdicts", "--judge", "llm-m", "--cache", cache, "--yes")
    assert refused(done, "It holds no verdicts.")
