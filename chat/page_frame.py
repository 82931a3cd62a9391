"""A frame of an open page: a form's fields as JSON, of which nothing is to be believed."""

import json
from typing import Any

# Taken from one frame, as many as a person may post at once (limits.py); the others come with the
# next (macros/rooms.html), by when they are not refused for being too many.
MOST_PENDING = 20


def parse(text: str | bytes | None) -> dict[str, Any]:
    """A page's frame as its fields; {} for what is not a JSON object of text."""
    try:
        frame = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) and isinstance(frame.get("type"), str) else {}


def one(frame: dict[str, Any], name: str) -> str:
    """A field's text; of several fields of the same name the last, "" where there is none."""
    value = frame.get(name)
    if isinstance(value, list):
        value = value[-1] if value else ""
    return value if isinstance(value, str) else ""


def several(frame: dict[str, Any], name: str) -> list[str]:
    """All texts of the fields with this name, in the order of the page."""
    value = frame.get(name, [])
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def pending(frame: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Room, nonce, body and the number of what they answer, of the messages whose answer the page
    still waits for."""
    fields = [several(frame, name) for name in ("to", "nonce", "body")]
    if len(set(map(len, fields))) > 1:
        return []
    replies = several(frame, "reply")
    fields.append(replies if len(replies) == len(fields[0]) else [""] * len(fields[0]))
    return list(zip(*fields, strict=True))[:MOST_PENDING]
