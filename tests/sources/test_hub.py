import json
import sys
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest

from pinchtune.errors import DataError, MissingExtraError, PinchError
from pinchtune.sources import hub
from pinchtune.sources.rows import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"question": "Why?", "answer": "Because.", "lang": "en"}, {"question": "Miksi?", "answer": "Siksi."}]
COLUMNS = {"prompt": "question", "completion": "answer"}


@pytest.fixture
def folder(tmp_path):
    """A data set as a folder, which `datasets` streams as it does one of the Hub."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Source(name=str(tmp_path), revision=COMMIT)


def test_rows_are_streamed_with_their_numbers(folder):
    rows = list(hub.stream(folder))
    assert [(number, row["question"]) for number, row in rows] == [(1, "Why?"), (2, "Miksi?")]


def test_no_row_is_read_before_it_is_asked_for(monkeypatch):
    def rows():
        yield ROWS[0]
        raise AssertionError("the second row was read")

    asked = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda **given: asked.update(given) or rows())
    assert next(hub.stream(Source(name="a/b", revision=COMMIT, split="test", config="small"))) == (1, ROWS[0])
    assert asked == {"path": "a/b", "name": "small", "revision": COMMIT, "split": "test", "streaming": True}


def test_where_a_loading_script_stands_in_the_way_the_file_is_read_at_its_revision(monkeypatch):
    asked = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda **given: asked.update(given) or iter(ROWS))
    source = Source(name="a/b", revision=COMMIT, files={"train": "train.jsonl"})
    assert len(list(hub.stream(source))) == 2
    assert asked["path"] == "json"
    assert asked["data_files"] == {"train": f"hf://datasets/a/b@{COMMIT}/train.jsonl"}
    with pytest.raises(PinchError, match="no split named 'tain'"):
        next(hub.stream(Source(name="a/b", files={"train": "train.jsonl"}, split="tain")))


def test_columns_are_mapped_to_one_of_our_shapes():
    first, second = hub.read(enumerate(ROWS, 1), source=Source(name="a/b"), columns=COLUMNS, language="fi")
    assert [turn.content for turn in first.messages] == ["Why?", "Because."]
    assert (first.source, first.language, second.language) == ("a/b", "fi", "fi")


def test_without_a_mapping_a_row_has_one_of_our_shapes():
    rows = [{"instruction": "Why?", "output": "Because.", "language": "en", "id": "x"}]
    (made,) = hub.read(enumerate(rows, 1), source=Source(name="a/b"))
    assert (made.id, made.language) == ("x", "en")


def test_a_mapping_to_what_no_shape_has_is_refused():
    with pytest.raises(PinchError, match="No column can be mapped to 'promt'") as raised:
        hub.read([], source=Source(name="a/b"), columns={"promt": "question"})
    assert "Did you mean prompt?" in raised.value.hint


def test_a_row_without_the_column_suggests_the_nearest():
    columns = {"prompt": "questions", "completion": "answer"}
    with pytest.raises(DataError, match="a/b, line 1: there is no column 'questions'") as raised:
        list(hub.read(enumerate(ROWS, 1), source=Source(name="a/b"), columns=columns, language="en"))
    assert "Did you mean question?" in raised.value.hint


def test_a_row_that_is_no_conversation_is_named():
    with pytest.raises(DataError, match="a/b, line 1: has the keys 'question', 'answer', 'lang'"):
        list(hub.read(enumerate(ROWS, 1), source=Source(name="a/b"), language="en"))


@pytest.mark.parametrize(
    "error",
    [
        datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub."),
        ConnectionError("Couldn't reach 'a/b' on the Hub"),
        RuntimeError("Dataset scripts are no longer supported, but found b.py"),
    ],
)
def test_data_out_of_reach_says_how_to_get_at_it(monkeypatch, error):
    def refuse(**_):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(PinchError, match=r"a/b \(revision main, split train\) could not be read") as raised:
        next(hub.stream(Source(name="a/b")))
    assert str(error) in raised.value.message
    assert "Accept the licence on https://huggingface.co/datasets/a/b, then `hf auth login`." in raised.value.hint


def test_a_refusal_that_says_but_a_number_is_explained(monkeypatch):
    class RevisionNotFoundError(Exception):
        """As huggingface_hub names it."""

    def dataset_info(*_, **__):
        raise RevisionNotFoundError("404 Client Error.")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    with pytest.raises(PinchError, match=r"a/b \(revision v9, split train\).*: it has no such revision\."):
        hub.resolve(Source(name="a/b", revision="v9"))


def test_a_connection_lost_on_the_way_is_a_sentence_too(monkeypatch):
    def rows():
        yield ROWS[0]
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(datasets, "load_dataset", lambda **_: rows())
    stream = hub.stream(Source(name="a/b"))
    next(stream)
    with pytest.raises(PinchError, match="reset by peer"):
        next(stream)


def test_a_split_or_configuration_that_is_not_there_is_named(folder):
    for changed, words in (({"split": "nope"}, "Bad split: nope"), ({"config": "nope"}, "BuilderConfig 'nope'")):
        with pytest.raises(PinchError, match=words) as raised:
            next(hub.stream(Source(name=folder.name, revision=COMMIT, **changed)))
        assert "Check its name, splits and configurations" in raised.value.hint


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for work in (lambda: next(hub.stream(Source(name="a/b"))), lambda: hub.resolve(Source(name="a/b"))):
        with pytest.raises(MissingExtraError) as raised:
            work()
        assert raised.value.hint == "pip install 'pinchtune[datasets]'"


def test_a_branch_is_resolved_to_its_commit_and_the_cards_licence_read(monkeypatch):
    asked = []

    def dataset_info(_, name, revision):
        asked.append((name, revision))
        return SimpleNamespace(sha=COMMIT, gated="auto", card_data=SimpleNamespace(license=["mit", "cc0-1.0"]))

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    found = hub.resolve(Source(name="a/b", revision="v2"))
    assert asked == [("a/b", "v2")]
    assert (found.revision, found.gated, found.licence) == (COMMIT, True, "mit, cc0-1.0")
    assert hub.resolve(Source(name="a/b", licence="MIT")).licence == "MIT"


def test_a_commit_is_not_asked_about(monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: pytest.fail("the Hub was asked"))
    for revision in (COMMIT, None):
        assert hub.resolve(Source(name="a/b", revision=revision)).revision == revision


def test_a_revision_that_cannot_be_resolved_is_a_sentence(monkeypatch):
    def dataset_info(*_, **__):
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    with pytest.raises(PinchError, match="Name or service not known") as raised:
        hub.resolve(Source(name="a/b"))
    assert "hf auth login" in raised.value.hint
