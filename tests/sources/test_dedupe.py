import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.errors import PinchError
from pinchtune.records import Message
from pinchtune.sources import minhash, pack
from pinchtune.sources.dedupe import dedupe
from pinchtune.sources.files import examples_to_prompts
from pinchtune.sources.minhash import NearTexts, fold, grams, jaccard, rows_per_band
from tests.conftest import example, prompt

WORDS = (
    "the",
    "a",
    "river",
    "over",
    "under",
    "green",
    "old",
    "walks",
    "sings",
    "mountain",
    "bread",
    "window",
    "slowly",
)


def sentence(seed, n_words=40):
    return " ".join(random.Random(seed).choices(WORDS, k=n_words))


def similarity(one, other):
    """Jaccard similarity on sets of strings, as the definition has it."""
    sets = [
        {folded[start : start + 8] for start in range(max(1, len(folded) - 7))} for folded in (fold(one), fold(other))
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def whole(one):
    return "\n".join(turn.content for turn in one.messages)


def reasons(matches):
    return [(one.id, one.reason, one.of_id) for one in matches]


# ------------------------------------------------------------------------------------ within a file


def test_an_exact_duplicate_is_left_out_and_names_the_first():
    found = dedupe([example("a"), example("b"), example("c", assistant="Something else.")])
    assert [one.id for one in found.kept] == ["a", "c"]
    assert reasons(found.duplicates) == [("b", "exact", "a")]
    assert found.duplicates[0].similarity == 1.0


def test_the_same_text_in_two_languages_is_no_duplicate():
    assert dedupe([example("a"), example("a", "fi")]).duplicates == ()


def test_a_text_with_a_word_changed_is_a_near_duplicate():
    words = sentence(1).split()
    changed = " ".join([*words[:20], "something", *words[21:]])
    found = dedupe([example("a", assistant=sentence(1)), example("b", assistant=changed)])
    assert reasons(found.duplicates) == [("b", "near", "a")]
    assert found.duplicates[0].similarity == pytest.approx(
        similarity(f"A question?\n{sentence(1)}", f"A question?\n{changed}")
    )


def test_case_and_spaces_make_no_difference():
    found = dedupe([example("a", assistant=sentence(1)), example("b", assistant=sentence(1).upper() + "  \n")])
    assert reasons(found.duplicates) == [("b", "near", "a")]
    assert found.duplicates[0].similarity == 1.0


def test_exercises_with_other_numbers_are_kept():
    text = "A farmer has {} cows and buys {} more at the market. How many cows does the farmer have in the end?"
    data = [example(str(n), user=text.format(n, n + 1), assistant=f"{2 * n + 1}") for n in range(50)]
    assert len(dedupe(data).kept) == 50


def test_questions_on_one_long_passage_are_kept():
    data = [example("a", user=sentence(1, 200) + " Who?", assistant="Mary, the miller's daughter.")]
    data.append(example("b", user=sentence(1, 200) + " When?", assistant="In the winter of 1912."))
    assert similarity(*map(whole, data)) > 0.9
    assert dedupe(data).duplicates == ()


def test_a_long_system_turn_makes_nothing_alike():
    system = Message(role="system", content=sentence(0, 300))
    data = [example(n, user=f"Question {n}?", assistant=sentence(n, 12)) for n in ("a", "b")]
    data = [msgspec.structs.replace(one, messages=(system, *one.messages)) for one in data]
    assert dedupe(data).duplicates == ()


def test_a_chain_of_near_duplicates_keeps_those_that_are_not_alike():
    words = sentence(1, 60).split()

    def changed(n):
        return " ".join(f"word{place}" if place in range(5, 5 + n) else word for place, word in enumerate(words))

    data = [example(str(n), assistant=changed(n)) for n in (0, 7, 14)]
    assert similarity(whole(data[0]), whole(data[1])) >= 0.7
    assert similarity(whole(data[1]), whole(data[2])) >= 0.7
    assert similarity(whole(data[0]), whole(data[2])) < 0.7
    found = dedupe(data)
    assert [one.id for one in found.kept] == ["0", "14"]
    assert reasons(found.duplicates) == [("7", "near", "0")]


def test_a_copy_of_a_near_duplicate_names_what_is_kept():
    near = sentence(1) + " yes"
    found = dedupe([example("a", assistant=sentence(1)), *(example(n, assistant=near) for n in ("b", "c"))])
    assert reasons(found.duplicates) == [("b", "near", "a"), ("c", "near", "a")]


def test_the_same_row_twice_is_a_duplicate_of_itself():
    assert reasons(dedupe([example("a"), example("a")]).duplicates) == [("a", "exact", "a")]


def test_an_id_left_with_two_texts_is_refused():
    with pytest.raises(PinchError, match="'a' is used twice in en for different texts"):
        dedupe([example("a"), example("a", assistant=sentence(1))])


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(PinchError, match="means nothing"):
        dedupe([example("a")], threshold=threshold)


def test_nothing_gives_nothing():
    assert dedupe([]).kept == ()
    assert dedupe([], against=[prompt("a")]).overlaps == ()


def test_the_pack_has_no_duplicates():
    assert dedupe(pack.examples(["en", "fi", "zh"])).duplicates == ()


def test_progress_runs_up_to_the_end():
    seen = []
    data = [example(f"{tag}{n}", tag, assistant=sentence(n)) for n in range(300) for tag in ("en", "fi")]
    dedupe(data, against=[prompt("x")], advance=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_planted_near_duplicates_are_found_and_distinct_texts_never_removed(number, seed):
    rng = random.Random(number)
    data = [example(str(n), user=sentence(rng.random(), 8), assistant=sentence(rng.random(), 30)) for n in range(20)]
    planted = set()
    for n in range(6):
        words = data[n].response.split()
        words[rng.randrange(len(words))] = "planted"
        copy = example(f"near {n}", user=data[n].prompt[0].content, assistant=" ".join(words))
        if (
            min(similarity(whole(data[n]), whole(copy)), similarity(data[n].response, copy.response)) >= 0.75
        ):  # where chance hardly misses one
            planted.add(copy.id)
        data.append(copy)
    first = {one.id: one for one in data[:20]}
    order = [*data[:20], *rng.sample(data[20:], 6)]
    found = dedupe(order, seed=seed)
    assert planted <= {one.id for one in found.duplicates}
    assert len(found.kept) + len(found.duplicates) == len(order)
    for match in found.duplicates:
        one, other = (next(e for e in order if e.id == wanted) for wanted in (match.id, match.of_id))
        assert other.id in first
        assert similarity(whole(one), whole(other)) >= 0.7
        assert similarity(one.response, other.response) >= 0.7
        assert match.similarity == pytest.approx(similarity(whole(one), whole(other)))


@given(st.lists(st.text(min_size=1, max_size=40).filter(str.strip), max_size=12), st.floats(0.05, 1))
def test_whatever_is_left_out_is_as_like_as_the_threshold_asks(texts, threshold):
    data = [example(str(n), user="Q", assistant=text) for n, text in enumerate(texts)]
    found = dedupe(data, threshold=threshold)
    by_id = {one.id: one for one in data}
    for match in found.duplicates:
        assert match.of_id in {one.id for one in found.kept}
        assert int(match.of_id) < int(match.id)
        assert similarity(whole(by_id[match.id]), whole(by_id[match.of_id])) >= threshold


# ------------------------------------------------------------------------------- against an evaluation set


def test_a_prompt_of_the_evaluation_set_is_overlap_whatever_the_response():
    data = [example("a", user="Why is the sky blue?", assistant="Rayleigh."), example("b", user="Who wrote Emma?")]
    found = dedupe(data, against=[prompt("e", text="Why is the sky blue?", reference=None)])
    assert [one.id for one in found.kept] == ["b"]
    assert reasons(found.overlaps) == [("a", "exact", "e")]


def test_a_prompt_like_one_of_the_evaluation_set_is_overlap():
    found = dedupe([example("a", user=sentence(1) + " yes")], against=[prompt("e", text=sentence(1))])
    assert reasons(found.overlaps) == [("a", "near", "e")]
    assert found.overlaps[0].similarity == pytest.approx(similarity(sentence(1) + " yes", sentence(1)))


def test_overlap_does_not_mind_the_language_declared():
    found = dedupe([example("a", "fi", user=sentence(1))], against=[prompt("e", "en", text=sentence(1))])
    assert (found.overlaps[0].of_id, found.overlaps[0].of_language) == ("e", "en")


def test_all_languages_of_an_id_that_overlaps_go_with_it():
    data = [example("a", "fi", user="Miksi taivas on sininen?"), example("a", user="Why is the sky blue?")]
    found = dedupe(data, against=[prompt("e", text="Why is the sky blue?")])
    assert found.kept == ()
    assert [(one.language, one.reason, one.similarity) for one in found.overlaps] == [
        ("fi", "parallel", None),
        ("en", "exact", 1.0),
    ]


def test_an_id_in_both_sets_is_counted_and_left_out_only_where_asked():
    data, asked = [example("a", user="Miksi?"), example("b", user="Milloin?")], [prompt("a", text="Why?")]
    assert (dedupe(data, against=asked).n_shared_ids, dedupe(data, against=asked).overlaps) == (1, ())
    found = dedupe(data, against=asked, same_id=True)
    assert reasons(found.overlaps) == [("a", "same_id", "a")]
    assert found.n_shared_ids == 0


def test_overlap_is_left_out_before_duplicates_are_sought():
    data = [example("a", user="Why is the sky blue?"), example("b", user="Why is the sky blue?")]
    found = dedupe(data, against=[prompt("e", text="Why is the sky blue?")])
    assert (len(found.overlaps), len(found.duplicates)) == (2, 0)


def test_the_packs_training_split_does_not_overlap_with_its_evaluation_split():
    assert dedupe(pack.examples(["en"]), against=pack.prompts(["en"])).overlaps == ()


def test_a_set_overlaps_with_itself_altogether():
    data = list(pack.examples(["fi"]))
    assert len(dedupe(data, against=examples_to_prompts(data)).overlaps) == len(data)


# --------------------------------------------------------------------------------------------- MinHash


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_counted_exactly(one, other):
    assert jaccard(grams(fold(one)), grams(fold(other))) == pytest.approx(similarity(one, other))


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_bands_find_nearly_all_pairs_at_the_threshold(threshold):
    rows = rows_per_band(threshold)
    assert 1 - (1 - threshold**rows) ** (minhash.PERMUTATIONS // rows) >= 0.999


@pytest.mark.parametrize("crowd", [0, 10**9])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_minhash_finds_is_what_comparing_every_pair_finds(monkeypatch, crowd, seed):
    # Texts of one template, half of them over the threshold: with and without the index of rare grams.
    monkeypatch.setattr(minhash, "_CROWD", crowd)
    monkeypatch.setattr(minhash, "_RARE", 10)
    texts = [fold(sentence(0, 30) + " " + sentence(n % 40, 4 + n % 9)) for n in range(120)]
    near = NearTexts(texts, threshold=0.8, seed=seed)
    everything = np.ones(len(texts), dtype=np.bool_)
    n_wanted = n_found = 0
    for place, text in enumerate(texts):
        scores = ((other, similarity(text, texts[other])) for other in range(place))
        wanted = {other: score for other, score in scores if score >= 0.8}
        found = near.before(place, everything)
        assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))
        assert all(score == pytest.approx(wanted[other]) for other, score in found)
        n_wanted += len(wanted)
        n_found += len(found)
    assert 100 < n_wanted < 120 * 119 / 2 * 0.8
    assert n_found >= 0.99 * n_wanted


def test_only_what_is_allowed_is_returned():
    near = NearTexts([fold(sentence(1))] * 3, threshold=0.7)
    assert near.before(2, np.array([False, True, True])) == [(1, 1.0)]
