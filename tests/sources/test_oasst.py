import pytest

from pinchtune.errors import DataError, LanguageError, PinchError
from pinchtune.sources import oasst


def post(identifier, parent=None, *, tree="t", **changes):
    row = {
        "message_id": identifier,
        "parent_id": parent,
        "user_id": "someone",
        "created_date": "2023-02-05T14:23:50.983374+00:00",
        "text": f"text of {identifier}",
        "role": "prompter" if parent is None else "assistant",
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "rank": None,
        "synthetic": False,
        "model_name": None,
        "detoxify": None,
        "message_tree_id": tree,
        "tree_state": "ready_for_export",
        "emojis": None,
        "labels": {"name": ["spam"], "value": [0.0], "count": [3]},
    }
    return row | changes


TREE = [
    post("t"),
    post("a1", "t", rank=1),
    post("a0", "t", rank=0),
    post("p1", "a0", role="prompter"),
    post("p2", "a0", role="prompter"),
    post("b1", "p2", rank=1),
    post("b0", "p2", rank=0),
]


def read(rows, **options):
    return list(oasst.read(enumerate(rows, 1), **options))


def ids(rows, **options):
    return [one.id for one in read(rows, **options)]


def test_a_tree_gives_its_first_instruction_with_the_top_ranked_reply():
    (made,) = read(TREE)
    assert [(turn.role, turn.content) for turn in made.messages] == [
        ("user", "text of t"),
        ("assistant", "text of a0"),
    ]
    assert (made.id, made.language, made.source) == ("a0", "en", "OpenAssistant/oasst1")


def test_where_rank_0_is_missing_the_lowest_is_taken():
    assert ids([post("t"), post("a2", "t", rank=2), post("a1", "t", rank=1)]) == ["a1"]


def test_a_reply_that_nobody_ranked_is_taken_only_for_want_of_others():
    assert ids([post("t"), post("a", "t"), post("b", "t", rank=3)]) == ["b"]
    assert ids([post("t"), post("a", "t")]) == ["a"]


@pytest.mark.parametrize("fault", [{"deleted": True}, {"review_result": False}])
def test_deleted_messages_and_spam_are_left_out(fault):
    assert ids([post("t"), post("a0", "t", rank=0, **fault), post("a1", "t", rank=1)]) == ["a1"]
    assert ids([post("t", **fault), post("a0", "t", rank=0)]) == []


def test_unreviewed_messages_of_finished_trees_are_kept_and_unfinished_trees_are_not():
    assert ids([post("t", review_result=None), post("a", "t", deleted=None)]) == ["a"]
    growing = {"tree_state": "growing"}
    assert ids([post("t", **growing), post("a", "t", **growing)]) == []


def test_a_tree_without_its_first_instruction_or_without_replies_gives_nothing():
    assert ids([post("a", "t"), post("u", tree="u")]) == []


def test_languages_choose_the_trees():
    rows = [
        *(post("t"), post("a", "t")),
        *(post("u", tree="u", lang="uk-UA"), post("v", "u", tree="u", lang="uk-UA")),
        *(post("w", tree="w", lang="fi"), post("x", "w", tree="w", lang="fi")),
    ]
    assert ids(rows) == ["a"]
    assert [(one.id, one.language) for one in read(rows, languages=["uk", "fi"])] == [("v", "uk"), ("x", "fi")]
    assert [one.language for one in read(rows, languages=None)] == ["en", "uk-UA", "fi"]


def test_a_reply_in_another_language_is_none():
    assert ids([post("t"), post("a0", "t", rank=0, lang="es"), post("a1", "t", rank=1)]) == ["a1"]


def test_more_ranks_give_more_examples_best_first():
    assert ids(TREE, max_rank=2) == ["a0", "a1"]
    assert ids(TREE, max_rank=9) == ["a0", "a1"]


def test_more_turns_follow_the_first_instruction_that_has_a_reply():
    (made,) = read(TREE, turns=2)
    assert [turn.content.removeprefix("text of ") for turn in made.messages] == ["t", "a0", "p2", "b0"]
    assert made.id == "b0"
    assert ids(TREE, turns=5, max_rank=2) == ["b0", "a1"]


def test_a_tree_is_given_before_the_tree_after_the_next_message_is_read():
    def rows():
        yield from enumerate([*TREE, post("u", tree="u")], 1)
        raise AssertionError("more than one tree was read")

    assert next(oasst.read(rows())).id == "a0"


def test_a_tree_torn_apart_is_refused_at_its_line():
    with pytest.raises(DataError, match=r"line 3: the tree t goes on here") as raised:
        ids([post("t"), post("u", tree="u"), post("a", "t")])
    assert "sort the file" in raised.value.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": None}, r"line 2: Expected `str`, got `null` - at `\$.text`"),
        ({"role": "system"}, "line 2: Invalid enum value 'system'"),
        ({"rank": "0"}, r"line 2: Expected `int \| null`, got `str` - at `\$.rank`"),
        ({"text": " "}, "line 2: the response is empty"),
    ],
)
def test_a_bad_message_is_named_with_its_place_and_reason(change, words):
    with pytest.raises(DataError, match=words):
        read([post("t"), post("a", "t", **change)])


def test_a_language_that_is_none_is_named_with_its_place():
    with pytest.raises(DataError, match="line 1: 'klingonish' is not a language tag"):
        read([post("t", lang="klingonish"), post("a", "t")])


def test_options_out_of_range_are_refused_before_a_row_is_read():
    with pytest.raises(PinchError, match="max_rank is 0"):
        oasst.read([], max_rank=0)
    with pytest.raises(PinchError, match="turns is 0"):
        oasst.read([], turns=0)
    with pytest.raises(LanguageError, match="not a language tag"):
        oasst.read([], languages=["klingonish"])
    with pytest.raises(LanguageError, match="No language is asked for"):
        oasst.read([], languages=[])
