"""Large answers are read in pieces, so that no command waits long behind them.

All commands of a process share one connection, and an answer of a megabyte would occupy it for
seconds on a slow line. So the size of every answer is limited: whatever can be large is read by
scripts that stop at a number of bytes, or a few rows at a time, and other commands get their turn
in between. docs/architecture.md has a table of them.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from greenback import await_, has_portal
from redis.exceptions import ConnectionError as RedisConnectionError

PIECE_BYTES = 64_000  # of events in one answer; one event that is larger comes alone
TOGETHER_BYTES = 4 * PIECE_BYTES  # in the answers to all who read at the same time
MAX_READERS = 16  # at the same time; others wait for their turn


class Turns:
    """Shares the connection among the readers of large answers in one process. The more readers
    there are, the smaller are their pieces; the number of readers is limited."""

    def __init__(self) -> None:
        self.readers = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be one of the readers; turns must not be nested. Waits in a greenlet only, because a
        process without a loop has one reader. If a reader meets a ConnectionError of redis, it is
        raised for all who wait too: they would only meet it one after the other."""
        self._enter()
        try:
            yield
        except RedisConnectionError:
            self._give_up()
            raise
        finally:
            self._leave()

    @property
    def piece(self) -> int:
        """How many bytes the next piece may have."""
        return min(PIECE_BYTES, TOGETHER_BYTES // max(1, self.readers))

    def _enter(self) -> None:
        if self.readers < MAX_READERS or not has_portal():
            self.readers += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await_(place)  # a reader who leaves passes its place on
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._leave()
            raise

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for place in waiting:
            if not place.done():
                place.set_exception(RedisConnectionError("the connection to Redis was lost"))

    def _leave(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # its task was not cancelled
                place.set_result(None)
                return
        self.readers -= 1
