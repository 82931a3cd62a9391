"""Finishes changes that were left unfinished, because the server died between two writes, or
because a response was lost and nobody sent the request again (see store.unfinished).

One process at a time does this. The clocks of hosts are not compared: a change counts as left
behind if this process has known it for SETTLE_SECONDS.
"""

import logging
import time

from ..store import Store, keys
from ..store.leases import run_leased

log = logging.getLogger(__name__)

SETTLE_SECONDS = 30.0  # far longer than a change takes: each of its commands times out after 2 s
REST_SECONDS = 10.0  # between two checks
LEASE_SECONDS = 30.0  # until an unrenewed lease ends; each check renews it


class UnfinishedChanges:
    """settle: seconds for which a change is left to the process that makes it."""

    def __init__(self, store: Store, settle: float = SETTLE_SECONDS) -> None:
        self.store = store
        self.settle = settle
        self.lease = store.lease(keys.UNFINISHED_LEASE, LEASE_SECONDS)
        self._since: dict[str, float] = {}  # when each entry was first seen, monotonic

    async def run(self) -> None:
        """Check every REST_SECONDS, until cancelled."""
        await run_leased(self.lease, self.look, REST_SECONDS, "unfinished changes")

    def look(self) -> None:
        """Finish the changes that were left behind."""
        now, entries = time.monotonic(), self.store.unfinished.entries()
        self._since = {entry: self._since.get(entry, now) for entry in entries}
        left = [entry for entry, since in self._since.items() if now - since >= self.settle]
        for entry in left:
            log.warning("a change was left unfinished and is finished now: %s", entry)
            try:
                self.store.finish(entry)
            except (ValueError, TypeError, KeyError) as error:
                log.warning("this change cannot be finished by this version: %r", error)
                self._since[entry] = float("inf")  # so that it is not tried again
