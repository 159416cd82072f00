import errno
import os
import signal
import subprocess
import sys
import textwrap

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune import store
from pinchtune.errors import DataError, RunError
from pinchtune.records import Answer, Prompt
from tests.conftest import answer, prompt

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, min_size=2, max_size=5))
def test_a_key_does_not_depend_on_the_order_of_a_dicts_keys(value):
    assert store.content_key(value) == store.content_key(dict(reversed(list(value.items()))))


@given(json_values, json_values)
def test_different_values_have_different_keys(one, other):
    same = store.canonical(one) == store.canonical(other)
    assert (store.content_key(one) == store.content_key(other)) == same


def test_records_come_back_as_they_were_written(tmp_path):
    records = [prompt("a", text="line one\nline two\u2028three"), prompt("b", "he", "שלום")]
    assert store.write_records(tmp_path / "p.jsonl", records) == 2
    assert list(store.read_records(tmp_path / "p.jsonl", Prompt)) == records


@pytest.mark.parametrize(
    "line", ['{"id": 3}', "not json", '{"id":"a","language":"en","messages":[],"extra":1}', "\xff"]
)
def test_an_unreadable_line_is_named(tmp_path, line):
    path = tmp_path / "p.jsonl"
    path.write_bytes(store.encode_line(prompt("a")) + b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match=r"p\.jsonl, line 3: not a Prompt"):
        list(store.read_records(path, Prompt))


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    store.write_text(path, "old")

    class StopError(Exception):
        pass

    with pytest.raises(StopError), store.atomic_file(path) as stream:
        stream.write(b"new, half")
        raise StopError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), store.atomic_folder(tmp_path / "model") as partial:
        (partial / "weights").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "may not write"), (errno.EROFS, "read-only")],
)
def test_the_disks_refusals_are_sentences(tmp_path, number, words):
    with pytest.raises(RunError, match=words) as raised, store.disk_errors(tmp_path):
        raise OSError(number, "no")
    assert raised.value.exit_code == 1


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        store.write_text(tmp_path / "a.txt", "text")
    assert os.listdir(tmp_path) == []


def test_another_error_of_the_system_is_not_hidden(tmp_path):
    with pytest.raises(OSError, match="strange"), store.disk_errors(tmp_path):
        raise OSError(errno.EIO, "strange")


@given(cut=st.integers(0, 400))
def test_a_log_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = store.RecordLog(path, Answer)
    for number in range(3):
        log.add(str(number), answer(str(number)))
    log.close()
    data = path.read_bytes()
    path.write_bytes(data[: min(cut, len(data))])
    again = store.RecordLog(path, Answer)
    whole = data[:cut].count(b"\n")
    assert list(again.finished) == [str(number) for number in range(whole)]
    again.add("next", answer("next"))
    again.close()
    assert list(store.RecordLog(path, Answer).finished)[-1] == "next"


def test_what_a_log_said_it_kept_survives_a_kill(tmp_path):
    code = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(os.getcwd())!r})
        from pathlib import Path
        from pinchtune.store import RecordLog
        from pinchtune.records import Answer
        from tests.conftest import answer
        log = RecordLog(Path({str(tmp_path / "log.jsonl")!r}), Answer)
        for number in range(10**6):
            log.add(str(number), answer(str(number)))
            print(number, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(50):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].split()
    kept = store.RecordLog(tmp_path / "log.jsonl", Answer).finished
    last = int(said[-1]) if said else 49
    assert all(str(number) in kept for number in range(last + 1))


def test_a_manifest_holds_no_clock_and_comes_back(tmp_path):
    manifest = store.Manifest(key="k", step="mix", kind="mix", version=1, settings={"seed": 3})
    store.write_json(tmp_path / "manifest.json", manifest)
    first = (tmp_path / "manifest.json").read_bytes()
    store.write_json(tmp_path / "manifest.json", manifest)
    assert (tmp_path / "manifest.json").read_bytes() == first
    assert store.read_manifest(tmp_path) == manifest
    assert store.read_manifest(tmp_path / "nowhere") is None


def test_a_torn_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text('{"key": ')
    with pytest.raises(DataError, match=r"manifest\.json: not a manifest"):
        store.read_manifest(tmp_path)


def test_library_versions_pass_over_what_is_not_installed():
    found = store.library_versions("msgspec", "no-such-distribution")
    assert found["msgspec"] == msgspec.__version__
    assert "no-such-distribution" not in found
    assert store.library_versions("msgspec", "no-such-distribution") is found
