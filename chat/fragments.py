"""Events as HTML: Jinja macros called without a request, so that one definition of a message
serves pages, pushes and resume alike."""

import logging
import zlib
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from .events import Event, tombstone, unreadable
from .store import Row

log = logging.getLogger(__name__)

KEPT = 4096  # renderings of messages, and of times, that are kept for the next page
HUES = 12  # avatar colours in static/css/colors.css


class Fragments:
    """What is pushed. Nothing depends on who looks, so that one rendering serves everyone."""

    def __init__(self, env: Environment) -> None:
        self.push: Any = env.get_template("pushes/event.html").module

    def shown(self, event: Event) -> str:
        """An event for those who watch its room."""
        return str(self.push.shown(event))

    def note(self, event: Event) -> str:
        """The mark of an event for those who merely belong to its room."""
        return str(self.push.note(event))

    def line(self, event: Event) -> str:
        """The room's line in the side list, when this is its newest event."""
        return str(self.push.line(event))

    def missed(self, events: list[Event]) -> str:
        """The events (at least one) that a page lacks, to be put in their places."""
        return str(self.push.missed(events))

    def replaced(self, rid: str, events: list[Event], epoch: str) -> str:
        """The newest events instead of a list that cannot be continued."""
        return str(self.push.replaced(rid, events, epoch))

    def read(self, rid: str) -> str:
        """Nothing in this room is unread."""
        return str(self.push.read(rid))

    def signed_out(self) -> str:
        """Instead of the whole chat, that the person has signed out."""
        return str(self.push.signed_out())

    def gone(self, rid: str) -> str:
        """Instead of the room on screen, that the person is in it no longer."""
        return str(self.push.gone(rid))

    def again(self, events: list[Event]) -> str:
        """Events that are on screen, as they are to be shown from now on."""
        return str(self.push.again(events))

    def here(self, rid: str, count: int) -> str:
        """How many of the members are here, at the head of the room."""
        return str(self.push.here(rid, count))

    def dots(self, rid: str, uids: list[str]) -> str:
        """Who of a direct room is here, in the side list."""
        return str(self.push.dots(rid, uids))

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

    @lru_cache(maxsize=KEPT)
    def message(event: Event, today: date) -> Markup:
        macros: Any = env.get_template("macros/messages.html").module
        try:
            return Markup(macros.item(event))
        except Exception:
            log.exception("cannot show event %d of room %s", event.seq, event.room)
            return Markup(macros.item(unreadable(event)))

    env.globals["message"] = lambda event: message(event, date.today())
    env.globals["tombstone"] = tombstone
    env.filters |= {
        "browser": browser,
        "hue": hue,
        "initials": initials,
        "when": when,
        "short_time": short_time,
    }


def when(at: int) -> Markup:
    """A `<time>` that reads as `short_time` and tells the whole when pointed at."""
    return _when(at // 60_000, date.today())


def short_time(at: int) -> str:
    """21:04 today, otherwise 3 Nov 21:04, or with the year when it is another one."""
    return _short(at // 60_000, date.today())


@lru_cache(maxsize=KEPT)
def _when(minute: int, today: date) -> Markup:
    time = datetime.fromtimestamp(minute * 60).astimezone()
    utc = f"{time.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    title = f"{time:%A, %-d %B %Y, %H:%M %Z}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc, title, _short(minute, today)
    )


@lru_cache(maxsize=KEPT)
def _short(minute: int, today: date) -> str:
    time = datetime.fromtimestamp(minute * 60)
    if time.date() == today:
        return f"{time:%H:%M}"
    return f"{time:%-d %b %H:%M}" if time.year == today.year else f"{time:%-d %b %Y}"


def browser(agent: str) -> str:
    """A User-Agent header as people would say it."""
    names = ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((name for part, name in (*names, ("Safari", "Safari")) if part in agent), "")
    system = next((system for system in systems if system in agent), "")
    said = " on ".join(part for part in (name, system) if part)
    return said or agent.split("/")[0][:40] or "Unknown browser"


@lru_cache(maxsize=KEPT)
def hue(uid: str) -> int:
    """The number of a person's colour, the same everywhere."""
    return zlib.crc32(uid.encode()) % HUES


@lru_cache(maxsize=KEPT)
def initials(name: str) -> str:
    """One or two letters that stand for a name."""
    words = name.split() or ["?"]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def digest(rows: list[Row]) -> str:
    """A short text that differs when the side list does."""
    state = "".join(f"{row.room.rid}{row.room.seq}.{row.read};" for row in rows)
    return f"{zlib.crc32(state.encode()):x}"
