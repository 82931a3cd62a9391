"""Cleaning what people type."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.errors import Invalid
from chat.domain.validation import MAX_BODY_CHARS, MAX_NAME_CHARS, clean_body, clean_name

piled = st.lists(st.sampled_from("ae\u0344\u0303\u0301\u0308\u033f\u0f73\u0360"), max_size=30)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=200) | piled.map("".join))
def test_a_clean_text_stays_as_it_is(text):
    try:
        once = clean_body(text)
    except Invalid:
        return
    assert clean_body(once) == once
    once.encode()


@pytest.mark.parametrize("text", ["", "   \n\t ", "​​", "‮", "\x00\x07", "⠀"])
def test_nothing_visible_is_refused(text):
    with pytest.raises(Invalid, match="empty"):
        clean_body(text)


def test_a_body_keeps_lines_and_loses_control_characters():
    assert clean_body(" \r\none\x00\r\ntwo‮\n\n") == "one\ntwo"


def test_a_body_may_be_just_as_long_as_said():
    assert len(clean_body("x" * MAX_BODY_CHARS)) == MAX_BODY_CHARS
    with pytest.raises(Invalid, match=r"4,001 characters\. The limit is 4,000"):
        clean_body("x" * (MAX_BODY_CHARS + 1))


def test_a_lone_surrogate_is_dropped():
    assert clean_body("a\ud800b") == "ab"


def test_marks_piled_on_one_character_are_cut():
    """Bringing n marks in order takes n² steps: 40,000 of them took seconds."""
    assert len(clean_body("a" + "\u0301\u0316" * 3000)) < 12
    assert clean_body("Tiếng Việt, हिन्दी, ภาษาไทย") == "Tiếng Việt, हिन्दी, ภาษาไทย"


@pytest.mark.parametrize("clean", [clean_body, clean_name])
def test_what_is_far_too_long_is_refused_before_any_work(clean):
    with pytest.raises(Invalid, match="too long"):
        clean("\u0301" * 1_000_000)


def test_a_name_is_one_line():
    assert clean_name("  Ann \n  Lee ") == "Ann Lee"
    with pytest.raises(Invalid):
        clean_name("x" * (MAX_NAME_CHARS + 1))


@pytest.mark.parametrize(
    "typed", ["Boss\u200b", "B\u2060oss", "Bo\u200dss\u200d", "Boss\ufe01", "\u3164Boss"]
)
def test_what_cannot_be_seen_is_no_part_of_a_name(typed):
    assert clean_name(typed) == "Boss"


@pytest.mark.parametrize(
    "name", ["می\u200cخواهم", "क्\u200dष", "👩\u200d💻 Ann", "Ann ❤\ufe0f", "1\ufe0f⃣"]
)
def test_what_makes_letters_and_emoji_what_they_are_stays(name):
    assert clean_name(name) == name


def test_emoji_of_several_characters_stay_whole():
    family = "👨‍👩‍👧"
    assert clean_body(family) == family


def test_every_mark_that_comes_apart_into_marks_is_one_of_a_pile():
    """Unicode gives some no class of their own (U+0F73), and normalization takes them apart."""
    for character in map(chr, range(0x110000)):
        first = unicodedata.normalize("NFD", character)[0]
        if unicodedata.combining(first):
            assert len(clean_body("a" + character * 3000)) < 40, hex(ord(character))


def test_what_joins_makes_no_new_pile():
    """Or the search for what a joiner joins would go through thousands of marks, for each of it."""
    for joiner in "\u200c\u200d\ufe0f":
        assert len(clean_body("a" + f"\u094d{joiner}" * 2000)) < 20
