"""Values that pages and pushes compute from the rows of the room list."""

import zlib
from collections.abc import Iterable

from ..store import Row


def unread_elsewhere(rows: list[Row], current: str) -> int:
    """The number of unread messages in rooms other than `current` that notify the person."""
    return sum(row.calls for row in rows if row.room.rid != current)


def digest(rows: list[Row]) -> str:
    """Return a short text that changes when the room list does, followed by `numbers_digest`."""
    state = "".join(
        f"{row.room.rid}{row.room.seq}.{row.read}{row.notification_level};" for row in rows
    )
    numbers = numbers_digest((row.room.rid, row.room.seq) for row in rows)
    return f"{zlib.crc32(state.encode()):x}.{numbers}"


def numbers_digest(numbers: Iterable[tuple[str, int]]) -> str:
    """Return a short text that changes when the number of any room's newest event does."""
    return f"{zlib.crc32(repr(sorted(numbers)).encode()):x}"
