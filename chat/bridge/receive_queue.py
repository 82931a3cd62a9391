"""The messages that a websocket has received and the application has not read yet."""

from __future__ import annotations

import asyncio
from typing import Any


class ReceiveQueue:
    """A queue of ASGI messages that holds at most `max_messages`; `put` waits for room.

    Unlike Hypercorn's queue it always accepts the final message. So neither a full queue nor an
    application that has stopped reading can keep a connection from ending.
    """

    __slots__ = ("_end", "_max_messages", "_messages", "_readable", "_writable")

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._messages: list[dict[str, Any]] = []
        self._end: dict[str, Any] | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """True if `put` would wait."""
        return len(self._messages) >= self._max_messages and self._end is None

    async def put(self, message: dict[str, Any]) -> None:
        """Add a message, waiting for room. After the final message it is dropped."""
        while self.full:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
        if self._end is None:
            self._messages.append(message)
            _wake(self._readable)

    async def get(self) -> dict[str, Any]:
        """Return the next message. After the last one, every call returns the final message."""
        while not self._messages:
            if self._end is not None:
                return self._end
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        message = self._messages.pop(0)
        _wake(self._writable)
        return message

    def finish(self, message: dict[str, Any]) -> None:
        """Set the final message. Only the first call has an effect."""
        if self._end is None:
            self._end = message
            _wake(self._readable)
            _wake(self._writable)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
