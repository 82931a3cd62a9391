"""Replaces the names of emoji, such as `:tada:`, and recognizes messages of nothing but emoji."""

import re

import emoji

MAX_LARGE_EMOJI = 3  # in a message of nothing else; up to this many are shown large
MAX_EMOJI_ONLY_CHARS = 100  # of such a message
KEYCAP = "[0-9#*]\ufe0f?\u20e3"

# Texts that may be nothing but emoji. No two alternatives begin with the same character.
_EMOJI_ONLY = re.compile(rf"(?:[ \n]|:[^\s:]+:|{KEYCAP}|[^\0-\x7f])+")
_NAME = re.compile(r":[^\s:]+:")
# Not emoji.emojize, which searches the whole table for each name that is not in it.
_BY_NAME = {
    name: text
    for text, data in emoji.EMOJI_DATA.items()
    if data["status"] <= emoji.STATUS["fully_qualified"]
    for name in (data["en"], *data.get("alias", ()))
}


def replace_names(text: str) -> str:
    """The text with the names of emoji replaced by the emoji."""
    return _NAME.sub(lambda name: _BY_NAME.get(name[0], name[0]), text)


def large_emoji(body: str) -> str:
    """The emoji of a text that consists of a few emoji; "" for any other text."""
    if len(body) > MAX_EMOJI_ONLY_CHARS or not _EMOJI_ONLY.fullmatch(body):
        return ""
    text = replace_names(body).replace(" ", "")
    found = [part.value for part in emoji.analyze(text, non_emoji=True)]
    if not all(isinstance(part, emoji.EmojiMatch) for part in found):
        return ""
    return text if 0 < len(found) <= MAX_LARGE_EMOJI else ""
