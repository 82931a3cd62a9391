"""HTML fragments that are pushed to open pages.

The macros in templates/pushes/event.html are called without a request, so that pages, pushes and
catch-up share one definition of a message. No fragment depends on who sees it: one rendering serves
everyone in a time zone.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jinja2 import Environment

from ..domain.events import POST, Event
from ..store import Row
from .cached_html import CACHED_MESSAGES, TRIM_EVERY_MESSAGES
from .local_time import short_time
from .precompiled import PrecompiledTemplate

FILE = "pushes/event.html"


class Fragments:
    """Renders fragments. `zone` is the name of the viewer's time zone; "" is the server's.

    The methods are what is made for many pages, most of it for each message. Any other macro of
    FILE, where each is described, is called by its name: `fragments.typing(rid, person)`.

    `missed_events`, `replaced_list` and `room_list` may let other tasks run
    (chat.runtime.cooperation). Nothing else does, because the hub writes in the order in which it
    renders.
    """

    def __init__(self, env: Environment) -> None:
        self.macros: Any = env.get_template(FILE).module
        self._message: Any = env.globals["message"]
        self._gist: Any = env.filters["gist"]
        self._plain_mark = lru_cache(maxsize=CACHED_MESSAGES)(self._make_plain_mark)
        self._put = PrecompiledTemplate(env, FILE, "put")
        self._post_row = PrecompiledTemplate(env, FILE, "post_row")
        self._message_stored = PrecompiledTemplate(env, FILE, "message_stored")

    def __getattr__(self, name: str) -> Callable[..., str]:
        """A macro, as a function that returns a plain string."""
        macro = getattr(self.macros, name)
        return lambda *args, **kwargs: str(macro(*args, **kwargs))

    def for_viewers(self, event: Event, zone: str) -> str:
        """An event for pages that show its room."""
        if event.kind == POST and not event.mentions and event.seq % TRIM_EVERY_MESSAGES:
            return self._put.text(rid=event.room, messages=self._message(event, zone))
        return str(self.macros.for_viewers(event, zone))

    def for_members(self, event: Event, zone: str) -> str:
        """An event for pages of members that show another room: the unread mark and the alert."""
        if event.kind == POST and not event.mentions:
            return self._plain_mark(event.room, event.uid)
        return str(self.macros.for_members(event))

    def _make_plain_mark(self, rid: str, uid: str) -> str:
        """`for_members` for any message by this person that mentions nobody."""
        return str(self.macros.for_members(Event(rid, 0, 0, POST, uid, "", "")))

    def room_row(self, event: Event, zone: str) -> str:
        """The room's row in the room list, with this as its newest event."""
        if event.kind != POST:
            return str(self.macros.room_row(event, zone))
        text = self._gist(event.body or event.excerpt)
        time = short_time(event.at, zone)
        return self._post_row.text(rid=event.room, time=time, name=event.name, text=text)

    def missed_events(self, events: list[Event], zone: str) -> str:
        """The events (at least one) that a page lacks, each put in its place."""
        return str(self.macros.missed_events(events, zone))

    def replaced_list(
        self, rid: str, events: list[Event], epoch: str, zone: str, first: int = 1
    ) -> str:
        """The newest events in place of a list that cannot be continued. `first` is the number of
        the oldest event that is kept."""
        return str(self.macros.replaced_list(rid, events, epoch, first, zone))

    def room_list(self, rows: list[Row], current: str, zone: str) -> str:
        """The whole room list. `current` is the id of the room on screen, or ""."""
        return str(self.macros.room_list(rows, current, zone))

    def message_stored(self, nonce: str) -> str:
        """Acknowledge the message of composer `nonce`."""
        return self._message_stored.text(nonce=nonce)
