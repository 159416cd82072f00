import msgspec
import pytest

from pinchtune.records import Message
from pinchtune.sources import pack
from pinchtune.sources.pack_check import check, check_entries


@pytest.fixture(scope="module")
def english():
    return {entry.id: entry for entry in pack.entries("en")}


@pytest.mark.parametrize("tag", pack.tags())
def test_the_pack_has_no_fault(tag):
    (found,) = check([tag])
    assert found.faults == ()
    assert (found.n_train, found.n_eval) == (240, 60)
    assert found.n_identified >= 0.99 * found.n_turns


def spoiled(tag, change, english):
    entries = list(pack.entries(tag))
    entries[0] = change(entries[0])
    return " | ".join(check_entries(tag, entries, english).faults)


def reworded(entry, text):
    turns = (entry.turns[0], Message(role="assistant", content=text), *entry.turns[2:])
    return msgspec.structs.replace(entry, turns=turns)


def test_a_wrong_split_is_found(english):
    assert "is eval" in spoiled("fi", lambda e: msgspec.structs.replace(e, split="eval"), english)


def test_an_unknown_and_a_missing_id_are_found(english):
    found = spoiled("fi", lambda e: msgspec.structs.replace(e, id="nonsense"), english)
    assert "nonsense: English has no such id" in found
    assert "is missing" in found


def test_a_changed_number_is_found(english):
    assert "987 (not in English)" in spoiled("fi", lambda e: reworded(e, e.turns[1].content + " 987"), english)


def test_an_english_line_is_found(english):
    first = pack.entries("fi")[0]
    assert "is the English one" in spoiled("fi", lambda e: reworded(e, english[first.id].turns[1].content), english)


def test_a_response_far_too_long_is_found(english):
    assert "characters, English has" in spoiled("fi", lambda e: reworded(e, e.turns[1].content * 9), english)


def test_a_near_duplicate_is_found(english):
    text = pack.entries("fi")[1].turns[1].content * 2
    assert "8-grams" in spoiled("fi", lambda e: reworded(e, text), english)


def test_a_foreign_turn_is_remarked(english):
    entries = list(pack.entries("fi"))
    entries[0] = reworded(entries[0], "Dies ist ohne jeden Zweifel ein deutscher Satz, wie man ihn überall hört.")
    assert any("turn 2: identified as" in remark for remark in check_entries("fi", entries, english).remarks)
