"""Texts from outside, which may not be encodable as UTF-8.

JSON can contain `"\\ud800"`, a lone surrogate: half of a pair of UTF-16. A `str` of Python can
contain it, but UTF-8 cannot (RFC 3629, section 3), so neither can Redis, SQLite nor our responses.
Query strings, forms and cookies contain no lone surrogates, because Werkzeug replaces them.

HTTP headers are bytes, which WSGI passes on as Latin-1 (PEP 3333). Names in them are UTF-8.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

MAX_AGENT_CHARS = 200  # of a stored User-Agent

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def has_surrogate(text: str) -> bool:
    """True for a text that cannot be encoded as UTF-8."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def without_surrogates(text: str) -> str:
    """The text with U+FFFD in the place of each lone surrogate, as a browser sends it in a form
    (USVString, Web IDL, section 3.2.12)."""
    return _SURROGATE.sub("\ufffd", text) if has_surrogate(text) else text


def is_whole(document: Any) -> bool:
    """True if every text and field name of a parsed JSON document can be encoded as UTF-8."""
    return not any(has_surrogate(text) for text in _texts(document))


def header_text(value: str) -> str | None:
    """The value of a header, as WSGI passes it on, decoded as UTF-8, without the spaces and tabs
    around it (RFC 9110, section 5.5). None if it is not UTF-8 or has control characters."""
    try:
        text = value.encode("latin-1").decode().strip(" \t")
    except UnicodeError:
        return None
    return None if _CONTROL.search(text) else text


def agent_text(value: str) -> str:
    """A User-Agent header to store and show: without unprintable characters, and cut to
    MAX_AGENT_CHARS. If it is not UTF-8, it is decoded as Latin-1."""
    with suppress(UnicodeError):
        value = value.encode("latin-1").decode()
    return "".join(character for character in value if character.isprintable())[:MAX_AGENT_CHARS]


def _texts(document: Any) -> Iterator[str]:
    """Every text in a parsed JSON document, however deep."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
