"""Filters for templates. None of them needs a request."""

import zlib
from functools import lru_cache
from typing import Any

from ..media.attachments import NOTES, file_size
from ..store import Room
from .local_time import new_day, short_time, when

CACHED_NAMES = 4096  # names and user ids whose initials and hues are cached
AVATAR_HUES = 12  # avatar colours in static/css/02-colors.css

BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "Firefox": "Firefox",
    "Chrome": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
MAX_AGENT_CHARS = 40  # of a User-Agent that names neither a browser nor a system


def browser(agent: str) -> str:
    """The browser and system of a User-Agent header, such as "Firefox on Linux"."""
    name = next((name for part, name in BROWSERS.items() if part in agent), "")
    system = next((system for system in SYSTEMS if system in agent), "")
    found = " on ".join(part for part in (name, system) if part)
    return found or agent.split("/")[0][:MAX_AGENT_CHARS] or "Unknown browser"


@lru_cache(maxsize=CACHED_NAMES)
def hue(uid: str) -> int:
    """The number of a person's avatar colour, from 0 to AVATAR_HUES - 1."""
    return zlib.crc32(uid.encode()) % AVATAR_HUES


@lru_cache(maxsize=CACHED_NAMES)
def initials(name: str) -> str:
    """The initials of a name, one or two letters, for an avatar without a picture."""
    words = name.split() or ["?"]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def search_scope(room: Room) -> str:
    """The beginning of a search query that finds only messages of this room (chat.search.query)."""
    return f"in:{room.rid} " if '"' in room.name else f'in:"{room.name}" '


def file_note(note: str) -> str:
    """A sentence that says why an image is not shown; "" for a file without a note."""
    return NOTES.get(note, "")


# Each filter has the name of its function.
FILTERS: tuple[Any, ...] = (browser, file_note, file_size, hue, initials)
FILTERS += (new_day, search_scope, short_time, when)
