"""Text as words that are found: without case and accents, in any script.

Words are the same in the index (chat.search.index), in what is looked for (chat.search.query) and
in what is marked, for all three come from here. In scripts that are written without spaces, and in
emoji, each sign is a word; a run of them that is looked for is then a phrase, which finds it
anywhere.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

LONGEST = 64  # characters of a word that count
MAX_WORD_CHARS = 256  # of a word as it stands that are looked at: each letter may have marks
MAX_KEPT_WORDS = 4096  # words outside ASCII that are not folded anew
MAX_KEPT_WORD_CHARS = 16  # of such a word

_ASCII = re.compile(r"[a-z0-9]+")
_NOT_IN_WORDS = re.compile(r"[\x00-/:-@\[-`{-\x7f\ufe0e\ufe0f]")
# Han, kana, Hangul, Thai, Lao, Burmese, Khmer; signs and emoji.
_ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u2600-\u27bf\U0001f000-\U0001faff"
)


class Word(NamedTuple):
    """`text` as it is found, and where in the original it stands."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """The words of a text in their order."""
    if text.isascii():
        found = _ASCII.finditer(text.lower())
        return [Word(m[0][:LONGEST], m.start(), m.end()) for m in found]
    folded = ((_folded(m[0]), m.start(), m.end()) for m in _pattern().finditer(text))
    return [Word(word[:LONGEST], start, end) for word, start, end in folded if word]


def is_alone(sign: str) -> bool:
    """True for a sign of a script without spaces."""
    return not sign.isascii() and bool(_alone().match(sign))


@cache
def _alone() -> re.Pattern[str]:
    return re.compile(f"[{_ALONE}]")


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return _folded_short(word) if len(word) <= MAX_KEPT_WORD_CHARS else _folded_any(word)


def _folded_any(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word[:MAX_WORD_CHARS].casefold()).casefold()
    return _NOT_IN_WORDS.sub("", "".join(c for c in plain if not _is_accent(c)))


# Texts of signs, each of them a word, have the same ones again and again.
_folded_short = lru_cache(maxsize=MAX_KEPT_WORDS)(_folded_any)


def _is_accent(character: str) -> bool:
    """A mark that may be left out in writing: accents, points of Hebrew and Arabic. Not what makes
    another letter: nukta, kana voicing, virama, vowels of Thai and Lao (Unicode's combining
    classes, UAX 44)."""
    kind = unicodedata.combining(character)
    return 10 <= kind <= 36 or kind >= 200


@cache
def _pattern() -> re.Pattern[str]:
    """Python's \\w knows no combining marks, which are parts of words."""
    marks = _ranges(n for n in range(0x300, 0x20000) if unicodedata.category(chr(n))[0] == "M")
    return re.compile(f"[{_ALONE}][{marks}]*|(?:[^\\W_{_ALONE}][{marks}]*)+")


def _ranges(numbers: Iterable[int]) -> str:
    """Code points in their order as what stands in the brackets of a pattern."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in found)
