import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.scoring.correlation import (
    Bounds,
    correlate,
    correlate_pairs,
    fisher_interval,
    match,
    points_needed,
    sentence,
)

# LSAT scores and grades of 15 law schools (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", table 3.1).
LSAT = [576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
GPA = [3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96]
numbers = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=4, max_size=9)


def pairs_of(tags):
    return [(one, other) for one in tags for other in tags if one != other]


def test_the_papers_correlation_of_pretraining_share_says_nothing_either_way():
    # r = 0.22 over 11 training languages (Shaham et al. 2024, Fig. 8).
    found = fisher_interval(0.22, 11)
    assert (found.low, found.high) == pytest.approx((-0.44, 0.72), abs=0.005)


def test_the_law_schools_have_the_published_correlation_and_intervals():
    # Fisher's interval and both of the bootstrap's from scipy 1.x (pearsonr, bootstrap with 20,000 resamples).
    found = correlate(LSAT, GPA)
    assert found.value == pytest.approx(0.7764, abs=1e-4)
    assert (found.fisher.low, found.fisher.high) == pytest.approx((0.4385, 0.9220), abs=1e-4)
    assert (found.bootstrap.low, found.bootstrap.high) == pytest.approx((0.335, 0.941), abs=0.03)
    assert found.p_value == pytest.approx(0.0013, abs=0.0012)
    assert found.interval == found.fisher


def test_spearmans_is_pearsons_of_the_ranks():
    found = correlate(LSAT, GPA, method="spearman", draws=2_000)
    assert found.value == pytest.approx(0.79643, abs=1e-5)  # scipy's spearmanr
    half = np.sqrt((1 + 0.79643**2 / 2) / 12) * 1.96
    assert found.fisher.low == pytest.approx(np.tanh(np.arctanh(0.79643) - half), abs=1e-4)
    assert correlate([1, 2, 3, 4], [1, 8, 27, 64], method="spearman").value == pytest.approx(1)
    # Equal numbers share the mean rank: 1, 2.5, 2.5, 4 with 1, 2, 3, 4.
    assert correlate([1, 2, 2, 3], [1, 2, 3, 4], method="spearman").value == pytest.approx(np.sqrt(0.9))


@given(numbers)
def test_a_correlation_is_numpys_lies_in_its_intervals_and_knows_no_units(points):
    x, y = zip(*points, strict=True)
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    found = correlate(x, y, draws=200, permutations=50)
    assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    for interval in (found.fisher, found.bootstrap):
        assert interval is None or -1 <= interval.low <= found.value <= interval.high <= 1
    other = correlate([1000 + 3 * one for one in x], y, draws=200, permutations=50)
    assert other.value == pytest.approx(found.value, abs=1e-9)
    assert other.p_value == pytest.approx(found.p_value, abs=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=5, max_size=5), st.lists(st.integers(-5, 5), min_size=5, max_size=5))
def test_with_few_languages_the_p_value_counts_every_order(x, y):
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    observed = abs(np.corrcoef(x, y)[0, 1])
    orders = [abs(np.corrcoef(x, order)[0, 1]) for order in itertools.permutations(y)]
    expected = np.mean([one >= observed - 1e-9 for one in orders])
    assert correlate(x, y, draws=20).p_value == pytest.approx(expected)


def test_both_intervals_hold_no_correlation_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    found = [
        correlate(rng.normal(size=11), rng.normal(size=11), draws=500, permutations=200, seed=seed)
        for seed in range(150)
    ]
    for kind in ("fisher", "bootstrap"):
        held = sum(getattr(one, kind).low <= 0 <= getattr(one, kind).high for one in found)
        assert 0.88 <= held / 150 <= 1, kind
    assert sum(one.p_value < 0.05 for one in found) / 150 < 0.11


def test_a_seed_repeats_an_interval():
    made = [correlate(LSAT, GPA, seed=seed, draws=300, permutations=99) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0].bootstrap != made[2].bootstrap


def test_a_straight_line_has_no_interval_that_could_be_believed():
    found = correlate([1, 2, 3, 4], [2, 4, 6, 8])
    assert (found.value, found.fisher, found.bootstrap) == (pytest.approx(1), None, None)
    assert found.p_value == pytest.approx(2 / 24)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [([1, 2], [3, 4], "too_few"), ([], [], "too_few"), ([1, 1, 1, 1], [1, 2, 3, 4], "constant")],
)
def test_where_there_is_no_correlation_it_is_none_with_a_reason(x, y, reason):
    found = correlate(x, y)
    assert (found.value, found.interval, found.p_value, found.reason) == (None, None, None, reason)


