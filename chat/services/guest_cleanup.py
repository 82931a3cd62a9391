"""Deletes guests who will not come back, once an hour, in the background.

One process at a time does this, in small steps. store.guests describes what is deleted."""

import asyncio
from collections.abc import Iterator

from greenback import with_portal_run_sync
from obstore.exceptions import BaseError

from ..config import Settings
from ..media.avatars import Pictures
from ..store import Store, keys
from ..store.leases import run_leased

LEASE_SECONDS = 120.0  # until an unrenewed lease ends; each step renews it
PAUSE_SECONDS = 0.1  # between two steps
REST_SECONDS = 3600.0  # between two rounds
FIRST_SECONDS = 90.0  # until the first round


class GuestCleanup:
    def __init__(self, settings: Settings, store: Store, pictures: Pictures) -> None:
        self.days = settings.guest_days
        self.store = store
        self.pictures = pictures
        self.lease = store.lease(keys.GUESTS_LEASE, LEASE_SECONDS)
        self._steps: Iterator[list[str]] | None = None  # of the current round

    async def run(self) -> None:
        """Look for such guests every hour, until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        await run_leased(self.lease, self._work, REST_SECONDS, "absent guests", (BaseError,))

    async def _work(self) -> float:
        return PAUSE_SECONDS if await with_portal_run_sync(self.step) else REST_SECONDS

    def step(self) -> bool:
        """Do one step of a round. False if the round is over."""
        steps, self._steps = self._steps or self.store.guests.forget(self.days), None
        gone = next(steps, None)
        if gone is None:
            return False
        for uid in gone:
            self.pictures.delete(uid)
        self._steps = steps  # not after an error: then a new round begins
        return True
