"""Asks open pages to confirm what they were sent, for the read marks.

What a page was sent counts as read when the page has confirmed it (docs/guarantees.md, I10). Pages
that show a room with new messages are asked within ASK_SECONDS. A process asks at most MAX_ASKED
pages each time, so the cost does not grow with the number of viewers. The question and its answer
take only 0.07 ms. But a client that has just sent something acknowledges received data later than
one that only listens. On the loopback interface, asking 150 pages a second made each message to 500
viewers 10 % more expensive. With 25, the difference cannot be measured.

If more pages show busy rooms, they are asked in turn, 500 in twenty seconds. A page does not wait
for that: it confirms what it shows every 45 s, and when the person opens another room
(macros/rooms.html).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from .viewers import LiveRoom, Viewer

log = logging.getLogger(__name__)

ASK_SECONDS = 1.0  # between two rounds
MAX_ASKED = 25  # pages that are asked in a round
MAX_VIEWERS_CHECKED = 5000  # in a round; most of them may have confirmed everything


class Confirmations:
    """The pages of this process to ask, in the order in which they were sent something."""

    def __init__(self) -> None:
        self._viewers: deque[Viewer] = deque()
        self._rooms: dict[LiveRoom, None] = {}  # whose viewers must all be asked
        self._asking: Iterator[Viewer] = iter(())  # the viewers of the rooms in this round

    def add(self, viewer: Viewer) -> None:
        """A page was sent something: ask it."""
        self._viewers.append(viewer)

    def shown(self, room: LiveRoom) -> None:
        """The viewers of a room were sent something: ask them."""
        self._rooms[room] = None

    async def run(self) -> None:
        """Ask every ASK_SECONDS until cancelled."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            try:
                self.ask()
            except Exception:
                log.exception("cannot ask pages what they have seen")

    def ask(self) -> None:
        """Ask the next pages."""
        left = MAX_ASKED
        for _ in range(MAX_VIEWERS_CHECKED):
            viewer = self._next()
            if viewer is None:
                return
            left -= viewer.ask()
            if left == 0:
                return

    def _next(self) -> Viewer | None:
        if self._viewers:
            return self._viewers.popleft()
        viewer = next(self._asking, None)
        if viewer is None and self._rooms:
            rooms, self._rooms = self._rooms, {}
            self._asking = _watching(rooms)
            viewer = next(self._asking, None)
        return viewer


def _watching(rooms: dict[LiveRoom, None]) -> Iterator[Viewer]:
    for room in rooms:
        for group in list(room.groups.values()):
            yield from list(group.watching)
