"""Removes old messages in the background, as CHAT_KEEP_MESSAGES and CHAT_KEEP_DAYS say.

One process at a time does this, in small steps, so that nobody waits for it.
"""

from greenback import with_portal_run_sync

from ..config import Settings
from ..store import Store, keys
from ..store.leases import run_leased
from ..store.retention import STEP_EVENTS

LEASE_SECONDS = 30.0  # until an unrenewed lease ends; each step renews it
PAUSE_SECONDS = 0.1  # between two steps
REST_SECONDS = 10.0  # between two rounds through all rooms


class Trimmer:
    def __init__(self, settings: Settings, store: Store) -> None:
        self.messages = settings.keep_messages
        self.days = settings.keep_days
        self.store = store.retention
        self.lease = store.lease(keys.TRIM_LEASE, LEASE_SECONDS)
        self.rooms = self.store.rooms()  # that this round has yet to reach
        self.room = ""  # the one that is being trimmed

    async def run(self) -> None:
        """Trim until cancelled. Does nothing if all messages are kept."""
        if self.messages or self.days:
            await run_leased(self.lease, self._work, REST_SECONDS, "old messages")

    async def _work(self) -> float:
        return PAUSE_SECONDS if await with_portal_run_sync(self.step) else REST_SECONDS

    def step(self) -> bool:
        """Do one step. False if the round through all rooms is over."""
        gone = looked = 0
        while gone < STEP_EVENTS and looked < STEP_EVENTS:
            self.room = self.room or next(self.rooms, "")
            if not self.room:
                self.rooms = self.store.rooms()
                return False
            trimmed = self.store.trim(self.room, self.messages, self.days)
            gone, looked = gone + trimmed, looked + 1
            if trimmed < STEP_EVENTS:
                self.room = ""
        return True
