"""HTML fragments that are pushed to open pages.

The macros in templates/pushes/event.html are called without a request, so that pages, pushes and
catch-up share one definition of a message. No fragment depends on who sees it: one rendering serves
everyone in a time zone.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..domain.events import CHANGES, EDIT, POST, RENAME, Event
from ..runtime.cooperation import in_pieces
from .cached_html import CACHED_MESSAGES, PrecompiledTemplate
from .local_time import short_time

FILE = "pushes/event.html"
# Pages that are left open keep this many messages. They remove older ones each time this many have
# been posted to the room (macro `trim`).
KEPT_ON_SCREEN, TRIM_EVERY_MESSAGES = 300, 50


class Fragments:
    """Renders fragments. `zone` is the name of the viewer's time zone; "" is the server's.

    The methods render events, so they are called for each message. All other fragments are macros
    of FILE, which describes them. They are called by name: `fragments.typing(rid, person)`.

    `missed_events`, `replaced_list` and `room_list` may let other tasks run
    (chat.runtime.cooperation). Nothing else does, because the hub writes in the order in which it
    renders.
    """

    def __init__(self, env: Environment) -> None:
        self.macros: Any = env.get_template(FILE).module
        self._message: Any = env.globals["message"]
        self._gist: Any = env.filters["gist"]
        self._plain_marks = lru_cache(maxsize=CACHED_MESSAGES)(self._make_plain_marks)
        self._put = PrecompiledTemplate(env, FILE, "put")
        self._post_row = PrecompiledTemplate(env, FILE, "post_row")
        self._message_stored = PrecompiledTemplate(env, FILE, "message_stored")

    def __getattr__(self, name: str) -> Callable[..., str]:
        """A macro, as a function that returns a plain string."""
        macro = getattr(self.macros, name)
        return lambda *args, **kwargs: str(macro(*args, **kwargs))

    def for_viewers(self, event: Event, zone: str) -> str:
        """An event for pages that show its room."""
        parts = [self._put.text(rid=event.room, messages=self._message(event, zone))]
        if event.kind != POST:
            parts += self._changes(event, zone, is_new=True)
        elif event.mentions:
            parts.append(self.macros.mention_sound(event))
        oldest = event.seq - KEPT_ON_SCREEN
        if event.seq % TRIM_EVERY_MESSAGES == 0 and oldest > 0:
            parts.append(self.macros.trim(event.room, oldest))
        return "".join(parts)

    def _changes(self, event: Event, zone: str, is_new: bool = False) -> Iterator[str]:
        """Return what an event changes on screen besides its own line. A new edit without a body
        belongs to a message with files; one that is read later may belong to a deleted message."""
        if event.number and event.kind not in CHANGES:
            yield self.macros.size_changed(event)
        if event.kind != EDIT or is_new or event.body or event.edited:
            changed = getattr(self.macros, f"changed_by_{event.kind}", None)
            if changed is not None:
                yield changed(event, zone)

    def for_members(self, event: Event, zone: str) -> str:
        """Render an event for members' pages that show another room: the unread mark and the
        alert."""
        if event.kind == POST and not event.mentions:
            return self._plain_marks(event.room, event.uid)
        return "".join(self._marks(event))

    def _make_plain_marks(self, rid: str, uid: str) -> str:
        """`for_members` for any message by this person that mentions nobody."""
        return "".join(self._marks(Event(rid, 0, 0, POST, uid, "", "")))

    def _marks(self, event: Event) -> Iterator[str]:
        if event.counts:
            yield self.macros.unread_mark(event)
        if event.kind == POST:
            yield self.macros.message_alert(event)
            if event.mentions:
                yield self.macros.mention_alert(event)
        elif event.kind == RENAME:
            yield self.macros.row_renamed(event)

    def room_row(self, event: Event, zone: str) -> str:
        """The room's row in the room list, with this as its newest event."""
        if event.kind != POST:
            return str(self.macros.room_row(event, zone))
        text = self._gist(event.body or event.excerpt)
        time = short_time(event.at, zone)
        return self._post_row.text(rid=event.room, time=time, name=event.name, text=text)

    def missed_events(self, events: list[Event], zone: str) -> str:
        """Render the events (at least one) that a page lacks, each in its place."""
        messages = Markup("").join(self._message(event, zone) for event in in_pieces(events))
        parts = [self._put.text(rid=events[0].room, messages=messages)]
        if heard := [event for event in events if not event.is_silent]:
            parts.append(self.room_row(heard[-1], zone))
        for event in in_pieces(events):
            if event.kind != POST:
                parts += self._changes(event, zone)
        return "".join(parts)

    def message_stored(self, nonce: str) -> str:
        """Acknowledge the message of composer `nonce`."""
        return self._message_stored.text(nonce=nonce)
