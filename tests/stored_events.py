"""Events in their stored form, as tests put them into a database themselves."""

import json

from chat.domain.events import authored


def pack(kind: str, uid: str, name: str, body: str = "", tag: str = "", picture: str = "") -> str:
    """The stored form of an event without the fields that scripts/append.lua adds, as the oldest
    versions stored it."""
    fields = authored(kind, uid, name, body, tag, picture)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
