"""Splits text into the words that the search finds: without case and accents, in any script.

The index (chat.search.index), queries and marked matches (chat.search.query) all use these words.
In scripts without spaces, and among emoji, each character is a word. A run of them in a query is a
phrase, and matches anywhere in a text.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

MAX_WORD_CHARS = 64  # of a word in the index or in a query; the rest is ignored
MAX_TYPED_WORD_CHARS = 256  # of a word as typed, with all marks; the rest is ignored
MAX_CACHED_WORDS = 4096  # words outside ASCII that are cached in folded form, ...
MAX_CACHED_WORD_CHARS = 16  # ... if they are no longer than this

_ASCII = re.compile(r"[a-z0-9]+")
_NOT_IN_WORDS = re.compile(r"[\x00-/:-@\[-`{-\x7f\ufe0e\ufe0f]")
# Han, kana, Hangul, Thai, Lao, Burmese, Khmer; signs and emoji.
_ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u2600-\u27bf\U0001f000-\U0001faff"
)
_ALONE_SIGN = re.compile(f"[{_ALONE}]")


class Word(NamedTuple):
    """The folded `text` of a word, and where it is in the original."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """The words of a text, in order."""
    if text.isascii():
        found = _ASCII.finditer(text.lower())
        return [Word(m[0][:MAX_WORD_CHARS], m.start(), m.end()) for m in found]
    folded = ((_folded(m[0]), m.start(), m.end()) for m in _pattern().finditer(text))
    return [Word(word[:MAX_WORD_CHARS], start, end) for word, start, end in folded if word]


def is_alone(sign: str) -> bool:
    """True for a character that is a word of its own."""
    return not sign.isascii() and bool(_ALONE_SIGN.match(sign))


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return _folded_short(word) if len(word) <= MAX_CACHED_WORD_CHARS else _folded_any(word)


def _folded_any(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word[:MAX_TYPED_WORD_CHARS].casefold()).casefold()
    return _NOT_IN_WORDS.sub("", "".join(c for c in plain if not _is_accent(c)))


# In scripts without spaces, the same words of one character come again and again.
_folded_short = lru_cache(maxsize=MAX_CACHED_WORDS)(_folded_any)


def _is_accent(character: str) -> bool:
    """True for marks that may be left out in writing: accents, points of Hebrew and Arabic. False
    for marks that make another letter: nukta, kana voicing, virama, vowels of Thai and Lao
    (Unicode's combining classes, UAX 44)."""
    kind = unicodedata.combining(character)
    return 10 <= kind <= 36 or kind >= 200


@cache
def _pattern() -> re.Pattern[str]:
    """A word. Combining marks are part of words, but Python's \\w does not match them."""
    marks = _ranges(n for n in range(0x300, 0x20000) if unicodedata.category(chr(n))[0] == "M")
    return re.compile(f"[{_ALONE}][{marks}]*|(?:[^\\W_{_ALONE}][{marks}]*)+")


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending code points as the inside of a character class."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in found)
