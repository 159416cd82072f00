import re

import pytest

from pinchtune.records import Score
from pinchtune.scoring.correlation import correlate, points_needed
from pinchtune.scoring.factors import (
    Column,
    Factor,
    LanguageScore,
    PairColumn,
    called,
    columns_of,
    correlations,
    detectable_correlation,
    from_english,
    names_of,
    what_is_left,
    what_so_many_can_tell,
)
from pinchtune.scoring.multiplicity import holm
from pinchtune.scoring.similarity import PairFactor, pair_features

TAGS = ["en", "ar", "cs", "es", "et", "fi", "he", "hi", "it", "ru", "sw", "zh"]


def factor(name, values):
    return [Factor(name=name, language=tag, value=value) for tag, value in zip(TAGS, values, strict=False)]


def column(values, name="the score"):
    cells = {
        tag: LanguageScore(value=value, low=value, high=value, n=9) for tag, value in zip(TAGS, values, strict=False)
    }
    return Column(key="k", name=name, scores=cells)


def score(language, value=0.6, **more):
    fields = {"metric": "side_by_side", "model": "m", "baseline": "b", "judge": "j", "low": 0.5, "high": 0.7}
    counts = {"n_asked": 9, "n_answered": 9, "n_judged": 8}
    return Score(language=language, value=value, **fields | counts | more)


@pytest.mark.parametrize("n", [4, 11, 30, 85, 194])
def test_the_least_correlation_that_n_languages_show_needs_n_languages(n):
    assert points_needed(detectable_correlation(n)) == n


def test_what_so_few_languages_can_tell():
    assert detectable_correlation(3) is None
    assert what_so_many_can_tell(3).startswith("With 3 languages beside English nothing can be said of any factor")
    assert what_so_many_can_tell(0).startswith("With no languages")
    assert what_so_many_can_tell(11) == (
        "11 languages show a correlation with 80% power only where it is 0.76 or stronger; one of 0.3 needs 85 "
        "languages."
    )


def test_english_is_left_out_and_every_factor_meets_every_score():
    steps, zigzag = [0.01 * n for n in range(12)], [n % 3 for n in range(12)]
    rising = [0.9, *(0.1 + 0.05 * n + 0.01 * (n % 2) for n in range(11))]
    factors = [*factor("a_factor", zigzag), *factor("pretraining_share", steps)]
    found = correlations(factors, [column(rising), column(zigzag, "another")])
    assert [(one.factor, one.score) for one in found] == [
        ("pretraining_share", "the score"),
        ("a_factor", "the score"),
        ("pretraining_share", "another"),
        ("a_factor", "another"),
    ]
    assert found[0].correlation == correlate(steps[1:], rising[1:])
    assert found[0].correlation.fisher.low > 0.9
    assert found[0].sentence.startswith(
        "Over 11 languages, the Pearson correlation of pretraining share with the score"
    )
    ps = {str(n): one.correlation.p_value for n, one in enumerate(found)}
    assert [one.p_corrected for one in found] == [one.adjusted for one in holm(ps).values()]


def test_what_is_left_once_corrected_is_named_and_nothing_is_said_so():
    rising = [0.1 + 0.05 * n for n in range(12)]
    shown = correlations(factor("pretraining_share", rising), [column([0.9, *rising[1:]])])
    assert what_is_left(shown).endswith("1 stands: pretraining share with the score.")
    level = correlations(
        factor("pretraining_share", [0.1, 0.2, 0.1, 0.2, 0.1, 0.2]), [column([0.5, 0.4, 0.4, 0.3, 0.3])]
    )
    assert what_is_left(level).endswith("none is shown.")
    assert what_is_left([]) == ""


def test_three_languages_and_a_factor_that_never_changes_say_nothing():
    few, same = correlations(
        [*factor("tokens_per_word", [1, 2, 3, 5]), *factor("bits_per_character", [1] * 12)],
        [column([0.1, 0.3, 0.2, 0.4])],
    )
    assert "3 languages are too few" in few.sentence
    assert few.correlation.fisher is few.correlation.bootstrap is None
    assert "one of the two never changes" in same.sentence
    assert same.p_corrected is None


def test_a_language_of_which_a_factor_is_not_known_is_left_out():
    factors = factor("pretraining_share", [0.5, 0.1, None, 0.3, 0.2, 0.4])
    (found,) = correlations(factors, [column([0.1, 0.2, 0.3, 0.4, 0.5, 0.1])])
    assert found.correlation.n == 4


def test_pairs_have_no_interval_of_fishers_and_count_their_languages():
    tags = ["ru", "sr", "hr", "sl", "pl", "sk", "cs"]
    values = {(one, other): 0.3 + 0.05 * (n % 3) for n, one in enumerate(tags) for other in tags if one != other}
    found = correlations([], [], pairs=pair_features(tags), pair_columns=[PairColumn(name="each", scores=values)])
    assert {one.factor for one in found} == {"same_family", "same_script", "same_subfamily", "intelligible"}
    script = next(one for one in found if one.factor == "same_script")
    assert (script.correlation.n, script.correlation.n_languages, script.correlation.fisher) == (42, 7, None)


def test_columns_are_of_languages_one_for_each_metric_model_and_judge():
    means = [score(name) for name in ("all", "non_english", "seen", "unseen")]
    fidelity = score("fi", 0.9, metric="language_fidelity", baseline=None, judge=None)
    made = columns_of([score("fi"), score("ru"), *means, fidelity, score("fi", model="other")], model="m")
    assert [one.name for one in made] == ["side by side of m against b", "language fidelity of m"]
    assert list(made[0].scores) == ["fi", "ru"]
    assert made[0].scores["fi"].n == 8
    two = columns_of([score("fi"), score("fi", judge="llm:a/b")])
    assert [one.name for one in two] == ["side by side of m against b (j)", "side by side of m against b (llm:a/b)"]
    assert all("/" not in one.key for one in two)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model": "m.a"}, {"model": "m-a"}),
        ({"model": "m a"}, {"model": "m/a"}),
        ({"model": "M"}, {"model": "m"}),
        ({"model": "a-vs-b", "baseline": "c"}, {"model": "a", "baseline": "b-vs-c"}),
        ({"baseline": "b-j", "judge": "k"}, {"baseline": "b", "judge": "j-k"}),
        ({"model": "x" * 300 + "1"}, {"model": "x" * 300 + "2"}),
    ],
)
def test_no_two_columns_have_files_of_one_name(one, other):
    keys = [made.key for made in columns_of([score("fi", **one), score("fi", **other)])]
    assert len(set(keys)) == 2
    assert all(re.fullmatch("[a-z0-9_-]{1,140}", key) for key in keys)


def test_distances_from_english_are_factors_of_languages():
    far = PairFactor(name="uriel_genetic", source="en", target="fi", value=0.9)
    none = PairFactor(name="uriel_genetic", source="en", target="sw", value=None, reason="not_in_uriel")
    back = PairFactor(name="uriel_genetic", source="fi", target="en", value=0.9)
    made = from_english([far, none, back])
    assert [(one.language, one.value, one.reason) for one in made] == [("fi", 0.9, None), ("sw", None, "not_in_uriel")]
    assert called(made[0].name) == "genetic distance from English"
    assert called("uriel_genetic") == "genetic distance"
    assert names_of([*made, *factor("pretraining_share", [0.1])]) == ["pretraining_share", made[0].name]
