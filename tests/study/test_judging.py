"""Judging into a step's folder: planned early stops, what is counted, and calls that are still missing."""

from collections import Counter

import pytest

from pinchtune import store
from pinchtune.errors import PinchError, RunError
from pinchtune.judging.cache import VerdictCache, default_path
from pinchtune.judging.judge import JudgeFailure
from pinchtune.judging.judges.fake import FakeJudge
from pinchtune.judging.side_by_side import outcomes
from pinchtune.judging.tally import Price, Tally
from pinchtune.records import Failure, Verdict
from pinchtune.scoring.sequential import critical_values, shuffled
from pinchtune.study import judging, work
from pinchtune.study.keep import FAILURES, RECORDS, Result, keep
from pinchtune.study.work import by_key, require_whole
from tests.conftest import answer, prompt

LONG, SHORT = "a much longer answer", "short"


class Failing(FakeJudge):
    """Prefers the longer answer; gives none of the calls named (prompt id, model shown first)."""

    def __init__(self, *missing, reason="timeout"):
        super().__init__()
        self.missing, self.reason, self.n_calls = set(missing), reason, 0

    def judge(self, prompt, first, second):
        self.n_calls += 1
        if (prompt.id, first.model) in self.missing:
            raise JudgeFailure(self.reason)
        return super().judge(prompt, first, second)


class Keyed(Failing):
    def key(self, call):
        return store.content_key([call.prompt.id, call.prompt.language, call.first.text, call.second.text])


def study(n, wins, tags=("fi",)):
    """Prompts and two models' answers, the candidate's the better one where `wins(number)` says so."""
    prompts = [prompt(f"p{number}", tag) for tag in tags for number in range(n)]
    ours, theirs = [], []
    for one in prompts:
        won = wins(int(one.id[1:]))
        ours.append(answer(one.id, one.language, "c", LONG if won else SHORT))
        theirs.append(answer(one.id, one.language, "b", SHORT if won else LONG))
    return prompts, by_key(ours), by_key(theirs)


def run(folder, made, judge=None, **options):
    seen = []
    result = judging.judge(folder, *made, judge=judge or Failing(), advance=seen.append, **options)
    assert seen == sorted(seen)
    assert all(0 <= share <= 1 for share in seen)
    return result, list(store.read_records(folder / RECORDS, Verdict)), seen


# ------------------------------------------------------------------------------------------- without looks


def test_every_pair_is_judged_in_both_orders_and_counted(tmp_path):
    prompts, ours, theirs = study(10, lambda number: number < 7)
    del theirs["p3", "fi"]
    judge = Failing(("p8", "b"))
    result, verdicts, seen = run(tmp_path, (prompts, ours, theirs), judge)
    assert (result.n_in, result.n_out, result.failed) == (20, 17, {"missing_answer": 1, "timeout": 1})
    failures = list(store.read_records(tmp_path / FAILURES, Failure))
    assert [(one.id, one.reason) for one in failures] == [("p3", "missing_answer"), ("p8", "timeout")]
    assert len(verdicts) == 17
    assert seen[-1] == 1
    assert result.notes["judging"] == {"n_pairs": 9, "n_identical": 0}
    assert result.spent["n_calls"] == judge.n_calls == 18
    assert "early_stop" not in result.notes


def test_the_cost_is_told_and_not_kept(tmp_path):
    tally = Tally(price=Price(1, 1))
    result, _, _ = run(tmp_path, study(2, bool), tally=tally)
    assert result.spent["cost"] == 0
    assert "cost" not in result.notes["judging"]


# ------------------------------------------------------------------------------------------- planned early stops


def test_a_lopsided_contrast_stops_early_and_says_so(tmp_path):
    judge = Failing()
    result, verdicts, seen = run(tmp_path, study(100, lambda number: number % 10 != 3), judge, early_stop=True)
    note = result.notes["early_stop"]
    z, critical = note["z"], critical_values(5)[note["look"] - 1]
    assert (note["stopped_early"], note["stop"], note["finding"]) == (True, True, "above")
    assert note["sentence"] == (
        f"The candidate is better: shown after 40 prompts, at look 2 of 5 (z {z:.2f}, {critical:.2f}); "
        "the score of a run that stopped early is too far from 50: judge all prompts for its size."
    )
    assert abs(z) >= critical
    assert judge.n_calls == len(verdicts) == 2 * 40
    assert seen[-1] == 0.4


def test_a_candidate_that_always_loses_is_worse(tmp_path):
    result, verdicts, _ = run(tmp_path, study(100, lambda _: False), early_stop=True)
    note = result.notes["early_stop"]
    # At the first look z is the root of 20, under 4.56; at the second that of 40, over 3.23.
    assert (note["look"], note["finding"], len(verdicts)) == (2, "below", 80)
    assert note["sentence"].startswith("The candidate is worse: shown after 40 prompts")


