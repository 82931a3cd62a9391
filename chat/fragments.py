"""Events as HTML: Jinja macros called without a request, so that one definition of a message
serves pages, pushes and resume alike."""

import logging
import zlib
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment

from .events import Event, unreadable
from .store import Row

log = logging.getLogger(__name__)

HUES = 12  # avatar colours in static/css/colors.css


class Fragments:
    """What is pushed. Nothing depends on who looks, so that one rendering serves everyone."""

    def __init__(self, env: Environment) -> None:
        self.push: Any = env.get_template("pushes/event.html").module
        self.messages: Any = env.get_template("macros/messages.html").module

    def item(self, event: Event) -> str:
        """The event alone, as it stands in the list of a room."""
        return str(self.messages.item(event))

    def event(self, event: Event) -> tuple[str, str]:
        """An event for those who watch its room, and for those who merely belong to it."""
        try:
            return str(self.push.shown(event)), str(self.push.note(event))
        except Exception:
            log.exception("cannot show event %d of room %s", event.seq, event.room)
            return self.event(unreadable(event))

    def missed(self, events: list[Event]) -> str:
        """The events (at least one) that a page lacks, to be put in their places."""
        try:
            return str(self.push.missed(events))
        except Exception:
            log.exception("cannot show some of what is missed in room %s", events[0].room)
            return str(self.push.missed([self._shown(event) for event in events]))

    def _shown(self, event: Event) -> Event:
        try:
            self.push.shown(event)
        except Exception:
            return unreadable(event)
        return event

    def replaced(self, rid: str, events: list[Event], epoch: str) -> str:
        """The newest events instead of a list that cannot be continued."""
        return str(self.push.replaced(rid, events, epoch))

    def read(self, rid: str) -> str:
        """Nothing in this room is unread."""
        return str(self.push.read(rid))

    def signed_out(self) -> str:
        """Instead of the whole chat, that the person has signed out."""
        return str(self.push.signed_out())

    def rooms(self, rows: list[Row], current: str) -> str:
        """The side list anew; `current` is the id of the room on screen, or ""."""
        return str(self.push.rooms(rows, current))

    def stored(self, nonce: str) -> str:
        """The acknowledgement: the message of the composer `nonce` is kept."""
        return str(self.push.stored(nonce))

    def done(self, nonce: str) -> str:
        """The composer `nonce` may go."""
        return str(self.push.done(nonce))

    def not_stored(self, nonce: str, error: str) -> str:
        """The refusal: the composer `nonce` keeps its text and says why, in plain words."""
        return str(self.push.not_stored(nonce, error))

    def rest(self, rid: str, nonce: str, anew: str, body: str, text: str) -> str:
        """Instead of the composer `nonce`, one with the nonce `anew`, a body and a word why."""
        return str(self.push.rest(rid, nonce, anew, body, text))


def init(env: Environment) -> None:
    """Give templates the filters that need no request. `at` is in ms since 1970; times are in
    the server's zone (the TZ environment variable)."""
    env.filters |= {
        "hue": hue,
        "initials": initials,
        "iso": lambda at: datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds"),
        "long_time": lambda at: f"{_local(at):%A, %-d %B %Y, %H:%M %Z}",
        "short_time": short_time,
    }


def short_time(at: int) -> str:
    """21:04 today, otherwise 3 Nov 21:04, with the year when it is another one."""
    time, today = _local(at), datetime.now().astimezone()
    if time.date() == today.date():
        return f"{time:%H:%M}"
    return f"{time:%-d %b %H:%M}" if time.year == today.year else f"{time:%-d %b %Y}"


def hue(uid: str) -> int:
    """The number of a person's colour, the same everywhere."""
    return zlib.crc32(uid.encode()) % HUES


def initials(name: str) -> str:
    """One or two letters that stand for a name."""
    words = name.split() or ["?"]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def digest(rows: list[Row]) -> str:
    """A short text that differs when the side list does."""
    state = "".join(f"{row.room.rid}{row.room.seq}.{row.read};" for row in rows)
    return f"{zlib.crc32(state.encode()):x}"


def _local(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000).astimezone()
