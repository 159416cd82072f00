import pytest

from pinchtune import languages
from pinchtune.errors import LanguageError


@pytest.mark.parametrize(
    ("given", "tag", "name", "script", "direction"),
    [
        ("en", "en", "English", "Latn", "ltr"),
        ("zh", "zh", "Chinese", "Hans", "ltr"),
        ("sr", "sr", "Serbian", "Cyrl", "ltr"),
        ("ar", "ar", "Arabic", "Arab", "rtl"),
        ("he", "he", "Hebrew", "Hebr", "rtl"),
        ("PT-br", "pt-BR", "Portuguese (Brazil)", "Latn", "ltr"),
    ],
)
def test_a_tag_brings_name_script_and_direction(given, tag, name, script, direction):
    found = languages.parse(given)
    assert (found.tag, found.name, found.script, found.direction) == (tag, name, script, direction)


def test_every_language_of_the_paper_has_a_family():
    assert all(languages.parse(tag).family for tag in (*languages.PAPER, *languages.SLAVIC))


@pytest.mark.parametrize("given", ["finnish", "Suomi"])
def test_a_name_in_the_place_of_a_tag_is_refused_with_the_tag(given):
    with pytest.raises(LanguageError, match="Did you mean fi"):
        languages.parse(given)


@pytest.mark.parametrize("given", ["", "xx", "123", "q-q", "!"])
def test_what_is_no_language_is_refused(given):
    with pytest.raises(LanguageError):
        languages.parse(given)


def test_a_list_refuses_a_tag_given_twice():
    assert [one.tag for one in languages.parse_list("en, fi ,")] == ["en", "fi"]
    with pytest.raises(LanguageError, match="twice"):
        languages.parse_list("en,fi,en")
