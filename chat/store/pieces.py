"""Reads large answers in pieces, so that no command waits long behind them.

All commands of a process share one connection, and an answer of a megabyte would occupy it for
seconds on a slow line. So the size of every answer is limited: whatever can be large is read by
scripts that stop at a number of bytes, or a few rows at a time, and other commands get their turn
in between. docs/architecture.md has a table of them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from greenback import await_, has_portal
from redis.exceptions import ConnectionError as RedisConnectionError

PIECE_BYTES = 64_000  # of events in one answer; a larger event comes alone
TOGETHER_BYTES = 4 * PIECE_BYTES  # in the answers to all readers together
MAX_READERS = 16  # at the same time; others wait


class Turns:
    """Shares the connection among the readers of large answers in one process. The more readers
    there are, the smaller are their pieces; the number of readers is limited."""

    def __init__(self) -> None:
        self.readers = 0
        self._places = asyncio.Semaphore(MAX_READERS)
        self._losses = 0  # how often the connection was lost

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Become one of the readers; turns must not be nested. Only greenlets wait, because a
        process without a loop has one reader. If a reader gets a ConnectionError of redis, all who
        wait get it too, because otherwise they would get it one after another."""
        waits, losses = has_portal(), self._losses
        if waits:
            await_(self._places.acquire())
        self.readers += 1
        try:
            if losses != self._losses:
                raise RedisConnectionError("the connection to Redis was lost")
            yield
        except RedisConnectionError:
            self._losses = max(self._losses, losses + 1)  # once for each loss
            raise
        finally:
            self.readers -= 1
            if waits:
                self._places.release()

    @property
    def piece(self) -> int:
        """Return how many bytes the next piece may have."""
        return min(PIECE_BYTES, TOGETHER_BYTES // max(1, self.readers))
