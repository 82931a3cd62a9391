"""Parses the frames that an open page sends: a form's fields as JSON. Nothing in them is trusted.

`parse` makes each field a list of texts that UTF-8 can encode, so no handler has to expect a
number, a nested list or a lone surrogate.
"""

import json
from typing import Any

from ..domain.wire_text import without_surrogates

Frame = dict[str, list[str]]

# How many messages are accepted from one frame: as many as a person may post at once. The page
# sends the others again in a later frame (macros/rooms.html).
MAX_PENDING = 20


def parse(text: str | bytes | None) -> Frame:
    """Return the fields of a frame, or {} for anything but a JSON object with a `type`. Values that
    are not text are left out, such as htmx's own `headers`."""
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
    """Return the text of a field: of the last one if several have this name, "" if none has."""
    values = frame.get(name)
    return values[-1] if values else ""


def several(frame: Frame, name: str) -> list[str]:
    """Return the texts of all fields with this name, in the order of the page."""
    return frame.get(name, [])


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [without_surrogates(text) for text in values if isinstance(text, str)]


def pending(frame: Frame) -> list[tuple[str, str, str, str]]:
    """Return the messages that the server has not acknowledged to the page. Each has a room, a
    nonce, a body, and the number of the message that it replies to ("" for none)."""
    fields = [several(frame, name) for name in ("to", "nonce", "body")]
    if len(set(map(len, fields))) > 1:
        return []
    replies = several(frame, "reply")
    fields.append(replies if len(replies) == len(fields[0]) else [""] * len(fields[0]))
    return list(zip(*fields, strict=True))[:MAX_PENDING]