def test_an_even_contrast_runs_to_the_end(tmp_path):
    result, verdicts, seen = run(tmp_path, study(100, lambda number: number % 2 == 0), early_stop=True)
    note = result.notes["early_stop"]
    assert (note["look"], note["stopped_early"], note["finding"]) == (5, False, "no difference shown")
    assert note["sentence"] == (
        f"No difference was shown after 100 prompts, at look 5 of 5 (z {note['z']:.2f}, {note['critical']:.2f})."
    )
    assert note["value"] == 0.5
    assert len({(one.id, one.first) for one in verdicts}) == len(verdicts) == 200
    assert seen[-1] == 1


def test_a_difference_found_at_the_last_look_is_not_said_to_be_too_far_out(tmp_path):
    # Even until the fourth look, and then wins alone: sixty of a hundred, and then one more.
    order = [int(one[1:]) for one in shuffled((f"p{number}" for number in range(100)), 0)]
    won = {one for place, one in enumerate(order) if place % 2 == 0 or place >= 80}
    result, _, _ = run(tmp_path, study(100, won.__contains__), early_stop=True)
    assert result.notes["early_stop"]["sentence"] == (
        "No difference was shown after 100 prompts, at look 5 of 5 (z 2.00, 2.04)."
    )
    won.add(order[1])
    result, _, _ = run(tmp_path, study(100, won.__contains__), early_stop=True)
    assert result.notes["early_stop"]["sentence"] == (
        "The candidate is better: shown after 100 prompts, at look 5 of 5 (z 2.20, 2.04)."
    )


