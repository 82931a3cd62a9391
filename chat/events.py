"""An event: one numbered change of a room, as the store keeps it and every page shows it."""

import json
from dataclasses import dataclass, replace

# The kinds. `post` is what a person wrote; the others are server lines.
POST, START, JOIN = "post", "start", "join"
UNREADABLE = "unreadable"  # what stands in for an event that is not of this version's form


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` counts a room's events from 1 without gaps; `at` is Redis's time in ms since 1970."""

    room: str
    seq: int
    at: int
    kind: str
    uid: str
    name: str
    body: str

    @classmethod
    def parse(cls, room: str, seq: int, at: int, data: str) -> "Event":
        """Build an event from its stored JSON `data` (see `pack`). One that cannot be read
        becomes an UNREADABLE one: the room lives."""
        try:
            kind, uid, name, body = map(_text, json.loads(data))
        except (ValueError, TypeError):
            kind, uid, name, body = UNREADABLE, "", "", ""
        return cls(room, seq, at, kind, uid, name, body)

    @classmethod
    def parse_line(cls, room: str, line: str) -> "Event":
        """Build an event from `<seq> <at> <data>`: what is published, and a room's last line."""
        seq, at, data = line.split(" ", 2)
        return cls.parse(room, int(seq), int(at), data)


def pack(kind: str, uid: str, name: str, body: str = "") -> str:
    """The stored form of an event, without what only the store knows (number and time)."""
    return json.dumps([kind, uid, name, body], ensure_ascii=False, separators=(",", ":"))


def unreadable(event: Event) -> Event:
    """What stands in the place of an event that cannot be shown."""
    return replace(event, kind=UNREADABLE, uid="", name="", body="")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
