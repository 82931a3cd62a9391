"""Asks the client of a websocket to confirm what it has received.

A client answers a Ping with a Pong that has the same payload (RFC 6455, sections 5.5.2 and 5.5.3),
and reads its frames in order. So a Pong confirms everything that was written before its Ping. It
says nothing about anything that was written later, even if the Pong arrives after that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .frames import ping_frame

PINGS = "websocket.pings"
"""Name of the entry in `scope["extensions"]` by which a server offers `Pings`."""

MAX_UNANSWERED = 8
"""Pings without an answer on one connection, after which no more are sent."""


class Pings:
    """The numbered pings of one connection.

    write: sends a frame after everything that was written before. Returns False when the connection
        is closing.
    """

    __slots__ = ("_last", "_unanswered", "_write")

    def __init__(self, write: Callable[[bytes], bool]) -> None:
        self._write = write
        self._last = 0
        self._unanswered: deque[tuple[int, Callable[[], object]]] = deque()

    def ask(self, confirmed: Callable[[], object]) -> bool:
        """Send a ping; `confirmed` is called when the client answers it. Returns False, and sends
        nothing, when the connection is closing or the client has not answered for a while."""
        if len(self._unanswered) == MAX_UNANSWERED:
            return False
        if not self._write(ping_frame(b"%d" % (self._last + 1))):
            return False
        self._last += 1
        self._unanswered.append((self._last, confirmed))
        return True

    def answered(self, payload: bytes) -> None:
        """Handle a Pong. It also answers the pings before its own, because a client may answer only
        the newest. A payload that was never sent is ignored."""
        number = int(payload) if payload.isdigit() and len(payload) < 20 else 0
        if number > self._last:
            return
        while self._unanswered and self._unanswered[0][0] <= number:
            self._unanswered.popleft()[1]()

    def close(self) -> None:
        """Stop confirming, because the connection is closing."""
        self._unanswered.clear()
        self._write = _closed  # the old function refers to the connection, which refers to this


def _closed(_: bytes) -> bool:
    return False
