import csv
import json

import pytest

from pinchtune.errors import DataError
from pinchtune.sources.files import load_examples, load_prompts

ROW = {"instruction": "Hi", "output": 'Hello, "you",\nthere', "id": "a"}


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as arrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_same_examples(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    write(path, [ROW, ROW | {"id": "b"}])
    loaded = load_examples(path, language="en")
    assert [one.id for one in loaded.examples] == ["a", "b"]
    assert loaded.examples[0].response == ROW["output"]


def test_parquet_may_hold_lists_of_turns(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    write(tmp_path / "data.parquet", [{"messages": turns, "language": "fi"}])
    assert load_examples(tmp_path / "data.parquet").examples[0].response == "Hello"


def test_duplicates_are_counted_and_left_out(tmp_path):
    write(tmp_path / "d.jsonl", [ROW, ROW, ROW | {"id": "b"}])
    loaded = load_examples(tmp_path / "d.jsonl", language="en")
    assert (len(loaded.examples), loaded.n_duplicates) == (2, 1)


def test_an_id_used_for_two_texts_is_refused_at_its_line(tmp_path):
    write(tmp_path / "d.jsonl", [ROW, ROW | {"output": "Other"}])
    with pytest.raises(DataError, match=r"d\.jsonl, line 2: the id 'a' is used twice in en"):
        load_examples(tmp_path / "d.jsonl", language="en")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.jsonl", '{"instruction": "Hi", "output": "x"}\n{"instruction": ', "line 2: not JSON"),
        ("d.jsonl", '{"instruction": "Hi", "output": "x"}\n[1, 2]', "line 2: expected an object with keys, got list"),
        ("d.jsonl", '\n\n{"question": "Hi"}', "line 3: has the keys 'question'"),
        ("d.json", '{"a": 1}', "expected a list of objects, got dict"),
        ("d.json", '[\n{"a": ]', "line 2: not JSON"),
        ("d.csv", 'instruction,output\n"a","b"\n"c","d","e"\n', "line 3: the header has 2 columns"),
        ("d.parquet", "no parquet", "not Parquet"),
        ("d.txt", "hello", "files ending in '.txt' are not read"),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        load_examples(tmp_path / name, language="en")


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        load_examples(tmp_path / "nowhere.jsonl")


def test_prompts_may_be_instructions_alone_or_conversations(tmp_path):
    rows = [
        {"instruction": "Why?", "id": "a"},
        {"instruction": "Why?", "output": "Because.", "id": "b"},
        {"id": "c", "language": "fi", "messages": [{"role": "user", "content": "Miksi?"}]},
    ]
    write(tmp_path / "p.jsonl", rows)
    found = load_prompts(tmp_path / "p.jsonl", language="en")
    assert [(one.id, one.language, one.reference) for one in found] == [
        ("a", "en", None),
        ("b", "en", "Because."),
        ("c", "fi", None),
    ]


def test_a_prompt_asked_twice_is_refused(tmp_path):
    write(tmp_path / "p.jsonl", [{"instruction": "Why?", "id": "a"}] * 2)
    with pytest.raises(DataError, match="line 2: 'a' is asked twice in en"):
        load_prompts(tmp_path / "p.jsonl", language="en")
