"""What is due, and how much of it is under way at once."""

import asyncio
import logging
import random
from collections.abc import Callable

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from ..store import Store
from ..store.webhooks import Delivery
from .delivery import Outcome, Sender
from .queueing import Queueing, now_ms

log = logging.getLogger(__name__)

MAX_RUNNING = 100  # deliveries under way
MAX_RUNNING_PER_BOT = 4  # of these; one for a bot whose last delivery failed
REST_SECONDS = 5.0  # before a delivery is tried again whose end could not be written down


class Attempts:
    """The deliveries that this process has under way. `on_end` is called after each."""

    def __init__(
        self, store: Store, sender: Sender, queueing: Queueing, on_end: Callable[[], None]
    ) -> None:
        self._store = store
        self._sender = sender
        self._queueing = queueing
        self._on_end = on_end
        self._failing: set[str] = set()  # bots whose last delivery failed
        self._running: dict[tuple[str, str, int], asyncio.Task[None]] = {}

    def start_due(self) -> None:
        """Begin what is due, as much as may be under way at once. A program that is slow delays
        no bot but its own."""
        pending = self._queueing.pending
        for uid in random.sample(sorted(pending), len(pending)):
            running = sum(key[0] == uid for key in self._running)
            most = 1 if uid in self._failing else MAX_RUNNING_PER_BOT
            free = min(most - running, MAX_RUNNING - len(self._running))
            if free <= 0:
                continue
            limit = MAX_RUNNING_PER_BOT + free
            due, queued = self._store.webhooks.due(uid, now_ms(self._store), limit)
            due = [delivery for delivery in due if _key(delivery) not in self._running]
            for delivery in due[:free]:
                self._running[_key(delivery)] = asyncio.create_task(self._attempt(delivery))
            if not queued:
                pending.discard(uid)

    async def cancel(self) -> None:
        """End all that is under way; it stays in its queue."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            outcome = await self._sender.attempt(delivery)
        except (RedisError, OSError) as error:
            log.warning("how a delivery to a webhook went could not be written down: %s", error)
            await asyncio.sleep(REST_SECONDS)
        except Exception:
            log.exception("a delivery to a webhook failed")
            self._failing.add(delivery.uid)
            why = "An error occurred in the chat."
            await with_portal_run_sync(self._sender.fail, delivery, why)
        else:
            self._note(delivery.uid, outcome)
        finally:
            self._running.pop(_key(delivery), None)
            self._on_end()

    def _note(self, uid: str, outcome: Outcome) -> None:
        if outcome is Outcome.FAILED:
            self._failing.add(uid)
        elif outcome is Outcome.DELIVERED:
            self._failing.discard(uid)
        else:
            self._queueing.mark_changed(uid)


def _key(delivery: Delivery) -> tuple[str, str, int]:
    return delivery.uid, delivery.rid, delivery.seq
