import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchtune.translation.spans import MaskError, find, mask, restore, same_spans

PROTECTED = [
    "`len(x)`",
    "``a `b` c``",
    "https://example.org/a?b=c#d",
    "www.example.org",
    "someone@example.org",
    "{name}",
    "{{ user.id }}",
    "${HOME}",
    "<b>",
    "</b>",
    '<a href="x">',
    "%s",
    "%(count)d",
    "$x^2 + y$",
    "$$\\int f$$",
    "[[3]]",
]
words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat,", "and", "slept."]), min_size=1, max_size=4)
texts = st.lists(st.one_of(words.map(" ".join), st.sampled_from(PROTECTED)), max_size=10).map(" ".join)


@pytest.mark.parametrize("text", PROTECTED)
def test_every_kind_is_found_whole(text):
    assert [span.text for span in find(f"See {text} here.")] == [text]


@pytest.mark.parametrize(
    "text",
    ["It costs $5 and $10.", "50% sure", "a < b and c > d", "5 * 3 = 15", "see (this)", "he said: yes", "50 % s"],
)
def test_ordinary_text_is_not_protected(text):
    assert find(text) == []


def test_fenced_and_indented_code_are_blocks():
    text = "Run this:\n\n```sh\nls -l\n```\n\nor:\n\n    ls -a\n    pwd\n\ndone."
    assert [(span.kind, span.text) for span in find(text)] == [
        ("code_block", "```sh\nls -l\n```"),
        ("indented_code", "    ls -a\n    pwd\n"),
    ]


def test_the_full_stop_after_an_address_is_no_part_of_it():
    assert [span.text for span in find("See https://example.org/a.")] == ["https://example.org/a"]


def test_names_are_kept_as_whole_words():
    assert [span.text for span in find("Pinch and Pinchtune", names=("Pinch",))] == ["Pinch"]


@given(texts)
def test_what_is_masked_is_restored_to_the_byte(text):
    masked = mask(text)
    assert restore(masked.text, masked.spans) == text


@given(texts, st.integers(0, 999))
def test_spacing_brackets_and_order_of_masks_may_suffer(text, seed):
    masked = mask(text)
    rng = random.Random(seed)
    forms = ["[[{}]]", "[ [{}] ]", "[[ {} ]]", "[ [ {} ] ]", "［［{}］］", "【【{}】】"]
    spoiled = masked.text
    for number in range(len(masked.spans)):
        spoiled = spoiled.replace(f"[[{number}]]", f"\x00{number}\x00")
    for number in range(len(masked.spans)):
        spoiled = spoiled.replace(f"\x00{number}\x00", rng.choice(forms).format(number))
    assert restore(spoiled, masked.spans) == text


@given(texts, st.data())
def test_a_dropped_or_doubled_mask_is_an_error(text, data):
    masked = mask(text)
    if not masked.spans:
        return
    number = data.draw(st.integers(0, len(masked.spans) - 1))
    sign = f"[[{number}]]"
    for spoiled in (masked.text.replace(sign, ""), masked.text + sign, masked.text.replace(sign, "[[99]]")):
        with pytest.raises(MaskError):
            restore(spoiled, masked.spans)


@given(texts)
def test_a_text_has_the_same_spans_as_itself_and_as_its_upper_case_rest(text):
    assert same_spans(text, text) == []


def test_what_differs_is_named():
    assert same_spans("use `a` at https://x.org/1", "käytä `b` kohdassa https://x.org/1") == ["lost '`a`'", "new '`b`'"]
