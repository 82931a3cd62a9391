"""Letting go of old messages, in the background, where CHAT_KEEP_MESSAGES or CHAT_KEEP_DAYS say so.

One process at a time does it, who holds the lease, and in small steps, so that nobody waits for it.
"""

import asyncio
import logging
import secrets
from typing import Any

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from .settings import Settings
from .store import Store
from .store.retention import STEP

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
        self.cursor = 0
        self.rooms: list[str] = []  # of the present step of the round, that are to be trimmed

    async def run(self) -> None:
        """Trim whenever this process holds the lease, until cancelled; nothing to do where all
        is kept."""
        if not self.messages and not self.days:
            return
        try:
            while True:
                wait = REST
                try:
                    if await self._ask(self.store.lease, self.name, LEASE):
                        wait = PAUSE if await self._ask(self.step) else REST
                except (RedisError, OSError) as error:
                    log.warning("old messages have to wait: %s", error)
                except Exception:
                    log.exception("old messages have to wait")
                await asyncio.sleep(wait)
        finally:
            await self._ask(self.store.lease, self.name, 0)

    async def _ask(self, function: Any, *args: Any) -> Any:
        """Call a function that asks the store, in a greenlet of its own."""
        return await with_portal_run_sync(function, *args)

    def step(self) -> bool:
        """Do a little; False when the round through all rooms is over."""
        if not self.rooms:
            self.cursor, self.rooms = self.store.some_rooms(self.cursor)
        gone = 0
        while self.rooms and gone < STEP:
            trimmed = self.store.trim(self.rooms[-1], self.messages, self.days)
            gone += trimmed
            if trimmed < STEP:
                self.rooms.pop()
        return bool(self.rooms or self.cursor)
