"""Read marks: asks open pages to confirm what they were sent, and stores what they have confirmed.

What a page was sent counts as read when the page has confirmed it (docs/guarantees.md, I10). Pages
that show a room with new messages are asked within ASK_SECONDS. A process asks at most MAX_ASKED
pages each time, so the cost does not grow with the number of viewers. The question and its answer
take only 0.07 ms. But a client that has just sent something acknowledges received data later than
one that only listens. On the loopback interface, asking 150 pages a second made each message to 500
viewers 10 % more expensive. With 25, the difference cannot be measured.

If more pages show busy rooms, they are asked in turn, 500 in twenty seconds. A page does not wait
for that: it confirms what it shows every 45 s, and when the person opens another room
(macros/rooms.html).

The answers of many pages arrive within milliseconds of each other. So marks wait WRITE_SECONDS, and
those of one event are written together: 150 pages of one room cost one script instead of 150, and
one greenlet.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator

from redis.exceptions import RedisError

from ..store.batches import batched
from .viewers import LiveRoom, Viewer

log = logging.getLogger(__name__)

ASK_SECONDS = 1.0  # between two rounds
MAX_ASKED = 25  # pages that are asked in a round
MAX_VIEWERS_CHECKED = 5000  # in a round; most of them may have confirmed everything
WRITE_SECONDS = 0.05  # from the first waiting mark to the write
MAX_PEOPLE = 500  # whose marks one script writes

Event = tuple[str, int, int]
"""A room, the number of an event of it, and its time in ms (0: not known)."""


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


class ReadMarks:
    """`write` remembers that people, given by their ids, have seen a room up to an event
    (store.messages.seen_by); `ask` calls a function that asks the store."""

    def __init__(
        self,
        write: Callable[[str, list[str], int, int], object],
        ask: Callable[[Callable[[], None]], None],
    ) -> None:
        self._write = write
        self._ask = ask
        self._waiting: dict[Event, list[tuple[str, Callable[[], object]]]] = {}

    def add(self, uid: str, event: Event, written: Callable[[], object]) -> None:
        """A page of the person `uid` has confirmed an event; `written` is called when that is
        stored."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self._ask, self.write)
        self._waiting.setdefault(event, []).append((uid, written))

    def write(self) -> None:
        """Store all waiting marks. Those that cannot be stored are lost: each page confirms what it
        shows again within a minute (macros/rooms.html)."""
        waiting, self._waiting = self._waiting, {}
        for (rid, seq, at), marks in waiting.items():
            for some in batched(marks, MAX_PEOPLE):
                try:
                    self._write(rid, list({uid for uid, _ in some}), seq, at)
                except (RedisError, OSError) as error:
                    log.warning("cannot store read marks: %s", error)
                    continue
                for _, written in some:
                    written()


def _watching(rooms: dict[LiveRoom, None]) -> Iterator[Viewer]:
    for room in rooms:
        for group in list(room.groups.values()):
            yield from list(group.watching)
