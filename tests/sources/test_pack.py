import pytest

from pinchtune import languages
from pinchtune.errors import LanguageError, PinchError
from pinchtune.sources import pack


def test_the_pack_has_the_papers_languages_and_its_slavic_ones():
    assert set(pack.tags()) >= {*languages.PAPER, *languages.SLAVIC}


def test_examples_are_parallel_by_id():
    by_language = {tag: [one.id for one in pack.examples([tag])] for tag in ("en", "fi", "ar")}
    assert by_language["en"] == by_language["fi"] == by_language["ar"]


def test_prompts_have_references_and_are_no_training_examples():
    prompts = list(pack.prompts(["en"]))
    assert all(one.reference for one in prompts)
    assert not {one.id for one in prompts} & {one.id for one in pack.examples(["en"])}


def test_a_bound_on_words_leaves_the_same_ids_in_every_language():
    short = [one.id for one in pack.examples(["en"], max_words=30)]
    assert 0 < len(short) < len(list(pack.examples(["en"])))
    assert [one.id for one in pack.examples(["zh"], max_words=30)] == short


def test_a_limit_takes_the_same_first_ids_in_each_language():
    ids = {tag: [one.id for one in pack.prompts([tag], limit=5)] for tag in ("en", "he")}
    assert ids["en"] == ids["he"]
    assert len(ids["en"]) == 5


def test_a_language_outside_the_pack_is_refused_with_those_inside():
    with pytest.raises(LanguageError, match="The pinch pack has no German") as raised:
        pack.entries("de")
    assert "fi" in raised.value.hint


def test_an_unknown_id_suggests_the_nearest():
    known = pack.entries("en")[0].id
    with pytest.raises(PinchError, match="no conversation with the id") as raised:
        pack.find(known[:-1])
    assert known in raised.value.hint
    assert set(pack.find(known)) == set(pack.tags())
