"""What counts as one emoji, however it was typed."""

import emoji
import pytest

from chat.domain.emoji import QUICK, clean_emoji, stored_emoji
from chat.domain.errors import Invalid


@pytest.mark.parametrize("text", ["👍", "👍🏽", "👨‍👩‍👧", "🇩🇪", "#️⃣", "❤️", "🏴‍☠️", "🧑🏿‍🚀", " 🎉 "])
def test_an_emoji_is_taken_as_it_is(text):
    assert clean_emoji(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1", "👍👍", "👍 👍", "👍x", "🇩", "🇽🇽", "→", "☐", "<", "<b>", "ok", "👍" * 99],
)
def test_anything_else_is_refused(text):
    with pytest.raises(Invalid):
        clean_emoji(text)


def test_a_symbol_is_the_same_emoji_with_and_without_its_mark():
    assert clean_emoji("❤") == clean_emoji("❤️") == "❤️"


def test_those_at_hand_are_written_as_they_are_stored():
    assert [clean_emoji(emoji) for emoji in QUICK] == QUICK
    assert len(set(QUICK)) == 8


def test_every_emoji_of_unicode_is_one():
    for text in emoji.EMOJI_DATA:
        clean = clean_emoji(text)
        assert clean_emoji(clean) == stored_emoji(text) == clean


@pytest.mark.parametrize(
    ("text", "stored"),
    [("→", "→️"), ("✓️", "✓️"), ("🇽🇽", "🇽🇽"), ("⌈", "⌈️"), ("\U0001faff", "\U0001faff")],
)
def test_symbols_that_earlier_versions_took_can_be_imported(text, stored):
    assert stored_emoji(text) == stored
    assert stored_emoji(stored) == stored


@pytest.mark.parametrize("text", ["", "a", "1", "<", "<b>", "a→", "\u202e", "\u200e→", "→" * 17])
def test_nothing_but_symbols_can_be_imported_as_a_reaction(text):
    with pytest.raises(Invalid):
        stored_emoji(text)