def test_what_is_no_number_or_has_no_partner_is_refused():
    with pytest.raises(PinchError, match="not finite"):
        correlate([1.0, float("nan"), 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(PinchError, match="2 factors and 3 scores"):
        correlate([1, 2], [1, 2, 3])


def test_how_many_languages_are_needed_is_the_published_table():
    # Hulley et al. 2013, "Designing Clinical Research", appendix 6C: two-sided 5%, power 80%.
    assert [points_needed(r) for r in (0.1, 0.2, 0.3, -0.3)] == [783, 194, 85, 85]
    assert points_needed(0.22) == 160
    assert points_needed(0.0) is None
    assert points_needed(1.0) == 4


def test_match_keeps_languages_that_both_tables_have_and_leaves_english_out():
    found = match({"fi": 0.1, "en": 0.9, "sw": None, "ar": 0.2, "he": 0.3}, {"ar": 40, "fi": 45.0, "en": 50, "sw": 30})
    assert (found.languages, found.x, found.y) == (("fi", "ar"), (0.1, 0.2), (45, 40))
    assert match({"en": 1}, {"en": 2}, without=()).languages == ("en",)


# --- pairs ---


def test_pairs_have_the_plain_correlation_over_all_that_both_tables_know():
    rng = np.random.default_rng(0)
    pairs = pairs_of("abcd")
    x, y = ({pair: float(rng.normal()) for pair in pairs} for _ in range(2))
    x["a", "b"] = None
    x["a", "a"] = y["a", "a"] = 100.0
    del y["c", "d"]
    kept = [pair for pair in pairs if pair not in {("a", "b"), ("c", "d")}]
    found = correlate_pairs(x, y, draws=200)
    assert found.value == pytest.approx(np.corrcoef([x[p] for p in kept], [y[p] for p in kept])[0, 1])
    assert (found.n, found.n_languages, found.fisher) == (10, 4, None)


def test_the_p_value_of_pairs_is_mantels_over_every_order_of_the_languages():
    rng = np.random.default_rng(2)
    tags = "abcde"
    pairs = pairs_of(tags)
    x, y = ({pair: float(rng.normal()) for pair in pairs} for _ in range(2))
    reached = []
    for order in itertools.permutations(tags):
        name = dict(zip(tags, order, strict=True))
        reached.append(np.corrcoef([x[p] for p in pairs], [y[name[p[0]], name[p[1]]] for p in pairs])[0, 1])
    expected = np.mean([abs(one) >= abs(reached[0]) - 1e-9 for one in reached])
    assert correlate_pairs(x, y, draws=50).p_value == pytest.approx(expected)


def test_pairs_that_share_languages_are_not_taken_for_independent_ones():
    rng = np.random.default_rng(1)
    tags = [f"l{number}" for number in range(12)]
    held = naive = found_one = 0
    for seed in range(60):
        place, gives, takes = (dict(zip(tags, rng.normal(size=12), strict=True)) for _ in range(3))
        x = {(s, t): abs(place[s] - place[t]) for s, t in pairs_of(tags)}
        y = {(s, t): gives[s] + takes[t] + rng.normal() for s, t in pairs_of(tags)}
        found = correlate_pairs(x, y, draws=300, permutations=199, seed=seed)
        held += found.bootstrap.low <= 0 <= found.bootstrap.high
        found_one += found.p_value < 0.05
        fisher = fisher_interval(found.value, found.n)
        naive += fisher.low <= 0 <= fisher.high
    assert held >= 56
    assert naive <= 53
    assert found_one <= 8


def test_two_languages_have_no_correlation_of_pairs_worth_the_name():
    found = correlate_pairs({("a", "b"): 1, ("b", "a"): 2}, {("a", "b"): 1, ("b", "a"): 3})
    assert (found.value, found.reason, found.n_languages) == (None, "too_few", 2)
    assert correlate_pairs({}, {}).reason == "too_few"


# --- words ---


def told(x, y, **options):
    return sentence(correlate(x, y, **options), x="pretraining share", y="score")


def test_an_interval_that_holds_0_is_told_as_not_knowing_with_what_it_would_take():
    rng = np.random.default_rng(3)
    said = told(rng.normal(size=11), rng.normal(size=11))
    assert said.startswith("Over 11 languages, the Pearson correlation of pretraining share with score is 0.")
    assert "the interval holds 0, so these languages cannot tell whether the two go together." in said
    assert said.endswith("languages would show a correlation of this size with 80% power.")


def test_a_clear_correlation_is_told_with_its_direction_and_no_cause():
    said = told(LSAT, [-one for one in GPA])
    assert "is -0.78 (95% interval -0.92 to -0.44, permutation p 0.00" in said
    assert "where pretraining share is higher, score tends to be lower. It does not show that one causes" in said


def test_three_languages_or_one_that_never_changes_are_told_as_nothing():
    assert "3 languages are too few, an interval needs 4 or more" in told([1, 2, 3], [1, 2, 4])
    assert "1 language is too few, an interval needs 4 or more" in told([1], [1])
    assert "one of the two never changes" in told([1, 1, 1, 1], [1, 2, 3, 4])


def test_a_straight_line_of_four_cannot_tell_and_one_of_five_can():
    assert "no interval, permutation p 0.083): so few languages can lie in one order by chance" in told(
        [1, 2, 3, 4], [1, 2, 3, 4]
    )
    assert "tends to be higher" in told([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])


def test_where_the_methods_do_not_agree_it_is_said():
    # One far language makes Fisher's interval narrow; drawn again without it, nothing is left.
    x, y = [0, 1, 2, 3, 4, 5, 6, 30], [3, 1, 4, 1, 5, 2, 1, 20]
    found = correlate(x, y)
    assert found.fisher.low > 0 > found.bootstrap.low
    assert "the intervals and the permutation test do not agree" in sentence(found, x="share", y="score")


def test_pairs_are_told_as_pairs_of_so_many_languages():
    rng = np.random.default_rng(0)
    pairs = pairs_of("abcdefg")
    found = correlate_pairs({p: rng.normal() for p in pairs}, {p: rng.normal() for p in pairs}, draws=500)
    said = sentence(found, x="distance", y="score")
    assert said.startswith("Over 42 pairs of 7 languages, the Pearson correlation of distance with score")
    assert "power" not in said
    assert found.interval == found.bootstrap
    assert isinstance(found.interval, Bounds)
