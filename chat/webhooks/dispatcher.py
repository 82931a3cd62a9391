"""Sends messages to the webhooks of bots: one process at a time, which holds the lease.

`queueing` decides which messages are queued, `attempts` starts the deliveries that are due, and
`delivery` sends one. A process that takes the lease reads everything again, and goes on where the
previous one stopped.
"""

import asyncio
from contextlib import suppress

from greenback import with_portal_run_sync

from ..redis_client.pubsub import PubSub
from ..redis_client.topology import Topology
from ..store import Store, keys
from ..store.leases import run_leased
from .attempts import Attempts
from .delivery import Sender
from .queueing import Queueing

LEASE_SECONDS = 12.0
RENEW_SECONDS = 3.0  # between two renewals of the lease, or two tries to take it
POLL_SECONDS = 1.0  # between two searches for deliveries that are due


class Dispatcher:
    """Runs in every process, until it is cancelled."""

    def __init__(self, store: Store, topology: Topology, sender: Sender) -> None:
        self._store = store
        self._topology = topology
        self._sender = sender
        self._lease = store.lease(keys.WEBHOOKS_LEASE, LEASE_SECONDS)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Dispatch whenever this process holds the lease."""
        await run_leased(self._lease, self._lead, RENEW_SECONDS, "webhooks")

    async def _lead(self) -> float:
        """Queue and deliver until the lease is lost; returns the seconds until the next try."""
        queueing = Queueing(self._store)
        attempts = Attempts(self._store, self._sender, queueing, self._wake.set)

        def on_message(channel: str, text: str) -> None:
            if queueing.on_message(channel, text):
                self._wake.set()

        def on_subscribed(channel: str, again: bool) -> None:
            queueing.on_subscribed(channel)
            self._wake.set()

        channels = PubSub(self._topology, on_message, on_subscribed)
        subscription = asyncio.create_task(channels.run())
        try:
            _subscribe(channels, {keys.WEBHOOKS})
            while True:
                self._wake.clear()
                if not await with_portal_run_sync(self._turn, queueing, attempts):
                    return RENEW_SECONDS
                _subscribe(channels, queueing.channels())
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
        finally:
            subscription.cancel()
            await attempts.cancel()
            await asyncio.gather(subscription, return_exceptions=True)

    def _turn(self, queueing: Queueing, attempts: Attempts) -> bool:
        """Queue new messages and start due deliveries; False if another process has the lease."""
        if not self._lease.renew(RENEW_SECONDS):
            return False
        queueing.queue_new()
        attempts.start_due()
        return True


def _subscribe(channels: PubSub, wanted: set[str]) -> None:
    """Subscribe to these channels and no others."""
    names = set(channels.names)
    for name in wanted - names:
        channels.add(name)
    for name in names - wanted:
        channels.drop(name)
