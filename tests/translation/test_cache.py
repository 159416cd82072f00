import multiprocessing
import threading

import pytest

from pinchtune.errors import DataError
from pinchtune.translation.cache import TranslationCache, segment_key


def put(cache, *keys):
    cache.put([(key, f"text of {key}") for key in keys], engine="e", source="en", target="fi")


def test_what_is_put_is_found_again_by_another_process(tmp_path):
    one = TranslationCache(tmp_path / "c.sqlite")
    put(one, "a", "b")
    one.close()
    assert TranslationCache(tmp_path / "c.sqlite").get(["a", "b", "c"]) == {"a": "text of a", "b": "text of b"}


def test_many_keys_are_looked_up_at_once(tmp_path):
    cache = TranslationCache(tmp_path / "c.sqlite")
    keys = [str(number) for number in range(2000)]
    put(cache, *keys)
    assert len(cache.get(keys)) == 2000


def test_a_key_depends_on_everything_that_changes_a_translation():
    base = {"engine": "e", "version": "1", "context": ""}
    keys = {
        segment_key("text", "en", "fi", **base),
        segment_key("Text", "en", "fi", **base),
        segment_key("text", "sv", "fi", **base),
        segment_key("text", "en", "sv", **base),
        *(
            segment_key("text", "en", "fi", **base | change)
            for change in (
                {"engine": "f"},
                {"version": "2"},
                {"context": "before"},
            )
        ),
    }
    assert len(keys) == 7


def test_threads_share_a_cache(tmp_path):
    cache = TranslationCache(tmp_path / "c.sqlite")
    threads = [threading.Thread(target=lambda n=n: put(cache, *[f"{n}-{m}" for m in range(50)])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.counts()[0]["translations"] == 400


def _fill(path, number):
    cache = TranslationCache(path)
    for place in range(30):
        put(cache, f"{number}-{place}", "shared")
    cache.close()


def test_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(tmp_path / "c.sqlite", number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert TranslationCache(tmp_path / "c.sqlite").counts()[0]["translations"] == 121


def test_an_engines_translations_can_be_forgotten(tmp_path):
    cache = TranslationCache(tmp_path / "c.sqlite")
    put(cache, "a")
    cache.put([("b", "x")], engine="other", source="en", target="fi")
    assert cache.clear(engine="other") == 1
    assert cache.clear() == 1


def test_another_file_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work " * 100)
    with pytest.raises(DataError, match="is not a translation cache"):
        TranslationCache(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work " * 100
