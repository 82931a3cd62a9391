"""Work of the open pages that waits for the store, each piece in a greenlet or task of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from ..observability.redaction import without_message

log = logging.getLogger(__name__)

MAX_ROOMS_AT_ONCE = 32  # read at the same time: answers that arrive together are one step

Portal = Callable[..., Awaitable[Any]]  # runs a function that may block its greenlet


class Background:
    """Starts work and logs its errors. Errors of Redis are not logged here, because the caller
    repeats the work when the connection is back.

    portal: runs a function in a greenlet, such as `greenback.with_portal_run_sync`.
    """

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.turns = asyncio.Semaphore(MAX_ROOMS_AT_ONCE)
        self.tasks: set[asyncio.Task[Any]] = set()

    def run(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function that waits for the store."""
        self.start(self.portal(function, *args))

    def run_in_turn(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function that reads a room, when fewer than MAX_ROOMS_AT_ONCE are being read."""
        self.start(self._in_turn(function, *args))

    def start(self, coroutine: Any) -> None:
        """Run a coroutine as a task."""
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    async def _in_turn(self, function: Callable[..., object], *args: Any) -> None:
        async with self.turns:
            await self.portal(function, *args)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, RedisError | OSError):
            log.error("work for open pages failed: %s", without_message(error))
