"""What pages that come back lack, read and rendered once for all that lack the same.

When a process is restarted, everyone who looked at a room comes back within seconds from the same
number. What they lack is the same for all of them, and so are its HTML and the bytes of it; whether
somebody may still read the room is not kept but asked each time.
"""

import asyncio
import time
from typing import NamedTuple

from ..bridge import await_
from ..rendering.fragments import Fragments
from ..store.message_reads import Missed
from .hub import Hub
from .packet import Packet

LASTS = 2.0  # seconds: names may change, and old messages go, without an event of the room
MOST = 64  # answers that are kept
LARGEST = 50  # events of one that is kept
LARGEST_CHARS = 20_000  # typed in its messages; HTML is up to twenty times as long


class Cursor(NamedTuple):
    """What a page shows of a room: up to number `after`, of the time `at` (ms), of an epoch."""

    rid: str
    after: int
    at: int
    epoch: str


class Answer:
    """What follows a cursor, and its HTML for each time zone in use."""

    __slots__ = ("_making", "_packets", "cursor", "kept", "missed", "newest")

    def __init__(self, cursor: Cursor, missed: Missed) -> None:
        self.cursor = cursor
        self.missed = missed
        self.newest = (0, 0)  # the room's number and time when it was kept
        self.kept = 0.0
        self._packets: dict[str, Packet | None] = {}
        self._making: dict[str, asyncio.Event] = {}  # set when it is made, or could not be

    @property
    def shown(self) -> int:
        """The number up to which a page with this cursor shows the room; 0 when its list is
        replaced, because then the cursor may be from another life of the database."""
        return 0 if self.missed.replace else self.cursor.after

    def packet(self, fragments: Fragments, zone: str) -> Packet | None:
        """The message for pages with times of a zone; None when they lack nothing. Making it gives
        way to others, who wait for it if they want the same."""
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


class Backlog:
    """The last answers of this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._answers: dict[Cursor, Answer] = {}
        self.forgotten = 0  # how often something had to be forgotten

    def find(self, cursor: Cursor) -> Answer | None:
        """An answer given a moment ago, if nothing has happened in the room since that the hub
        knows of: what happens from here on is held for who watches. None otherwise."""
        answer = self._answers.get(cursor)
        if answer is None or answer.newest != self._newest(cursor.rid):
            return None
        return answer if time.monotonic() < answer.kept + LASTS else None

    def keep(self, answer: Answer, forgotten: int = 0) -> None:
        """Keep an answer for the next page, if it is all that the hub knows of. It was read when
        things had been `forgotten` so often: if that has changed, names in it may be old."""
        rid, missed = answer.cursor.rid, answer.missed
        seq, at = answer.newest = self._newest(rid)
        # Without its time, a number may be that of another event in another life of the database.
        size = sum(len(event.body) for event in missed.events)
        if forgotten != self.forgotten:
            return
        if not at or missed.seq != seq or len(missed.events) > LARGEST or size > LARGEST_CHARS:
            return
        answer.kept = time.monotonic()
        self._answers.pop(answer.cursor, None)
        self._answers[answer.cursor] = answer
        if len(self._answers) > MOST:
            del self._answers[next(iter(self._answers))]

    def forget(self, rid: str) -> None:
        """Something of the room looks otherwise than its events say."""
        self.forgotten += 1
        for cursor in [cursor for cursor in self._answers if cursor.rid == rid]:
            del self._answers[cursor]

    def _newest(self, rid: str) -> tuple[int, int]:
        room = self.hub.rooms.get(rid)
        return (room.last, room.at) if room else (0, 0)
