import contextlib
import itertools
import json
import logging
import signal
import sys
import threading
import time
import traceback

import pytest

from pinchtune.engine import Asked, open_engine, stream
from pinchtune.errors import CallFailure, MissingExtraError, PinchError
from pinchtune.judging.driver import judge_pairs
from pinchtune.judging.judge import open_judge
from pinchtune.records import Message, Sampling
from tests.conftest import answer, prompt
from tests.fault_server import KINDS, FaultServer, chat

for library in ("openai", "tenacity"):
    pytest.importorskip(library)

KEY = "sk-planted-0123456789abcdef"
GREEDY = Sampling(max_new_tokens=5)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@contextlib.contextmanager
def opened(server, **settings):
    quick = {"model": "some-model", "base_url": f"{server.url}/v1", "timeout": 5.0, "base_delay": 0.01}
    engine = open_engine("endpoint", **{**quick, **settings})
    try:
        yield engine
    finally:
        engine.close()


def user(text):
    return (Message(role="user", content=text),)


def questions(count=None, choices=(), sampling=GREEDY):
    numbers = itertools.count() if count is None else range(count)
    return (Asked(user(f"Question {number}"), sampling, choices, tag=number) for number in numbers)


def echo(body):
    return body["messages"][-1]["content"].upper()


def ask_once(reply, *, choices=(), sampling=GREEDY, server=None, **settings):
    """Return the result of one question, or raise it, and the server."""
    with FaultServer(reply=reply, **(server or {})) as service, opened(service, **settings) as engine:
        ((_, made),) = engine.stream(questions(1, choices, sampling))
        if isinstance(made, CallFailure):
            raise made
        return made, service


# ---------------------------------------------------------------------------------------------- faults


def test_at_30_percent_faults_all_questions_are_answered_once():
    # With this seed no question needs more than 5 of its 6 attempts.
    server = FaultServer(rate=0.3, seed=2, reply=echo, sleep=0.9)
    with server as service, opened(service, workers=16, timeout=0.7) as engine:
        start = time.monotonic()
        made = {asked.tag: result for asked, result in engine.stream(questions(200))}
        assert time.monotonic() - start < 30
        assert {tag: result.text for tag, result in made.items()} == {n: f"QUESTION {n}" for n in range(200)}
        assert service.paid == {f"Question {number}": 1 for number in range(200)}
        n_faults = sum(service.faults.values())
        assert set(service.faults) == set(KINDS)
        assert engine.usage.n_requests == service.n_requests == 200 + n_faults
        assert engine.usage.n_retries == n_faults
        assert engine.usage.n_rate_limited == service.faults["rate_limited"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("rate_limited", "rate_limited"),
        ("server_error", "server_error"),
        ("time_out", "timeout"),
        ("hang_up", "connection"),
        ("cut_body", "connection"),
        ("garbage", "unreadable"),
        ("wrong_count", "wrong_count|unreadable"),
    ],
)
def test_a_fault_that_stays_is_a_failure_with_its_reason_and_the_next_question_is_answered(fault, reason):
    with (
        FaultServer(script=[fault, fault], reply=echo, sleep=0.3) as service,
        opened(service, attempts=2, timeout=0.2 if fault == "time_out" else 5.0) as engine,
    ):
        ((_, failure),) = engine.stream(questions(1))
        assert failure.reason in reason.split("|")
        assert "(attempts: 2)" in failure.detail
        assert engine.generate([user("next")], GREEDY)[0].text == "NEXT"


def test_a_wait_that_the_service_asks_for_is_kept_by_all_calls():
    times = []

    def reply(body):
        times.append(time.monotonic())
        return echo(body)

    server = FaultServer(script=["rate_limited"], retry_after="0.4", reply=reply)
    with server as service, opened(service, workers=4) as engine:
        start = time.monotonic()
        assert len(list(engine.stream(questions(12)))) == 12
    # Those that were on their way when the 429 came are answered; nobody else asks before the time is over.
    assert sum(0.2 < one - start < 0.4 for one in times) == 0
    assert sum(one - start >= 0.4 for one in times) >= 8


def test_a_wait_too_long_is_a_failure_at_once():
    with pytest.raises(CallFailure) as caught:
        ask_once(echo, server={"script": ["rate_limited"], "retry_after": "3600"})
    assert caught.value.reason == "rate_limited"


