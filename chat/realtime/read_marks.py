"""Read marks that open pages have confirmed, on their way to the store.

A process asks many pages at once (realtime.confirmations), and their answers arrive within
milliseconds of each other. So marks wait WRITE_SECONDS, and those of one event are written
together: 150 pages of one room cost one script instead of 150, and one greenlet.
"""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from ..store.batches import batched

log = logging.getLogger(__name__)

WRITE_SECONDS = 0.05  # from the first waiting mark to the write
MAX_PEOPLE = 500  # whose marks one script writes

Event = tuple[str, int, int]
"""A room, the number of an event of it, and its time in ms (0: not known)."""


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
