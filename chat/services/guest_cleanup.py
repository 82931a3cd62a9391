"""Forgetting guests who will not come back, in the background: one process at a time, in small
steps, once an hour (store.guests says what goes and what stays)."""

import asyncio
import logging
import secrets
from functools import partial

from greenback import with_portal_run_sync
from obstore.exceptions import BaseError
from redis.exceptions import RedisError

from ..config import Settings
from ..media.avatars import Pictures
from ..store import Store, keys

log = logging.getLogger(__name__)

LEASE_SECONDS = 120.0  # for which one process has the work; renewed with each step
PAUSE_SECONDS = 0.1  # between two steps
REST_SECONDS = 3600.0  # between two rounds
FIRST_SECONDS = 90.0  # until the first round


class GuestCleanup:
    def __init__(self, settings: Settings, store: Store, pictures: Pictures) -> None:
        self.days = settings.guest_days
        self.store = store
        self.pictures = pictures
        self.name = secrets.token_urlsafe(12)

    async def run(self) -> None:
        """Go through all people now and then, until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self._round()
            except (RedisError, BaseError, OSError) as error:
                log.warning("guests who are gone have to wait: %s", error)
            except Exception:
                log.exception("guests who are gone have to wait")
            await asyncio.sleep(REST_SECONDS)

    async def _round(self) -> None:
        steps = self.store.guests.forget(self.days)
        lease = partial(self.store.retention.lease, self.name, LEASE_SECONDS, keys.GUESTS_LEASE)
        while await with_portal_run_sync(lease):
            gone = await with_portal_run_sync(next, steps, None)
            if gone is None:
                return
            for uid in gone:
                await with_portal_run_sync(self.pictures.delete, uid)
            await asyncio.sleep(PAUSE_SECONDS)
