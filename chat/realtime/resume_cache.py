"""Caches catch-up data for pages that reconnect.

When a process is restarted, all viewers of a room reconnect within seconds, and most of them show
the room up to the same number. They all lack the same events, which are therefore read and rendered
once. Whether somebody may still read the room is not cached.
"""

import asyncio
import time
from typing import NamedTuple

from ..bridge import await_
from ..rendering.fragments import Fragments
from ..store.message_reads import Missed
from .hub import Hub
from .packet import Packet

CACHE_SECONDS = 2.0  # short, because names change and old messages are removed without an event
MAX_ANSWERS = 64
MAX_EVENTS = 50  # in a cached answer
MAX_TYPED_CHARS = 20_000  # in the messages of an answer; the HTML is up to twenty times as long


class Cursor(NamedTuple):
    """How much of a room a page shows: events of an epoch up to number `after`, of the time `at`
    (ms)."""

    rid: str
    after: int
    at: int
    epoch: str


class CatchUp:
    """The events after a cursor, and their HTML for each time zone in use."""

    __slots__ = ("_making", "_packets", "cached_at", "cursor", "missed", "newest")

    def __init__(self, cursor: Cursor, missed: Missed) -> None:
        self.cursor = cursor
        self.missed = missed
        self.newest = (0, 0)  # number and time of the room's last event when this was cached
        self.cached_at = 0.0  # by the monotonic clock
        self._packets: dict[str, Packet | None] = {}
        self._making: dict[str, asyncio.Event] = {}  # set when rendering has ended or failed

    @property
    def shown(self) -> int:
        """The number up to which a page with this cursor shows the room; 0 if its list is replaced,
        because its cursor may then be from another database."""
        return 0 if self.missed.replace else self.cursor.after

    def packet(self, fragments: Fragments, zone: str) -> Packet | None:
        """The packet for pages with times in a zone; None if they lack nothing. Rendering lets
        other tasks run; those that need the same packet wait for it."""
        while zone not in self._packets:
            if zone in self._making:
                await_(self._making[zone].wait())
            else:
                self._make(fragments, zone)
        return self._packets[zone]

    def _make(self, fragments: Fragments, zone: str) -> None:
        made = self._making[zone] = asyncio.Event()
        try:
            text = self._text(fragments, zone)
            self._packets[zone] = Packet(text) if text else None
        finally:
            del self._making[zone]
            made.set()

    def _text(self, fragments: Fragments, zone: str) -> str:
        missed = self.missed
        if missed.replace:
            rid = self.cursor.rid
            return fragments.replaced_list(rid, missed.events, missed.epoch, zone, missed.first)
        return fragments.missed_events(missed.events, zone) if missed.events else ""


class ResumeCache:
    """The last answers of this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._answers: dict[Cursor, CatchUp] = {}
        self.forgotten = 0  # how often a room was forgotten

    def find(self, cursor: Cursor) -> CatchUp | None:
        """The cached answer, if the hub has received no event of the room since; later events are
        held for viewers who watch it. None otherwise."""
        answer = self._answers.get(cursor)
        if answer is None or answer.newest != self._newest(cursor.rid):
            return None
        return answer if time.monotonic() < answer.cached_at + CACHE_SECONDS else None

    def keep(self, answer: CatchUp, forgotten: int = 0) -> None:
        """Cache an answer, if it has all events that the hub has received. `forgotten` is the value
        of the attribute before the answer was read: if it has changed, names may be old."""
        rid, missed = answer.cursor.rid, answer.missed
        seq, at = answer.newest = self._newest(rid)
        # Without a time, the number may belong to an event of another database.
        size = sum(len(event.body) for event in missed.events)
        if forgotten != self.forgotten:
            return
        if not at or missed.seq != seq or len(missed.events) > MAX_EVENTS or size > MAX_TYPED_CHARS:
            return
        answer.cached_at = time.monotonic()
        self._answers.pop(answer.cursor, None)
        self._answers[answer.cursor] = answer
        if len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def forget(self, rid: str) -> None:
        """Forget the room's answers, because names have changed without an event."""
        self.forgotten += 1
        for cursor in [cursor for cursor in self._answers if cursor.rid == rid]:
            del self._answers[cursor]

    def _newest(self, rid: str) -> tuple[int, int]:
        room = self.hub.rooms.get(rid)
        return (room.last, room.at) if room else (0, 0)
