"""Leases, for work that only one process does at a time: the one that holds the lease."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from .lua import Script

log = logging.getLogger(__name__)


class Lease:
    """Held by one process at a time, for `seconds` after it was acquired or renewed. So a process
    that dies loses it."""

    def __init__(self, client: Any, key: str, seconds: float) -> None:
        self.seconds = seconds
        self._key = key
        self._run = Script(client, "lease")
        self._holder = secrets.token_urlsafe(12)
        self._acquired_at = 0.0  # by the monotonic clock; from before the database was asked

    def acquire(self) -> bool:
        """Take the lease, or renew it; False when another process holds it."""
        asked_at = time.monotonic()
        is_held = self._set(int(self.seconds * 1000))
        self._acquired_at = asked_at if is_held else 0.0
        return is_held

    def renew(self, after_seconds: float) -> bool:
        """Renew the lease if it was acquired more than `after_seconds` ago. Returns False if it is
        lost."""
        return time.monotonic() <= self._acquired_at + after_seconds or self.acquire()

    def release(self) -> None:
        """Let another process take the lease at once."""
        self._set(0)

    def _set(self, ms: int) -> bool:
        return bool(self._run(lease=self._key, holder=self._holder, ms=ms))


async def run_leased(
    lease: Lease,
    work: Callable[[], float | None],
    rest_seconds: float,
    what: str,
    errors: tuple[type[Exception], ...] = (),
) -> None:
    """Do the work whenever this process holds the lease, until cancelled; then release the lease.

    `work` runs in a greenlet and returns the seconds until it is to be called again, or None for
    `rest_seconds`. When another process holds the lease, or the work fails, the next try is after
    `rest_seconds`, more or less. `what` names the work in
    the log. Errors of the database and the system, and `errors`, are logged without a traceback.
    """
    expected: tuple[type[Exception], ...] = (RedisError, OSError, *errors)
    try:
        while True:
            seconds = rest_seconds * random.uniform(0.8, 1.2)
            try:
                if await with_portal_run_sync(lease.acquire):
                    wanted = await with_portal_run_sync(work)
                    seconds = rest_seconds if wanted is None else wanted
            except expected as error:
                log.warning("%s have to wait: %s", what, error)
            except Exception:
                log.exception("%s have to wait", what)
            await asyncio.sleep(seconds)
    finally:
        with suppress(RedisError, OSError):  # otherwise it expires
            await with_portal_run_sync(lease.release)
