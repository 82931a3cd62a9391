"""Letting go of old messages, in the background, where CHAT_KEEP_MESSAGES or CHAT_KEEP_DAYS say so.

One process at a time does it, who holds the lease, and in small steps, so that nobody waits for it.
"""

import asyncio
import logging
import secrets

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from ..config import Settings
from ..store import Store
from ..store.retention import STEP

log = logging.getLogger(__name__)

LEASE = 30.0  # seconds that the lease lasts; it is renewed with every step
PAUSE = 0.1  # seconds between two steps
REST = 10.0  # seconds between two rounds through all rooms


class Trimmer:
    def __init__(self, settings: Settings, store: Store) -> None:
        self.messages = settings.keep_messages
        self.days = settings.keep_days
        self.store = store.retention
        self.name = secrets.token_urlsafe(12)
        self.rooms = self.store.rooms()  # that are still to come in this round
        self.room = ""  # that is being trimmed

    async def run(self) -> None:
        """Trim whenever this process holds the lease, until cancelled; nothing to do where all
        is kept."""
        if not self.messages and not self.days:
            return
        try:
            while True:
                wait = REST
                try:
                    if await with_portal_run_sync(self.store.lease, self.name, LEASE):
                        wait = PAUSE if await with_portal_run_sync(self.step) else REST
                except (RedisError, OSError) as error:
                    log.warning("old messages have to wait: %s", error)
                except Exception:
                    log.exception("old messages have to wait")
                await asyncio.sleep(wait)
        finally:
            await with_portal_run_sync(self.store.lease, self.name, 0)

    def step(self) -> bool:
        """Do a little; False when the round through all rooms is over."""
        gone = looked = 0
        while gone < STEP and looked < STEP:
            self.room = self.room or next(self.rooms, "")
            if not self.room:
                self.rooms = self.store.rooms()
                return False
            trimmed = self.store.trim(self.room, self.messages, self.days)
            gone, looked = gone + trimmed, looked + 1
            if trimmed < STEP:
                self.room = ""
        return True
