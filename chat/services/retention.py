"""Deletes old data in the background: messages, as CHAT_KEEP_MESSAGES and CHAT_KEEP_DAYS say, and
guests who will not come back (store.guests describes what is deleted of them).

One process at a time does each, in rounds of small steps, so that nobody waits for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from obstore.exceptions import BaseError

from ..config import Settings
from ..media.avatars import Pictures
from ..store import Store, keys
from ..store.leases import Lease, run_leased
from ..store.retention import STEP_EVENTS, Retention

PAUSE_SECONDS = 0.1  # between two steps


@dataclass(eq=False)
class Cleanup:
    """Deletes data of one kind.

    lease: each step renews it.
    begin: begins a round, which yields True after each step.
    what: the data, for the log.
    rest_seconds: between two rounds.
    first_seconds: until the first round.
    """

    lease: Lease
    begin: Callable[[], Iterator[bool]]
    what: str
    rest_seconds: float
    first_seconds: float = 0.0
    _round: Iterator[bool] | None = None

    async def run(self) -> None:
        """Clean up until cancelled."""
        await asyncio.sleep(self.first_seconds)
        await run_leased(self.lease, self.step, self.rest_seconds, self.what, (BaseError,))

    def step(self) -> float | None:
        """Do one step of a round. Returns the seconds until the next one, or None when the round is
        over."""
        steps, self._round = self._round or self.begin(), None
        if not next(steps, False):
            return None
        self._round = steps  # after an error, this is not reached, and a new round begins
        return PAUSE_SECONDS


def cleanups(settings: Settings, store: Store, pictures: Pictures) -> Iterator[Cleanup]:
    """The cleanups that the settings ask for."""
    messages, days = settings.keep_messages, settings.keep_days
    if messages or days:
        trim = partial(_trim, store.retention, messages, days)
        yield Cleanup(store.lease(keys.TRIM_LEASE, 30.0), trim, "old messages", 10.0)
    forget = partial(_forget_guests, store, pictures, settings.guest_days)
    yield Cleanup(store.lease(keys.GUESTS_LEASE, 120.0), forget, "absent guests", 3600.0, 90.0)


def _trim(store: Retention, messages: int, days: int) -> Iterator[bool]:
    """Delete old messages of all rooms. A step deletes, or looks at, about STEP_EVENTS."""
    gone = looked = 0
    for rid in store.rooms():
        trimmed = STEP_EVENTS
        while trimmed == STEP_EVENTS:
            trimmed = store.trim(rid, messages, days)
            gone, looked = gone + trimmed, looked + 1
            if max(gone, looked) >= STEP_EVENTS:
                yield True
                gone = looked = 0


def _forget_guests(store: Store, pictures: Pictures, days: int) -> Iterator[bool]:
    """Forget guests who have been away for that many `days`, and delete their pictures."""
    for uids in store.guests.forget(days):
        for uid in uids:
            pictures.delete(uid)
        yield True
