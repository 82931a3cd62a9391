"""What people type, made clean: names of people and rooms, and message bodies.

Cleaning keeps every character a person can mean and drops those that only disturb: control
characters, and the invisible marks that reorder the text around them (Unicode TR 36, section
2.10). Escaping for HTML is Jinja's, in the macros; nothing here makes markup.
"""

import re
import unicodedata

from .errors import Invalid

MAX_BODY = 4000  # characters in a message
MAX_NAME = 40  # characters in the name of a person
MAX_ROOM_NAME = 60  # characters in the name of a room

# Lone surrogates cannot be stored as UTF-8. U+202A-E and U+2066-9 override the direction of
# what follows; U+E0000-7F are invisible tags.
_UNWANTED = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BLANK = re.compile(
    "[\\s\u200b-\u200f\u2060-\u2064\ufeff\u115f\u1160\u3164\u2800\u00ad\u034f\u180e]*"
)


def clean_body(text: str) -> str:
    """A message body: line ends as \\n, no control characters, no outer blank lines.

    Raises Invalid when nothing visible is left or it is longer than MAX_BODY characters.
    """
    body = _clean(text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if _BLANK.fullmatch(body):
        raise Invalid("Write something first: the message is empty.")
    if len(body) > MAX_BODY:
        raise Invalid(
            f"The message is too long: {len(body):,} characters, and {MAX_BODY:,} are allowed."
        )
    return body


def clean_name(text: str, what: str = "name", limit: int = MAX_NAME) -> str:
    """One line of `limit` characters at most, spaces joined. Raises Invalid, naming `what`."""
    name = " ".join(_clean(text).split())
    if _BLANK.fullmatch(name):
        raise Invalid(f"The {what} is empty.")
    if len(name) > limit:
        raise Invalid(f"The {what} is too long: {limit} characters are allowed.")
    return name


def _clean(text: str) -> str:
    return _CONTROL.sub("", _UNWANTED.sub("", unicodedata.normalize("NFC", text)))
