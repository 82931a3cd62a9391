"""Texts from outside, made so that UTF-8 can hold them.

JSON can say `"\\ud800"`, a lone surrogate: half of a pair of UTF-16. Python keeps it in a `str`,
but UTF-8 cannot hold it (RFC 3629, section 3), and so neither can Redis, SQLite nor our answers.
Query strings, forms and cookies bring none: Werkzeug replaces them.

HTTP headers are bytes, which WSGI hands over as Latin-1 (PEP 3333); names in them are UTF-8.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

MAX_AGENT_CHARS = 200  # of a User-Agent that are kept

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def has_surrogate(text: str) -> bool:
    """True for a text that UTF-8 cannot hold."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def without_surrogates(text: str) -> str:
    """The text with U+FFFD in the place of each lone surrogate, as a browser sends it in a form
    (USVString, Web IDL, section 3.2.12)."""
    return _SURROGATE.sub("\ufffd", text) if has_surrogate(text) else text


def is_whole(document: Any) -> bool:
    """True when UTF-8 can hold every text and every field name of a parsed JSON document."""
    return not any(has_surrogate(text) for text in _texts(document))


def header_text(value: str) -> str | None:
    """A header's value, as WSGI hands it over, read as UTF-8, without the spaces and tabs around
    it (RFC 9110, section 5.5). None for bytes that are not UTF-8, and for control characters."""
    try:
        text = value.encode("latin-1").decode().strip(" \t")
    except UnicodeError:
        return None
    return None if _CONTROL.search(text) else text


def agent_text(value: str) -> str:
    """A User-Agent header as it is kept and shown: without unprintable characters, and cut to
    MAX_AGENT_CHARS. Bytes that are not UTF-8 are read as Latin-1."""
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
