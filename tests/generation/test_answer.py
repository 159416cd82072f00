import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.generation import answer as module
from pinchtune.generation.answer import answer
from pinchtune.generation.engines.fake import FakeEngine
from pinchtune.records import Sampling
from tests.conftest import prompt

GREEDY = Sampling(max_new_tokens=5)


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 7))
def test_every_prompt_is_answered_once(texts, batch_size):
    prompts = [prompt(str(number), text=text) for number, text in enumerate(texts)]
    found = list(answer(prompts, FakeEngine("echo"), model="m", sampling=GREEDY, batch_size=batch_size))
    assert sorted(one.id for one in found) == sorted(one.id for one in prompts)
    by_id = {one.id: one.text for one in found}
    assert all(by_id[one.id] == " ".join(one.instruction.split()[:5]) for one in prompts)


def test_an_answer_says_why_it_stopped():
    short, long = answer(
        [prompt("s", text="one two"), prompt("l", text="1 2 3 4 5 6")], FakeEngine("echo"), model="m", sampling=GREEDY
    )
    assert (short.stop_reason, short.n_tokens) == ("stop", 2)
    assert (long.stop_reason, long.n_tokens) == ("length", 5)


def test_an_empty_answer_is_an_answer():
    (one,) = answer([prompt("a", text="")], FakeEngine("echo"), model="m", sampling=GREEDY)
    assert (one.text, one.stop_reason) == ("", "stop")


def test_short_prompts_come_first_within_a_window():
    prompts = [prompt(str(n), text="word " * n) for n in (9, 1, 5)]
    found = answer(prompts, FakeEngine("echo"), model="m", sampling=GREEDY, batch_size=1)
    assert [one.id for one in found] == ["1", "5", "9"]


def test_prompts_are_read_window_by_window(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BATCHES", 2)
    read = []

    def prompts():
        for number in range(100):
            read.append(number)
            yield prompt(str(number))

    next(iter(answer(prompts(), FakeEngine("echo"), model="m", sampling=GREEDY, batch_size=3)))
    assert len(read) == 6


def test_what_was_answered_before_a_fault_was_given_out():
    found = []
    with pytest.raises(RuntimeError, match="told to fail"):
        for one in answer(
            [prompt(str(n)) for n in range(10)], FakeEngine("m", fail_after=5), model="m", sampling=GREEDY, batch_size=2
        ):
            found.append(one)
    assert len(found) == 4