def test_a_service_that_bears_five_calls_gets_all_its_questions_answered():
    lock, busy = threading.Lock(), 0

    def reply(body):
        nonlocal busy
        with lock:
            busy += 1
            too_many = busy > 5
        time.sleep(0.01)
        with lock:
            busy -= 1
        return (429, {"error": {"message": "slower"}}) if too_many else echo(body)

    with FaultServer(reply=reply) as service, opened(service, workers=32, attempts=20) as engine:
        assert all(result.text for _, result in engine.stream(questions(80)))
        assert engine.usage.n_rate_limited > 0
        assert engine._limiter.places < 16, "it would have grown to 32 without the 429s"


def test_many_requests_are_under_way_and_never_more_than_workers():
    with FaultServer(reply=echo, delay=0.03) as service, opened(service, workers=12) as engine:
        assert len(list(engine.stream(questions(80)))) == 80
        assert 6 < service.most_at_once <= 12


# ---------------------------------------------------------------------------------- how questions are read


def test_questions_are_read_as_they_are_needed():
    n_read = n_given = 0

    def counted():
        nonlocal n_read
        for one in questions(40):
            n_read += 1
            assert n_read - n_given <= 8
            yield one

    with FaultServer(reply=echo) as service, opened(service, workers=4) as engine:
        for _ in stream(engine, counted()):
            n_given += 1
    assert n_given == 40


def test_closing_early_ends_what_is_under_way():
    with FaultServer(reply=echo, delay=0.02) as service:
        with opened(service, workers=4) as engine:
            results = engine.stream(questions())
            next(results)
            results.close()
            time.sleep(0.1)
            n_requests = service.n_requests
            time.sleep(0.1)
            assert service.n_requests == n_requests <= 16
        assert not [one.name for one in threading.enumerate() if one.name.startswith("pinchtune-endpoint")]


