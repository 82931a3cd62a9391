"""Starts the deliveries that are due, within limits of how many run at once."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from ..store import Store
from ..store.webhooks import Delivery
from .delivery import Outcome, Sender
from .queueing import Queueing, now_ms

log = logging.getLogger(__name__)

MAX_RUNNING = 100  # deliveries at once
MAX_RUNNING_PER_BOT = 4  # of these; one for a bot whose last delivery failed
REST_SECONDS = 5.0  # before a delivery is repeated whose result could not be stored


@dataclass(eq=False)
class Attempts:
    """The deliveries that this process is running. `on_end` is called after each."""

    store: Store
    sender: Sender
    queueing: Queueing
    on_end: Callable[[], None]
    failing: set[str] = field(default_factory=set)  # bots whose last delivery failed
    running: dict[tuple[str, str, int], asyncio.Task[None]] = field(default_factory=dict)

    def start_due(self) -> None:
        """Start the deliveries that are due, as many as may run at once. A slow program delays only
        its own bot."""
        pending = self.queueing.pending
        for uid in random.sample(sorted(pending), len(pending)):
            running = sum(key[0] == uid for key in self.running)
            most = 1 if uid in self.failing else MAX_RUNNING_PER_BOT
            free = min(most - running, MAX_RUNNING - len(self.running))
            if free <= 0:
                continue
            limit = MAX_RUNNING_PER_BOT + free
            due, queued = self.store.webhooks.due(uid, now_ms(self.store), limit)
            due = [delivery for delivery in due if _key(delivery) not in self.running]
            for delivery in due[:free]:
                self.running[_key(delivery)] = asyncio.create_task(self._attempt(delivery))
            if not queued:
                pending.discard(uid)

    async def cancel(self) -> None:
        """Cancel all running deliveries; they stay in their queues."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            outcome = await self.sender.attempt(delivery)
        except (RedisError, OSError) as error:
            log.warning("the result of a delivery to a webhook could not be stored: %s", error)
            await asyncio.sleep(REST_SECONDS)
        except Exception:
            log.exception("a delivery to a webhook failed")
            self.failing.add(delivery.uid)
            why = "An error occurred in the chat."
            await with_portal_run_sync(self.sender.fail, delivery, why)
        else:
            if outcome is Outcome.FAILED:
                self.failing.add(delivery.uid)
            elif outcome is Outcome.DELIVERED:
                self.failing.discard(delivery.uid)
            else:
                self.queueing.changed.add(delivery.uid)
        finally:
            self.running.pop(_key(delivery), None)
            self.on_end()


def _key(delivery: Delivery) -> tuple[str, str, int]:
    return delivery.uid, delivery.rid, delivery.seq
