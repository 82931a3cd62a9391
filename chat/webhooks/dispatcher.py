"""Sends messages to the webhooks of bots: one process at a time, which holds the lease.

`queueing` decides which messages are queued, and `delivery` sends one. A process that takes the
lease reads everything again, and goes on where the previous one stopped.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field

from greenback import await_, with_portal_run_sync
from redis.exceptions import RedisError

from ..redis_client.pubsub import PubSub
from ..redis_client.topology import Topology
from ..store import Store, keys
from ..store.leases import run_leased
from ..store.webhooks import Delivery
from .delivery import Sender
from .queueing import Queueing, now_ms

log = logging.getLogger(__name__)

LEASE_SECONDS = 12.0
RENEW_SECONDS = 3.0  # between two renewals of the lease, or two tries to take it
POLL_SECONDS = 1.0  # between two searches for deliveries that are due
MAX_RUNNING = 100  # deliveries at once
MAX_RUNNING_PER_BOT = 4  # of these; one for a bot whose last delivery failed
REST_SECONDS = 5.0  # before a delivery is repeated because its result could not be stored


@dataclass(eq=False)
class Attempts:
    """The deliveries that this process is running, within limits of how many run at once."""

    sender: Sender
    queueing: Queueing
    failing: set[str] = field(default_factory=set)  # bots whose last delivery failed
    running: dict[tuple[str, str, int], asyncio.Task[None]] = field(default_factory=dict)

    def start_due(self) -> None:
        """Start the deliveries that are due, as many as may run at once. A slow program delays only
        its own bot."""
        pending, store = self.queueing.pending, self.sender.store
        for uid in random.sample(sorted(pending), len(pending)):
            running = sum(key[0] == uid for key in self.running)
            most = 1 if uid in self.failing else MAX_RUNNING_PER_BOT
            free = min(most - running, MAX_RUNNING - len(self.running))
            if free <= 0:
                continue
            limit = MAX_RUNNING_PER_BOT + free
            due, queued = store.webhooks.due(uid, now_ms(store), limit)
            due = [delivery for delivery in due if _key(delivery) not in self.running]
            for delivery in due[:free]:
                attempt = with_portal_run_sync(self._attempt, delivery)
                self.running[_key(delivery)] = asyncio.create_task(attempt)
            if not queued:
                pending.discard(uid)

    async def cancel(self) -> None:
        """Cancel all running deliveries; they stay in their queues."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _attempt(self, delivery: Delivery) -> None:
        try:
            is_delivered = self.sender.attempt(delivery)
        except (RedisError, OSError) as error:
            log.warning("the result of a delivery to a webhook could not be stored: %s", error)
            await_(asyncio.sleep(REST_SECONDS))
        except Exception:
            log.exception("a delivery to a webhook failed")
            self.failing.add(delivery.uid)
            self.sender.fail(delivery, "An error occurred in the chat.")
        else:
            if is_delivered is None:
                self.queueing.changed.add(delivery.uid)
            elif is_delivered:
                self.failing.discard(delivery.uid)
            else:
                self.failing.add(delivery.uid)
        finally:
            self.running.pop(_key(delivery), None)
            self.queueing.wake()


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

    def _lead(self) -> None:
        """Queue and deliver until the lease is lost."""
        queueing = Queueing(self._store, self._wake.set)
        attempts = Attempts(self._sender, queueing)
        channels = PubSub(self._topology, queueing.on_message, queueing.on_subscribed)
        subscription = asyncio.create_task(channels.run())
        try:
            _subscribe(channels, {keys.WEBHOOKS})
            while self._lease.renew(RENEW_SECONDS):
                self._wake.clear()
                queueing.queue_new()
                attempts.start_due()
                _subscribe(channels, queueing.channels())
                poll = asyncio.get_running_loop().call_later(POLL_SECONDS, self._wake.set)
                await_(self._wake.wait())
                poll.cancel()
        finally:
            subscription.cancel()
            await_(attempts.cancel())
            await_(asyncio.gather(subscription, return_exceptions=True))


def _subscribe(channels: PubSub, wanted: set[str]) -> None:
    """Subscribe to these channels and no others."""
    names = set(channels.names)
    for name in wanted - names:
        channels.add(name)
    for name in names - wanted:
        channels.drop(name)


def _key(delivery: Delivery) -> tuple[str, str, int]:
    return delivery.uid, delivery.rid, delivery.seq
