"""Finishing what was begun and not ended: the server died between two writes, or an answer was lost
and nobody sent the same again (store.unfinished says what that is).

One process at a time does it. No clock of a host is compared with another's: a change counts as
left behind when this process has seen it for SETTLE_SECONDS.
"""

import asyncio
import logging
import secrets
import time

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from ..store import Store, keys

log = logging.getLogger(__name__)

SETTLE_SECONDS = 30.0  # far longer than a change takes whose server is alive: each command has 2 s
REST_SECONDS = 10.0  # between two looks
LEASE_SECONDS = 30.0  # for which one process has the work; renewed with each look


class UnfinishedChanges:
    """`settle`: seconds for which a change is left to whoever made it."""

    def __init__(self, store: Store, settle: float = SETTLE_SECONDS) -> None:
        self.store = store
        self.settle = settle
        self.name = secrets.token_urlsafe(12)
        self._since: dict[
            str, float
        ] = {}  # when each entry was first seen, by this process's clock

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        try:
            while True:
                try:
                    await with_portal_run_sync(self.look)
                except (RedisError, OSError) as error:
                    log.warning("unfinished changes have to wait: %s", error)
                except Exception:
                    log.exception("unfinished changes have to wait")
                await asyncio.sleep(REST_SECONDS)
        finally:
            await with_portal_run_sync(self._lease, 0)

    def look(self) -> int:
        """Finish what was left behind, if this process has the work; returns how much that was."""
        if not self._lease(LEASE_SECONDS):
            self._since.clear()
            return 0
        now, entries = time.monotonic(), self.store.unfinished.entries()
        self._since = {entry: self._since.get(entry, now) for entry in entries}
        left = [entry for entry, since in self._since.items() if now - since >= self.settle]
        for entry in left:
            log.warning("a change was left unfinished and is finished now: %s", entry)
            self.store.finish(entry)
        return len(left)

    def _lease(self, seconds: float) -> bool:
        return self.store.retention.lease(self.name, seconds, keys.UNFINISHED_LEASE)
