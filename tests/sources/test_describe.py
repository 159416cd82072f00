import statistics
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.identification import Identifier
from pinchtune.records import Example, Message
from pinchtune.sources import pack
from pinchtune.sources.describe import MAX_LISTED, Lengths, describe, lengths
from tests.conftest import example

FINNISH = "Tämä on suomenkielinen lause, jossa on aivan tarpeeksi sanoja tunnistettavaksi."
ENGLISH = "This is a sentence in English, with quite enough words in it to be identified."


@pytest.fixture(scope="module")
def identifier():
    return Identifier()


def test_examples_are_counted_per_language_and_together():
    found = describe([example("a"), example("a", "fi"), example("b")])
    assert {tag: one.n_examples for tag, one in found.languages.items()} == {"en": 2, "fi": 1}
    assert (found.total.n_examples, found.n_ids, found.n_parallel_ids) == (3, 2, 1)


def test_examples_may_come_from_an_iterator_once():
    assert describe(example(str(number)) for number in range(3)).total.n_examples == 3


def test_lengths_are_shortest_median_and_longest_in_words_and_characters():
    found = describe(example(str(number), assistant="word " * number + "end") for number in (0, 2, 5)).total
    assert found.response_words == Lengths(1, 3, 6)
    assert found.response_characters == Lengths(3, 13, 28)
    assert found.prompt_words == Lengths(2, 2, 2)


def test_words_are_not_counted_where_a_script_has_no_spaces():
    found = describe([example("a", "zh", "你好吗？", "我很好，谢谢你。")])
    assert found.languages["zh"].response_words is None
    assert found.languages["zh"].response_characters == Lengths(8, 8, 8)


def test_a_system_turn_counts_neither_as_a_turn_nor_as_length():
    system = Message(role="system", content="Be brief. " * 50)
    plain = example("a")
    found = describe([plain, msgspec.structs.replace(example("b"), messages=(system, *plain.messages))]).total
    assert found.turns == {2: 2}
    assert found.prompt_words == Lengths(2, 2, 2)


def test_longer_conversations_are_counted_by_their_turns():
    longer = Example(id="b", language="en", messages=example("a").messages * 2)
    assert describe([example("a"), longer, example("c")]).total.turns == {2: 2, 4: 1}


def test_categories_are_counted_commonest_first():
    named = [msgspec.structs.replace(example(str(n)), category=c) for n, c in enumerate(["x", "y", "y", None])]
    assert list(describe(named).total.categories.items()) == [("y", 2), ("x", 1)]


def test_the_same_text_under_another_id_is_a_duplicate_and_in_another_language_is_not():
    found = describe([example("a"), example("b"), example("a", "fi"), example("a")])
    assert found.total.n_duplicates == 2
    assert found.languages["fi"].n_duplicates == 0
    assert found.n_reused_ids == 0


def test_texts_that_only_run_together_alike_are_no_duplicates():
    one = example("a", user="aassistantb", assistant="c")
    found = describe([one, example("b", user="a", assistant="bassistantc")])
    assert found.total.n_duplicates == 0


def test_an_id_used_for_two_texts_is_counted():
    found = describe([example("a"), example("a", assistant="Another answer."), example("a", "fi", "Miksi?", "Siksi.")])
    assert found.n_reused_ids == 1


def test_responses_in_another_language_are_listed_with_what_they_look_like(identifier):
    data = [example("right", "fi", assistant=FINNISH), example("wrong", "fi", assistant=ENGLISH), example("short")]
    told = describe(data, identifier=identifier).total.agreement
    assert (told.n_told, told.n_agreeing, told.share, told.untold) == (2, 1, 0.5, {"too_short": 1})
    assert [(one.id, one.language, one.found) for one in told.disagreeing] == [("wrong", "fi", "en")]


def test_only_the_first_of_those_that_disagree_are_listed(identifier):
    data = [example(str(number), "fi", assistant=ENGLISH) for number in range(MAX_LISTED + 5)]
    told = describe(data, identifier=identifier).languages["fi"].agreement
    assert [one.id for one in told.disagreeing] == [str(number) for number in range(MAX_LISTED)]
    assert told.n_told - told.n_agreeing == MAX_LISTED + 5


def test_a_share_of_none_is_none(identifier):
    assert describe([example("short")], identifier=identifier).total.agreement.share is None


def test_without_an_identifier_nothing_is_said_of_agreement():
    assert describe([example("a", "fi", assistant=ENGLISH)]).total.agreement is None


def test_no_examples_have_no_lengths():
    found = describe([])
    assert (found.total.n_examples, found.languages, found.total.response_characters) == (0, {}, None)


def test_the_pack_is_in_the_languages_it_says(identifier):
    found = describe(pack.examples(["en", "fi", "zh"]), identifier=identifier)
    assert found.n_ids == found.n_parallel_ids == 240
    assert found.total.n_duplicates == found.n_reused_ids == 0
    assert all(one.agreement.share >= 0.98 for one in found.languages.values())


def test_a_description_can_be_written_as_json(identifier):
    found = describe([example("a", assistant=ENGLISH)], identifier=identifier)
    assert msgspec.json.decode(msgspec.json.encode(found))["total"]["agreement"]["share"] == 1.0


@given(st.lists(st.integers(0, 50), min_size=1))
def test_lengths_of_counts_are_those_of_the_list(values):
    expected = Lengths(min(values), statistics.median(values), max(values))
    assert lengths(Counter(values)) == expected


@given(st.permutations([example(*one) for one in [("a",), ("b",), ("a", "fi"), ("c", "fi", "Miksi?", "Siksi.")]]))
def test_the_order_of_examples_makes_no_difference(data):
    assert describe(data) == describe(sorted(data, key=lambda one: (one.id, one.language)))