def test_ctrl_c_ends_what_is_under_way():
    with FaultServer(reply=echo, delay=0.05) as service, opened(service, workers=4) as engine:
        main = threading.main_thread().ident
        threading.Timer(0.2, signal.pthread_kill, [main, signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            for _ in engine.stream(questions()):
                pass
        time.sleep(0.15)
        n_requests = service.n_requests
        time.sleep(0.15)
        assert service.n_requests == n_requests > 0


def test_an_error_in_the_questions_is_the_callers_after_the_answers_before_it():
    def broken():
        yield from questions(5)
        raise LookupError("line 6")

    made = []
    with FaultServer(reply=echo) as service, opened(service) as engine, pytest.raises(LookupError, match="line 6"):
        for asked, _ in engine.stream(broken()):
            made.append(asked.tag)
    assert sorted(made) == list(range(5))


def test_a_batch_is_answered_in_its_order():
    with FaultServer(reply=echo, delay=0.001) as service, opened(service) as engine:
        made = engine.generate([user(f"q {number}") for number in range(40)], GREEDY)
        assert engine.generate([], GREEDY) == []
        assert engine.length(user("four")) == 4
    assert [one.text for one in made] == [f"Q {number}" for number in range(40)]


def test_a_batch_with_a_failed_question_raises_its_failure():
    def reply(body):
        return (400, {"error": {"message": "no"}}) if "3" in echo(body) else echo(body)

    with (
        FaultServer(reply=reply) as service,
        opened(service) as engine,
        pytest.raises(CallFailure, match="HTTP 400"),
    ):
        engine.generate([user(f"q {number}") for number in range(6)], GREEDY)


# ------------------------------------------------------------------------------------------ what ends a run


@pytest.mark.parametrize(
    ("status", "error", "words", "hint"),
    [
        (401, {"message": "no"}, "refused the credentials", "OPENAI_API_KEY"),
        (400, {"message": "API key not valid"}, "refused the credentials", "OPENAI_API_KEY"),
        (404, {"message": "no such model"}, "does not know", "Check the model's name"),
        (429, {"message": "pay", "code": "insufficient_quota"}, "quota", "Raise it"),
        (
            400,
            {"message": "no", "code": "unsupported_parameter", "param": "max_tokens"},
            "max_tokens",
            "max_completion_tokens",
        ),
        (400, {"message": "no", "code": "unsupported_value", "param": "temperature"}, "temp", "send_temperature"),
    ],
)
def test_what_would_meet_every_question_ends_the_run_after_the_answers_that_came(status, error, words, hint):
    def reply(body):
        number = int(body["messages"][-1]["content"].split()[-1])
        return echo(body) if number < 4 else (status, {"error": error})

    made = []
    with FaultServer(reply=reply) as service, opened(service, workers=2) as engine:
        with pytest.raises(PinchError, match=words) as caught:
            for asked, _ in engine.stream(questions()):
                made.append(asked.tag)
        assert hint in caught.value.hint
        assert sorted(made) == [0, 1, 2, 3]
        assert service.n_requests <= 4 + 2


@pytest.mark.parametrize("status", ["400", "401", "404", "418", "500"])
def test_a_planted_key_is_sent_and_is_in_no_error_repr_or_log(status, caplog):
    caplog.set_level(logging.DEBUG)
    said = {"error": {"message": f"The key {KEY} is wrong: Bearer {KEY}"}}
    with FaultServer(reply=lambda _: (int(status), said)) as service, opened(service, attempts=2) as engine:
        with pytest.raises((PinchError, CallFailure)) as caught:
            engine.generate([user("One.")], GREEDY)
        shown = [repr(engine), repr(vars(engine)), str(engine), engine.name]
        assert service.authorizations == {f"Bearer {KEY}"}
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None, "a client's exception hangs on ours"
    shown += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    shown += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert caplog.records, "the client logs nothing to look at"
    assert not [one for one in shown if KEY in one]


# ------------------------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize(
    ("sampling", "settings", "sent"),
    [
        (Sampling(max_new_tokens=5), {}, {"max_tokens": 5, "temperature": 0}),
        (Sampling(max_new_tokens=5, top_p=0.9), {}, {"max_tokens": 5, "temperature": 0, "top_p": 0.9}),
        (
            Sampling(max_new_tokens=5, temperature=0.7, seed=3),
            {"token_limit": "max_completion_tokens"},
            {"max_completion_tokens": 5, "temperature": 0.7, "seed": 3},
        ),
        (
            Sampling(max_new_tokens=5),
            {"send_temperature": False, "extra": {"chat_template_kwargs": {"enable_thinking": False}}},
            {"max_tokens": 5, "chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_the_sampling_is_sent_and_nothing_else(sampling, settings, sent):
    _, service = ask_once(echo, sampling=sampling, **settings)
    messages = [{"role": "user", "content": "Question 0"}]
    assert service.bodies == [{"model": "some-model", "messages": messages, **sent}]


@pytest.mark.parametrize(
    ("constrain", "sent"),
    [
        ("none", {}),
        ("structured_outputs", {"structured_outputs": {"choice": ["A", "B"]}}),
        ("guided_choice", {"guided_choice": ["A", "B"]}),
    ],
)
def test_choices_are_sent_as_the_endpoint_takes_them(constrain, sent):
    _, service = ask_once(lambda _: "A", choices=("A", "B"), constrain=constrain, logprobs=False)
    (body,) = service.bodies
    assert {name: body.get(name) for name in sent} == sent
    assert set(body) == {"model", "messages", "max_tokens", "temperature", *sent}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": ""}, "model"),
        ({"workers": 0}, "workers"),
        ({"attempts": 0}, "attempts is 0.\nGive 1 or more."),
        ({"on_note": "x"}, "has no setting 'on_note'"),
        ({"constrain": "guided_choise"}, "guided_choice"),
        ({"token_limit": "tokens"}, "max_completion_tokens"),
        ({"extra": {"stream": True}}, "stream"),
        ({"base_url": "localhost"}, "address"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_a_sentence(settings, words):
    with pytest.raises(PinchError, match=words):
        open_engine("endpoint", **{"model": "m", "base_url": "http://127.0.0.1:9", **settings})


@pytest.mark.parametrize("module", ["openai", "tenacity"])
def test_a_missing_library_is_a_sentence_with_the_pip_line(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        open_engine("endpoint", "m", base_url="http://127.0.0.1:9")
    assert "pinchtune[llm]" in caught.value.hint


def test_the_name_tells_what_changes_answers():
    with FaultServer() as service, contextlib.ExitStack() as stack:
        names = [
            stack.enter_context(opened(service, **settings)).name
            for settings in (
                {},
                {"workers": 3},
                {"extra": {"a": 1}},
                {"extra": {"a": 2}},
                {"constrain": "guided_choice"},
            )
        ]
    assert names[0] == names[1] == "endpoint-some-model"
    assert len(set(names)) == 4


# --------------------------------------------------------------------------------------- what comes back


def test_tokens_are_counted_and_a_reply_that_was_cut_says_so():
    made, _ = ask_once(lambda _: chat("Long", finish="length"))
    assert (made.text, made.stop_reason, made.n_tokens, made.n_prompt_tokens) == ("Long", "length", 7, 11)
    made, _ = ask_once(lambda _: {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert (made.text, made.stop_reason, made.n_tokens, made.n_prompt_tokens) == ("Hi", "stop", 0, None)


def test_an_answer_that_is_all_thought_is_empty():
    made, _ = ask_once(lambda _: chat(None, finish="length", reasoning_content="Let me see"))
    assert (made.text, made.stop_reason) == ("", "length")


def test_what_is_refused_is_not_asked_for_again():
    replies = iter([chat("x", finish="content_filter"), chat(None, refusal="I will not.")])
    with FaultServer(reply=lambda _: next(replies)) as service, opened(service) as engine:
        assert [result.reason for _, result in engine.stream(questions(2))] == ["refused"] * 2
        assert service.n_requests == 2


def test_bodies_that_are_no_reply_are_asked_for_again():
    bodies = [{"error": {"message": "busy"}}, {"choices": []}, chat(None, finish=None), [1], None]
    replies = iter([*((200, body) for body in bodies), "Well."])
    made, service = ask_once(lambda _: next(replies))
    assert (made.text, service.n_requests) == ("Well.", 6)


def test_the_first_tokens_probabilities_are_read():
    likely = {"A": -0.1, "B": -2.5, " A": -5.0}
    made, service = ask_once(lambda _: chat("A", logprobs=likely), choices=("A", "B"))
    assert made.logprobs == likely
    assert service.bodies[0]["logprobs"] is True
    assert service.bodies[0]["top_logprobs"] == 20


def test_no_probabilities_are_asked_for_without_choices_or_where_they_are_not_wanted():
    for settings in ({}, {"choices": ("A", "B"), "logprobs": False}):
        _, service = ask_once(echo, **settings)
        assert "logprobs" not in service.bodies[0]


def test_probabilities_that_are_missing_or_not_of_the_text_are_none():
    bodies = [
        chat("A"),
        chat("A", logprobs={"<think>": -0.1, "A": -3.0}),
        chat("A", logprobs={"A": float("nan"), "B": -0.1}),
        {**chat("A"), "choices": [{**chat("A")["choices"][0], "logprobs": {"tokens": ["A"], "content": 5}}]},
    ]
    replies = iter(bodies)
    with FaultServer(reply=lambda _: next(replies)) as service, opened(service) as engine:
        made = [result for _, result in engine.stream(questions(len(bodies), ("A", "B")))]
    assert [(one.text, one.logprobs) for one in made] == [("A", None)] * len(bodies)


def no_logprobs(body):
    refusal = 403, {"error": {"message": "You are not allowed to request logprobs from this model"}}
    return refusal if "logprobs" in body else "A"


def test_an_endpoint_that_refuses_probabilities_is_asked_without_and_said_once():
    notes = []
    with FaultServer(reply=no_logprobs) as service, opened(service, on_note=notes.append, workers=4) as engine:
        made = [result for _, result in engine.stream(questions(30, ("A", "B")))]
        assert [one.text for one in made] == ["A"] * 30
        assert len(notes) == 1
        assert "logprobs" in notes[0]
        asked_for = sum("logprobs" in body for body in service.bodies)
        assert 1 <= asked_for <= 4
        assert service.n_requests == 30 + asked_for


def test_probabilities_that_must_be_there_and_are_refused_end_the_run():
    with pytest.raises(PinchError, match="no log-probabilities"):
        ask_once(no_logprobs, choices=("A", "B"), logprobs=True)


def test_a_refusal_that_quotes_the_whole_request_is_not_taken_for_one_of_probabilities():
    notes = []

    def reply(body):
        return (400, {"error": {"message": json.dumps(body)}}) if "0" in echo(body) else chat("A", logprobs={"A": -0.1})

    with FaultServer(reply=reply) as service, opened(service, on_note=notes.append, workers=1) as engine:
        made = {asked.tag: made for asked, made in engine.stream(questions(2, ("A", "B")))}
    assert made[0].reason == "refused"
    assert made[1].logprobs == {"A": -0.1}
    assert notes == []


# -------------------------------------------------------------------------------------------- as a judge


def test_a_judge_on_an_endpoint_gives_both_verdicts_of_every_pair_with_probabilities():
    with FaultServer(reply=lambda _: chat("A", logprobs={"A": -0.2, "B": -1.8}), delay=0.001) as service:
        judge = open_judge("llm:some-model", base_url=f"{service.url}/v1", workers=8)
        pairs = [(prompt(f"p{n}", text=f"Why {n}?"), answer(f"p{n}"), answer(f"p{n}", text="No.")) for n in range(30)]
        verdicts = list(judge_pairs(pairs, judge))
        judge.close()
    assert len(verdicts) == service.n_requests == 60
    assert {verdict.choice for verdict in verdicts} == {"first", "second"}
    assert all(0.8 < verdict.probability < 0.9 for verdict in verdicts)
