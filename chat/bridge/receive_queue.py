"""What a websocket has read and its application has not."""

from __future__ import annotations

import asyncio
from typing import Any


class Intake:
    """Messages on their way to the application: at most `limit`, then `put` waits.

    Unlike Hypercorn's queue it always has room for the end, so that neither a full one nor an
    application that has stopped reading can hold up the connection.
    """

    __slots__ = ("_end", "_items", "_limit", "_readable", "_writable")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[dict[str, Any]] = []
        self._end: dict[str, Any] | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether `put` would wait."""
        return len(self._items) >= self._limit and self._end is None

    async def put(self, message: dict[str, Any]) -> None:
        """Add a message, waiting for room; after the end it is dropped."""
        while self.full:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
        if self._end is None:
            self._items.append(message)
            _wake(self._readable)

    async def get(self) -> dict[str, Any]:
        """Return the next message; after the last one the end, again and again."""
        while not self._items:
            if self._end is not None:
                return self._end
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        message = self._items.pop(0)
        _wake(self._writable)
        return message

    def finish(self, message: dict[str, Any]) -> None:
        """Let `message` be the last one; only the first call counts."""
        if self._end is None:
            self._end = message
            _wake(self._readable)
            _wake(self._writable)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
