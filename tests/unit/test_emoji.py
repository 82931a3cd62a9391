"""What counts as one emoji, however it was typed."""

import pytest

from chat.domain.emoji import QUICK, clean_emoji
from chat.domain.errors import Invalid


@pytest.mark.parametrize("text", ["👍", "👍🏽", "👨‍👩‍👧", "🇩🇪", "#️⃣", "❤️", "🏴‍☠️", "🧑🏿‍🚀", " 🎉 "])
def test_an_emoji_is_taken_as_it_is(text):
    assert clean_emoji(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["", " ", "a", "1", "👍👍", "👍 👍", "👍x", "🇩", "<b>", "ok", "👍" * 99]
)
def test_anything_else_is_refused(text):
    with pytest.raises(Invalid):
        clean_emoji(text)


def test_a_symbol_is_the_same_emoji_with_and_without_its_mark():
    assert clean_emoji("❤") == clean_emoji("❤️") == "❤️"


def test_those_at_hand_are_written_as_they_are_stored():
    assert [clean_emoji(emoji) for emoji in QUICK] == QUICK
    assert len(set(QUICK)) == 8
