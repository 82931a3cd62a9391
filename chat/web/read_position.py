"""What an open page has shown of the room on screen, and what the store knows of that."""

import logging
from functools import partial

from redis.exceptions import RedisError

from ..bridge import WebSocket
from ..realtime.viewers import Viewer
from ..services.context import Parts

log = logging.getLogger(__name__)


class ReadPosition:
    """The read position of one page. The browser confirms what it has received."""

    __slots__ = (
        "_asked",
        "_confirmed_event",
        "_hub",
        "_read_marks",
        "_store",
        "_stored",
        "_viewer",
        "_ws",
    )

    def __init__(self, parts: Parts, viewer: Viewer, ws: WebSocket) -> None:
        self._hub = parts.realtime.hub
        self._read_marks = parts.realtime.read_marks
        self._store = parts.store
        self._viewer = viewer
        self._ws = ws
        self._asked = ("", 0)  # room and number that the page was last asked to confirm
        # The event that the page confirmed last: room, number, time.
        self._confirmed_event = ("", 0, 0)
        self._stored = ("", 0)  # room and number last stored as seen

    def ask(self) -> bool:
        """Ask the browser to confirm what it was sent of the room on screen. True if it was asked.
        What it confirms counts as read (docs/guarantees.md, I10)."""
        rid, seq = self._viewer.watching, self._viewer.sent
        if not rid or not seq or (rid, seq) in (self._asked, self._stored):
            return False
        room = self._hub.rooms[rid]
        at = room.at if room.last == seq else 0
        if not self._ws.ping(partial(self._confirmed, rid, seq, at)):
            return False
        self._asked = rid, seq
        return True

    def leave_room(self, rid: str) -> None:
        """Store what the page confirmed last of a room that it leaves: realtime.read_marks may not
        have stored it yet."""
        if self._confirmed_event[0] == rid:
            self.store(*self._confirmed_event)

    def store(self, rid: str, seq: int, at: int = 0) -> bool:
        """Store that the page has shown the room up to event `seq`, of the time `at` (0 if it is
        not known). True if that was stored now, and the person is a member. A failure of Redis is
        only logged."""
        if self._is_stored(rid, seq):
            return False
        try:
            is_member = self._store.messages.seen(rid, self._viewer.uid, seq, at)
            self._stored = rid, seq
        except (RedisError, OSError) as error:
            log.warning("cannot remember what was seen: %s", error)
            return False
        return is_member

    def is_unsure(self) -> bool:
        """True if the page has not confirmed everything that it was sent of the room on screen."""
        rid, seq = self._stored
        return rid != self._viewer.watching or seq < self._viewer.sent

    def _confirmed(self, rid: str, seq: int, at: int) -> None:
        """The browser has received the events of a room up to `seq`, of the time `at`. If the page
        showed another room by then, it has not shown them; its `watch` for that room came before
        the confirmation."""
        if self._viewer.watching == rid and not self._is_stored(rid, seq):
            self._confirmed_event = rid, seq, at
            written = partial(self._mark_stored, rid, seq)
            self._read_marks.add(self._viewer.uid, self._confirmed_event, written)

    def _is_stored(self, rid: str, seq: int) -> bool:
        return rid == self._stored[0] and seq <= self._stored[1]

    def _mark_stored(self, rid: str, seq: int) -> None:
        """The store has the mark. The page may show another room meanwhile."""
        if rid == self._viewer.watching and not self._is_stored(rid, seq):
            self._stored = rid, seq
