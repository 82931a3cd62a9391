"""Cleaning and checking what people type: names of people and rooms, and message bodies.

Cleaning keeps every character that a person can mean, and removes those that only disturb: control
characters, and invisible marks that reorder the text around them (Unicode TR 36, section 2.10).
Nothing here makes HTML: the templates escape texts.
"""

import re
import unicodedata

import regex

from .errors import Invalid

MAX_BODY_CHARS = 4000  # of a message
MAX_NAME_CHARS = 40  # of the name of a person
MAX_MARKS = 8  # combining marks on one character
MAX_ABOUT_CHARS = 200  # of the description of a person or a room
MAX_ROOM_NAME_CHARS = 60  # of the name of a room

# Lone surrogates cannot be stored as UTF-8. U+202A-E and U+2066-9 override the direction of
# the text after them. U+E0000-7F are invisible tags.
_UNWANTED = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BLANK = re.compile(
    "[\\s\u200b-\u200f\u2060-\u2064\ufeff\u115f\u1160\u3164\u2800\u00ad\u034f\u180e]*"
)
# Invisible characters, by Unicode's own data, and fillers of notes and hieroglyphs, which look like
# nothing. Unassigned characters, and those that everybody may define (Private_Use), look different
# on each device. Pictographs stay, because they do not remain unassigned for long.
_UNSEEN = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Co}\p{Cn}\p{Zl}\p{Zp}\ufffc\U00016fe4\U0001107f"
    r"--[\u200c\u200d\ufe0f\s\p{Extended_Pictographic}\p{Prepended_Concatenation_Mark}]]",
    regex.V1,
)
# These count as marks on a character, like those with a combining class: marks without one that
# normalization splits into two with one, joiners, and the variation selector.
_PILED = frozenset("\u0f73\u0f75\u0f81\u200c\u200d\ufe0f")
_BLANK_SIGN = re.compile("[\u2800\U0001d159\U00013441\U00013442]")
# Places where a script needs a joiner (UAX 31, section 2.3.1, rules A1, A2 and B), where one joins
# emoji (UTS 51, ED-16), and where variation selector 16 makes a character an emoji (UTS 51, ED-9a).
_JOINERS = regex.compile(
    r"(?<=[\p{Joining_Type=L}\p{Joining_Type=D}]\p{Joining_Type=T}*)\u200c"
    r"(?=\p{Joining_Type=T}*[\p{Joining_Type=R}\p{Joining_Type=D}])"
    r"|(?<=\p{L}\p{M}*\p{Canonical_Combining_Class=9}\p{M}*)"
    r"(?:\u200d(?!\p{M})|\u200c(?=\p{M}*\p{L}))"
    r"|(?<=\p{Extended_Pictographic}[\ufe0f\p{Emoji_Modifier}]?)\u200d"
    r"(?=\p{Extended_Pictographic})"
    r"|(?<=[\p{Emoji}--[\p{Emoji_Presentation}0-9#*]])\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    r"|([\u200c\u200d\ufe0f])",
    regex.V1,
)


def clean_body(text: str) -> str:
    """A message body with \\n as line end, and without control characters and outer blank lines.

    Raises Invalid if nothing visible is left, or if it has more than MAX_BODY_CHARS.
    """
    _check_size(text, MAX_BODY_CHARS, "message")
    body = _clean(text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if _BLANK.fullmatch(body):
        raise Invalid("The message is empty. Write something first.")
    if len(body) > MAX_BODY_CHARS:
        raise Invalid(
            f"The message is too long: {len(body):,} characters. The limit is {MAX_BODY_CHARS:,}."
        )
    return body


def clean_caption(text: str) -> str:
    """Like `clean_body`, but it may be empty."""
    return clean_body(text) if not _BLANK.fullmatch(text[: 4 * MAX_BODY_CHARS + 1]) else ""


def clean_name(text: str, what: str = "name", limit: int = MAX_NAME_CHARS) -> str:
    """Return one line of at most `limit` characters, with single spaces and nothing invisible.
    Raises Invalid with a text that calls it `what`."""
    _check_size(text, limit, what)
    name = _without_unseen(_clean(_without_unseen(_BLANK_SIGN.sub(" ", text))))
    name = " ".join(name.split())
    if _BLANK.fullmatch(name):
        raise Invalid(f"The {what} is empty.")
    if len(name) > limit:
        raise Invalid(f"The {what} is too long. The limit is {limit} characters.")
    return name


def clean_line(text: str, what: str, limit: int) -> str:
    """Like `clean_name`, but it may be empty."""
    return clean_name(text, what, limit) if text.strip() else ""


def number(text: str) -> int:
    """Return the number in a parameter that a page has sent; 0 if it is not a number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def cursor(text: str) -> tuple[int, int]:
    """The cursor `<number>-<time in ms>` of the last event on a page, 0 for what is missing. If the
    database has lost that event, another one may have its number, but not its time."""
    seq, _, at = text.partition("-")
    return number(seq), number(at)


def _check_size(text: str, limit: int, what: str) -> None:
    """Refuse a text that is far too long, before it costs any work."""
    if len(text) > 4 * limit:
        raise Invalid(f"The {what} is too long. The limit is {limit:,} characters.")


def _without_unseen(name: str) -> str:
    """A name without invisible characters. Removing one joiner may make another one unnecessary.
    Excess marks are removed first, because the search for such places reads them repeatedly."""
    name = _calm(_UNSEEN.sub("", name))
    while (kept := _JOINERS.sub(lambda found: "" if found[1] else found[0], name)) != name:
        name = kept
    return name


def _clean(text: str) -> str:
    text = _CONTROL.sub("", _UNWANTED.sub("", text))
    if text.isascii():
        return text
    calm = _calm(text)
    composed = unicodedata.normalize("NFC", calm)
    return composed if composed == calm else _calm(composed)  # U+0344 becomes two marks


def _calm(text: str) -> str:
    """Return a text with at most MAX_MARKS on one character. No script needs more, and
    normalization takes n² steps to order n marks."""
    if text.isascii():
        return text
    kept, pile = [], 0
    for character in text:
        is_mark = unicodedata.combining(character) or character in _PILED
        pile = pile + 1 if is_mark else 0
        if pile <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)
