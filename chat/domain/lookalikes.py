"""Names that look like other names: skeletons and mixed scripts, by Unicode's UTS 39.

The data is Unicode's own (chat/unicode/confusables.txt says which version). Nothing here refuses
a name: the store compares keys, and a tag is shown next to a name that looks like another one.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import regex

from .mentions import WORDS

_FILE = Path(__file__).parents[1] / "unicode" / "confusables.txt"
MAX_STEPS = 6  # of folding and mapping, after which a key no longer changes

# Words that suggest that a person runs the chat.
_OFFICES = (
    "admin admins administrator administrators administration moderator moderators mod mods "
    "system sysadmin sysop support helpdesk staff root superuser operator webmaster"
)
OFFICES = frozenset(_OFFICES.split())
# Names that mean everybody or nobody in particular. `@here` and `@room` mention everybody.
EVERYBODY = WORDS | {"everyone", "everybody", "channel", "anyone", "nobody", "deleted"}

_IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
# They make the letter before them longer (Arabic, N'Ko) without changing the name.
_STRETCHES = "\u0640\u07fa"
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_NUMBER = regex.compile(r"\A\p{N}+|\p{N}+\Z")  # before or after a word: "Admin2"
# UAX 31, table 5, without the scripts that Chinese, Japanese and Korean combine.
_IN_USE = (
    "Latin Cyrillic Greek Arabic Armenian Bengali Devanagari Ethiopic Georgian Gujarati Gurmukhi "
    "Hebrew Kannada Khmer Lao Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan"
)
_RECOMMENDED = _IN_USE.split()
_SCRIPTS = (
    *((name, regex.compile(rf"\p{{Script={name}}}")) for name in _RECOMMENDED),
    ("East Asian", regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}]")),
    ("", regex.compile(r"[\p{Common}\p{Inherited}]")),
)
# Scripts whose letters look like Latin ones. UTS 39 allows Armenian beside Latin; we do not.
_LIKE_LATIN = frozenset(("Cyrillic", "Greek", "Armenian", "other"))
# "LATIN LETTER SMALL CAPITAL N", "REGIONAL INDICATOR SYMBOL LETTER N", "NEGATIVE CIRCLED LATIN
# CAPITAL LETTER N", "LATIN SMALL LETTER N WITH HOOK": all of them are read as an N.
_LIKE_LETTER = re.compile(
    r"(?:LATIN|REGIONAL INDICATOR) .*?(?:LETTER|SMALL CAPITAL|LETTER SMALL CAPITAL) ([A-Z])\b"
)


def is_told_apart(name: str, is_staff: bool = False) -> bool:
    """True for a name that must not be shown without a tag, whoever else is here: it has a reserved
    word, or mixes letters as no language does. `is_staff`: it is the name of a moderator or
    administrator, whose name may contain words of OFFICES."""
    return is_mixed(name) or is_reserved(name, is_staff)


def is_reserved(name: str, is_staff: bool = False) -> bool:
    """True for a name that looks like a word of EVERYBODY, or has a word that looks like one of
    OFFICES."""
    offices, everybody = _reserved()
    if keys(name) & everybody:
        return True
    if is_staff:
        return False
    words = [name, *_WORD.findall(_IGNORABLE.sub("", name))]
    words += [_NUMBER.sub("", word) for word in words]
    return any(keys(word) & offices for word in words if word)


def is_mixed(name: str) -> bool:
    """True for a name below the Moderately Restrictive level of UTS 39, section 5.2, as far as
    letters go: Latin with letters of a script that looks like it, more than two scripts, or letters
    that are in no language's everyday use (Identifier_Status=Restricted)."""
    text = unicodedata.normalize("NFKC", _IGNORABLE.sub("", name))
    letters = [c for c in text if unicodedata.category(c)[0] in "LM" and c != "\u20e3"]
    found = {_script(c) for c in letters}
    others = found - {"Latin", ""}
    if len(others) > 1 or ("Latin" in found and others & _LIKE_LATIN) or _has_foreign_mark(letters):
        return True
    _, allowed = _data()
    return any(_script(c) in _RECOMMENDED and ord(c) not in allowed for c in letters)


def _has_foreign_mark(letters: list[str]) -> bool:
    """True if a mark of one script is on a letter of another, which no language does. Many of these
    marks are dots, which are easily overlooked."""
    pairs = pairwise(letters)
    marked = ((_script(a), _script(b)) for a, b in pairs if unicodedata.category(b)[0] == "M")
    return any(letter and mark and letter != mark for letter, mark in marked)


def keys(name: str) -> frozenset[str]:
    """Return what a name looks like, in one or two forms. Names look alike if they share a form.

    A skeleton (UTS 39, section 4) keeps the case, and a capital letter may look like another letter
    than the small one does. So one form is folded before the skeleton, the other one after it."""
    seen = _IGNORABLE.sub("", name)
    return frozenset(_settled(form) for form in (_folded(seen), _folded(skeleton(seen))))


def skeleton(text: str) -> str:
    """The skeleton of UTS 39, section 4. Texts with the same skeleton look alike."""
    prototypes, _ = _data()
    parts = unicodedata.normalize("NFD", _IGNORABLE.sub("", text))
    mapped = "".join(prototypes.get(character, character) for character in parts)
    return unicodedata.normalize("NFD", mapped)


def _settled(text: str) -> str:
    """The letters, digits and symbols of a text, mapped and folded until nothing changes."""
    for _ in range(MAX_STEPS):
        mapped = _folded(skeleton(text))
        if mapped == text:
            break
        text = mapped
    return "".join(c for c in text if unicodedata.category(c)[0] not in "PZ") or text


def _folded(text: str) -> str:
    """A text in lower case, without accents, and with plain letters instead of forms of them."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = (
        c
        for c in plain
        if not unicodedata.combining(c) and unicodedata.category(c) != "Me" and c not in _STRETCHES
    )
    return "".join(map(_base, kept)).casefold()


@lru_cache(maxsize=4096)
def _base(character: str) -> str:
    """The Latin letter of which a character is a form, otherwise the character."""
    if character.isascii():
        return character
    name = unicodedata.name(character, "")
    found = _LIKE_LETTER.match(name.replace("NEGATIVE ", "", 1)) or _LIKE_LETTER.search(name)
    return found[1].lower() if found else character


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """The script of a letter, "" if all scripts use it, "other" for a script that is not in
    everyday use."""
    return next((name for name, found in _SCRIPTS if found.match(character)), "other")


@lru_cache(maxsize=1)
def _reserved() -> tuple[frozenset[str], frozenset[str]]:
    """The keys of OFFICES and of EVERYBODY."""
    offices = frozenset(key for word in OFFICES for key in keys(word) | keys(word.upper()))
    return offices, frozenset(key for word in EVERYBODY for key in keys(word))


@lru_cache(maxsize=1)
def _data() -> tuple[dict[str, str], frozenset[int]]:
    """Prototypes by character, and the code points with Identifier_Status=Allowed."""
    prototypes: dict[str, str] = {}
    allowed: frozenset[int] = frozenset()
    for line in _FILE.read_text().splitlines():
        if line.startswith("@allowed "):
            ends = ([int(n, 16) for n in pair.split("-")] for pair in line.split(" ")[1:])
            allowed = frozenset(n for low, high in ends for n in range(low, high + 1))
        elif line[0] not in "#@":
            code, _, prototype = line.partition(";")
            prototypes[chr(int(code, 16))] = "".join(chr(int(p, 16)) for p in prototype.split())
    return prototypes, allowed