def test_a_prompt_brings_all_its_languages_and_prompts_come_in_the_order_of_the_seed(tmp_path):
    tags = ("fi", "et", "sw")
    for seed in (0, 1):
        _, verdicts, _ = run(tmp_path, study(30, lambda _: True, tags), early_stop=True, seed=seed)
        order = shuffled((f"p{number}" for number in range(30)), seed)
        assert list(dict.fromkeys(one.id for one in verdicts)) == order[: len(verdicts) // 6]
        assert Counter(one.id for one in verdicts) == dict.fromkeys(order[: len(verdicts) // 6], 6)


def test_a_prompts_item_is_the_mean_over_its_languages(tmp_path):
    tags = ("fi", "et")
    prompts, ours, theirs = study(50, lambda _: True, tags)
    swapped = {key: theirs[key] if key[1] == "et" else ours[key] for key in ours}
    ours = {key: answer(*key, "c", one.text) for key, one in swapped.items()}
    theirs = {key: answer(*key, "b", SHORT if ours[key].text == LONG else LONG) for key in ours}
    result, _, _ = run(tmp_path, (prompts, ours, theirs), early_stop=True)
    note = result.notes["early_stop"]
    # One language is always won and the other always lost: each prompt is even.
    assert (note["items"], note["value"], note["z"]) == (50, 0.5, 0)


@pytest.mark.parametrize("model", ["c", "b"])
def test_a_call_that_fails_first_in_its_block_does_not_turn_the_sides(tmp_path, model):
    order = shuffled((f"p{number}" for number in range(100)), 0)
    missing = [(order[place], model) for place in (0, 20, 40, 60, 80)]
    result, verdicts, _ = run(tmp_path, study(100, lambda _: True), Failing(*missing), early_stop=True)
    note = result.notes["early_stop"]
    assert (note["finding"], note["prompts"], note["items"], note["value"]) == ("above", 40, 38, 1.0)
    assert {one.result for one in outcomes(verdicts, candidate="c", baseline="b")} == {"win"}


def test_a_judge_without_any_verdict_shows_no_difference(tmp_path):
    calls = [(f"p{number}", model) for number in range(10) for model in "cb"]
    result, verdicts, _ = run(tmp_path, study(10, lambda _: True), Failing(*calls), early_stop=True)
    note = result.notes["early_stop"]
    assert (note["finding"], note["items"], note["value"], verdicts) == ("no difference shown", 0, None, [])
    assert result.failed == {"timeout": 20}


def test_fewer_prompts_than_looks_are_refused_before_any_call(tmp_path):
    judge = Failing()
    with pytest.raises(PinchError, match="5 looks need 5 prompts or more; there are 4"):
        run(tmp_path, study(4, bool), judge, early_stop=True)
    assert judge.n_calls == 0
    assert not (tmp_path / RECORDS).exists()


def test_what_failed_at_a_look_is_asked_again_and_all_else_comes_from_the_cache(tmp_path):
    made = study(100, lambda number: number % 10 != 3)
    failing, again, calm = Keyed(("p7", "c"), ("p8", "c"), ("p9", "b")), Keyed(), Keyed()
    run(tmp_path / "calm", made, calm, early_stop=True)
    with judging.verdict_cache(failing, tmp_path / "cache.sqlite") as cache:
        run(tmp_path / "one", made, failing, cache=cache, early_stop=True)
        result, verdicts, _ = run(tmp_path / "one", made, again, cache=cache, early_stop=True)
    assert (tmp_path / "one" / RECORDS).read_bytes() == (tmp_path / "calm" / RECORDS).read_bytes()
    assert not (tmp_path / "one" / FAILURES).exists()
    asked = {one.id for one in verdicts} & {"p7", "p8", "p9"}
    assert again.n_calls == len(asked) > 0
    assert result.spent["n_cached"] == len(verdicts) - len(asked)


def test_a_folder_is_the_same_to_the_byte_after_a_kill_and_from_a_warm_cache(tmp_path):
    made = study(10, lambda number: number < 7)
    del made[1]["p3", "fi"]

    class Mute(Keyed):
        def __init__(self, *, dies_after=1000):
            super().__init__(("p8", "b"), reason="unparsable")
            self.dies_after = dies_after

        def judge(self, prompt, first, second):
            if self.n_calls == self.dies_after:
                raise KeyboardInterrupt
            return super().judge(prompt, first, second)

    def judged(folder, cached, judge):
        draft = store.Manifest(key="0" * 64, step="judge", kind="judge", version=1, settings={})
        with judging.verdict_cache(judge, tmp_path / cached) as cache:
            keep(folder, draft, lambda: judging.judge(folder, *made, judge=judge, advance=lambda _: None, cache=cache))
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    calm, again, warm = Mute(), Mute(), Mute()
    whole = judged(tmp_path / "calm", "a.sqlite", calm)
    assert whole.keys() == {RECORDS, FAILURES, "manifest.json"}
    with pytest.raises(KeyboardInterrupt):
        judged(tmp_path / "killed", "b.sqlite", Mute(dies_after=5))
    assert judged(tmp_path / "killed", "b.sqlite", again) == whole
    assert judged(tmp_path / "warm", "a.sqlite", warm) == whole
    # What has no verdict is asked for again in every run.
    assert (calm.n_calls, again.n_calls, warm.n_calls) == (18, 13, 1)


# ------------------------------------------------------------------------------------------- what is still missing


def test_calls_that_may_be_had_by_asking_again_are_missing():
    result = Result(n_in=20, n_out=14, failed={"timeout": 3, "rate_limited": 2, "unparsable": 1})
    with pytest.raises(RunError) as raised:
        require_whole(result, "calls to the judge")
    assert raised.value.message == "5 of 20 calls to the judge failed (2 rate_limited, 3 timeout)."
    assert "run the same command again" in raised.value.hint
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("failed", [{}, {"unparsable": 3, "no_reference": 1, "missing_answer": 2, "refused": 1}])
def test_what_no_repeating_mends_is_no_reason_to_stop(failed):
    require_whole(Result(n_in=20, n_out=20 - sum(failed.values()), failed=failed), "calls to the judge")


# ------------------------------------------------------------------------------------------- caches and judges


def test_a_judge_with_a_key_has_a_cache_where_asked_or_where_the_users_is(tmp_path):
    with judging.verdict_cache(Keyed(), tmp_path / "own.sqlite") as cache:
        assert isinstance(cache, VerdictCache)
        assert cache.path == tmp_path / "own.sqlite"
    with judging.verdict_cache(Keyed()) as cache:
        assert cache.path == default_path()


def test_a_judge_without_a_key_has_none(tmp_path):
    with judging.verdict_cache(Failing(), tmp_path / "own.sqlite") as cache:
        assert cache is None
    assert not (tmp_path / "own.sqlite").exists()


def test_a_judge_that_holds_something_open_is_closed_and_another_is_left():
    class Open(Failing):
        closed = False

        def close(self):
            self.closed = True

    judge = Open()
    judging.close(judge)
    judging.close(Failing())
    assert judge.closed


def test_checking_a_judge_counts_what_it_finds_and_ends_at_one():
    reference = "Vastaus numero {} on melko pitkä. Se jatkuu vielä toisessa virkkeessä. Kolmas virke päättää sen."
    prompts = [prompt(f"p{number}", "fi", f"Kysymys {number}?", reference.format(number)) for number in range(8)]
    seen = []
    found = judging.check_judge(prompts, Failing(), n=3, seed=0, advance=seen.append)
    assert seen[-1] == 1
    # Cut off is shorter, and this judge likes what is longer.
    cut = next(one for one in found.detections if (one.language, one.defect) == ("fi", "cut_off"))
    assert (cut.n_pairs, cut.n_detected, cut.rate.value) == (3, 3, 1.0)


def test_two_different_verdicts_of_one_judge_on_one_call_are_refused():
    own = {"id": "a", "language": "en", "judge": "j", "first": "c", "second": "b"}
    both = [Verdict(**own, choice="first"), Verdict(**own, choice="second")]
    scored = work.Scored(prompts=[], answers=[], identified=[], verdicts=both, comparisons=[], seen={})
    with pytest.raises(PinchError, match="two different verdicts of j on 'a' in en"):
        work.score(scored, seed=0)


def test_a_panel_of_one_judge_is_refused():
    one = Verdict(id="a", language="en", judge="j", first="c", second="b", choice="first")
    scored = work.Scored(
        prompts=[], answers=[], identified=[], verdicts=[one], comparisons=[], seen={}, panel="majority"
    )
    with pytest.raises(PinchError, match="A panel needs two judges"):
        work.score(scored, seed=0)
