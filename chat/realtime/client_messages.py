"""A frame of an open page: a form's fields as JSON, of which nothing is to be believed.

`parse` is the one place where a frame becomes fields: each is a list of texts that UTF-8 can hold,
so that no handler meets a number, a nested list or a lone surrogate.
"""

import json
from typing import Any

from ..domain.wire_text import without_surrogates

Frame = dict[str, list[str]]

# Taken from one frame, as many as a person may post at once (limits.py); the others come with the
# next (macros/rooms.html), by when they are not refused for being too many.
MOST_PENDING = 20


def parse(text: str | bytes | None) -> Frame:
    """A page's frame as its fields; {} for what is not a JSON object with a `type`. What is no text
    is left out, htmx's own `headers` among it."""
    try:
        sent = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(sent, dict) or not isinstance(sent.get("type"), str):
        return {}
    frame: Frame = {}
    for name, value in sent.items():
        texts = [value] if type(value) is str and value.isascii() else _texts(value)
        frame[name if name.isascii() else without_surrogates(name)] = texts
    return frame


def one(frame: Frame, name: str) -> str:
    """A field's text; of several fields of the same name the last, "" where there is none."""
    values = frame.get(name)
    return values[-1] if values else ""


def several(frame: Frame, name: str) -> list[str]:
    """All texts of the fields with this name, in the order of the page."""
    return frame.get(name, [])


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [without_surrogates(text) for text in values if isinstance(text, str)]


def pending(frame: Frame) -> list[tuple[str, str, str, str]]:
    """Room, nonce, body and the number of what they answer, of the messages whose answer the page
    still waits for."""
    fields = [several(frame, name) for name in ("to", "nonce", "body")]
    if len(set(map(len, fields))) > 1:
        return []
    replies = several(frame, "reply")
    fields.append(replies if len(replies) == len(fields[0]) else [""] * len(fields[0]))
    return list(zip(*fields, strict=True))[:MOST_PENDING]
