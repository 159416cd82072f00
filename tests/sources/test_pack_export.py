import pytest

from pinchtune.sources import pack
from pinchtune.sources.files import load_examples
from pinchtune.sources.pack_export import write


@pytest.mark.parametrize(
    ("format_", "name"),
    [("jsonl", "p.jsonl"), ("messages", "p.jsonl"), ("alpaca", "p.jsonl"), ("csv", "p.csv"), ("parquet", "p.parquet")],
)
def test_what_is_exported_can_be_read_again(tmp_path, format_, name):
    entries = [entry for entry in pack.select(["fi", "he"], split="train") if len(entry.turns) == 2]
    assert write(entries, tmp_path / name, format_) == len(entries)
    if format_ == "jsonl":
        assert (tmp_path / name).read_bytes().count(b"\n") == len(entries)
        return
    back = load_examples(tmp_path / name).examples
    assert [(one.id, one.language, one.response) for one in back] == [
        (one.id, one.language, one.turns[1].content) for one in entries
    ]


def test_formats_of_one_exchange_leave_longer_conversations_out(tmp_path):
    entries = list(pack.select(["en"]))
    longer = sum(len(entry.turns) > 2 for entry in entries)
    assert longer > 0
    assert write(entries, tmp_path / "a.jsonl", "alpaca") == len(entries) - longer
    assert write(entries, tmp_path / "m.jsonl", "messages") == len(entries)
