"""Tracks how far an open page has shown its room, and how far the room counts as read."""

import logging
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from ..bridge import WebSocket
from ..realtime.viewers import Viewer
from ..services.context import Parts

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class ReadPosition:
    """The read position of one page. The browser confirms what it has received."""

    parts: Parts
    viewer: Viewer
    ws: WebSocket
    asked: tuple[str, int] = ("", 0)  # room and number that the page was last asked to confirm
    # The event that the page confirmed last: room, number, time.
    confirmed_event: tuple[str, int, int] = ("", 0, 0)
    stored: tuple[str, int] = ("", 0)  # room and number last stored as seen

    def ask(self) -> bool:
        """Ask the browser to confirm what it was sent of the room on screen. Returns True if it was
        asked. What it confirms counts as read (docs/guarantees.md, I10)."""
        rid, seq = self.viewer.watching, self.viewer.sent
        if not rid or not seq or (rid, seq) in (self.asked, self.stored):
            return False
        room = self.parts.realtime.hub.rooms[rid]
        at = room.at if room.last == seq else 0
        if not self.ws.ping(partial(self._confirmed, rid, seq, at)):
            return False
        self.asked = rid, seq
        return True

    def leave_room(self, rid: str) -> None:
        """Store what the page confirmed last of a room that it leaves: realtime.read_marks may not
        have stored it yet."""
        if self.confirmed_event[0] == rid:
            self.store(*self.confirmed_event)

    def store(self, rid: str, seq: int, at: int = 0) -> bool:
        """Store that the page has shown the room up to event `seq`, whose time is `at` (0 if
        unknown). Returns True if that was stored now and the person is a member. A failure of Redis
        is only logged."""
        if self._is_stored(rid, seq):
            return False
        try:
            is_member = self.parts.store.messages.seen(rid, self.viewer.uid, seq, at)
            self.stored = rid, seq
        except (RedisError, OSError) as error:
            log.warning("cannot store what was read: %s", error)
            return False
        return is_member

    def is_unsure(self) -> bool:
        """True if the page has not confirmed everything that it was sent of the room on screen."""
        rid, seq = self.stored
        return rid != self.viewer.watching or seq < self.viewer.sent

    def _confirmed(self, rid: str, seq: int, at: int) -> None:
        """The browser has received the events of a room up to `seq`, whose time is `at`. If the
        page showed another room by then, it has not shown them; its `watch` for that room came
        before the confirmation."""
        if self.viewer.watching == rid and not self._is_stored(rid, seq):
            self.confirmed_event = rid, seq, at
            written = partial(self._mark_stored, rid, seq)
            self.parts.realtime.read_marks.add(self.viewer.uid, self.confirmed_event, written)

    def _is_stored(self, rid: str, seq: int) -> bool:
        return rid == self.stored[0] and seq <= self.stored[1]

    def _mark_stored(self, rid: str, seq: int) -> None:
        """The store has the mark. By now the page may show another room."""
        if rid == self.viewer.watching and not self._is_stored(rid, seq):
            self.stored = rid, seq
