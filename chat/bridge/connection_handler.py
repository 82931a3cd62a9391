"""Handling a websocket after its route has ended (`WebSocket.detach`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from greenback import await_, with_portal_run_sync

IDLE_SECONDS = 10.0
"""Without a message for so long, the greenlet of a `ConnectionHandler` ends."""

Next = Callable[[], Awaitable[str | bytes | None]]
"""Returns the next message of a connection, or None when it is closed."""


class Detached(BaseException):
    """Ends a route whose connection goes on; has the `ConnectionHandler` as its only argument. It
    is not an `Exception`, so that neither Flask nor Flask-Sock turns it into a response.
    `teardown_request` functions run as usual."""


class ConnectionHandler(Protocol):
    """Handles a connection after its route has ended. Each method is called in a greenlet, one
    after the other."""

    def on_open(self) -> None:
        """The route has ended."""

    def on_message(self, message: str | bytes, /) -> bool:
        """A message has arrived. Return True if more are likely within seconds: then the greenlet
        is kept for them, because a new one takes about 20 µs."""

    def on_close(self) -> None:
        """The connection is closed, or another method has raised. This is the last call."""


async def run_handler(handler: ConnectionHandler, next_message: Next) -> None:
    """Call the handler until the connection is closed. Raises what the handler raises."""
    try:
        await with_portal_run_sync(handler.on_open)
        while (message := await next_message()) is not None:
            await with_portal_run_sync(_handle_messages, handler, message, next_message)
    finally:
        await with_portal_run_sync(handler.on_close)


def _handle_messages(
    handler: ConnectionHandler, message: str | bytes | None, next_message: Next
) -> None:
    """Pass on a message and those that follow it closely."""
    receiver = IdleReceiver(next_message, IDLE_SECONDS)
    try:
        while message is not None and handler.on_message(message):
            message = await_(receiver.receive())
    finally:
        receiver.close()


class IdleReceiver:
    """Receives messages until none arrives for `seconds`. Must be made and used in the same task.

    It needs one timer for any number of messages. `asyncio.timeout` sets one for each, which takes
    6 µs.
    """

    def __init__(self, receive: Next, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._is_waiting = self._timed_out = False

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when none arrives for `seconds`, or none will."""
        self._deadline = self._loop.time() + self._seconds
        self._is_waiting = True
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._check)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._timed_out and self._task is not None and self._task.uncancel() == 0:
                return None
            raise
        finally:
            self._is_waiting = False

    def close(self) -> None:
        """Stop the timer; nothing is received any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        left = self._deadline - self._loop.time()
        self._timer = None
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        elif self._is_waiting and self._task is not None:
            self._timed_out = True
            self._task.cancel()
