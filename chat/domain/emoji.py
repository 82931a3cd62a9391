"""Emoji for reactions: those that are offered first, and what counts as an emoji (Unicode TS 51, by
the data of the `emoji` package)."""

import unicodedata

from emoji import is_emoji

from .errors import Invalid

MAX_EMOJI_CHARS = 16  # code points; the longest emoji has ten
_AS_EMOJI = "\ufe0f"  # variation selector-16: show the symbol before it as an emoji
_JOINERS = _AS_EMOJI + "\u200d\u20e3"
_PICTOGRAPHS_BEGIN = "\U0001f000"  # before it are the symbols that are emoji only with _AS_EMOJI


def clean_emoji(text: str) -> str:
    """One emoji, always spelled in the same way. Raises Invalid for anything else."""
    emoji = text.strip() if len(text) <= MAX_EMOJI_CHARS else ""
    bare = emoji.replace(_AS_EMOJI, "")  # because not every keyboard writes it where it belongs
    if not (is_emoji(emoji) or is_emoji(bare)):
        raise Invalid("A reaction must be a single emoji.")
    return _with_selector(emoji, bare)


def stored_emoji(text: str) -> str:
    """Like `clean_emoji`, for stored reactions. Earlier versions also accepted symbols that are not
    emoji, such as "→"."""
    try:
        return clean_emoji(text)
    except Invalid:
        bare = text.replace(_AS_EMOJI, "")
        if not bare or len(text) > MAX_EMOJI_CHARS or not all(map(_is_symbol, bare)):
            raise
        return _with_selector(text, bare)


def _with_selector(emoji: str, bare: str) -> str:
    return bare + _AS_EMOJI if len(bare) == 1 and bare < _PICTOGRAPHS_BEGIN else emoji


def _is_symbol(char: str) -> bool:
    """True for symbols, and for pictographs that Python's version of Unicode does not know."""
    if char in _JOINERS or char >= _PICTOGRAPHS_BEGIN:
        return True
    return not char.isascii() and unicodedata.category(char)[0] in "SP"


QUICK = [clean_emoji(emoji) for emoji in "👍❤😂🎉👀🙏✅😢"]
