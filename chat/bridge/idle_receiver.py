"""Receiving messages until there is a pause."""

from __future__ import annotations

import asyncio

from .wsgi import Message, Receive


class IdleReceiver:
    """Receives messages until none arrives for `seconds`. Must be made and used in the same task.

    It needs one timer for any number of messages. `asyncio.timeout` sets one for each, which takes
    6 µs.
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._is_waiting = self._timed_out = False

    async def receive(self) -> Message:
        """Return the next message. Raises TimeoutError when none arrives for `seconds`."""
        self._deadline = self._loop.time() + self._seconds
        self._is_waiting = True
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._check)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._timed_out and self._task is not None and self._task.uncancel() == 0:
                raise TimeoutError from None
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
