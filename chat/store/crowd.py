"""How many pages people and addresses have open, over all processes.

Each process writes down its own number for each, and that it is alive; what a process that died
had written down does not count any more.
"""

import time
from collections.abc import Iterable
from typing import Any

from . import keys

LASTS = 20  # seconds after its last beat that a process counts as alive
KEPT = 24 * 3600  # seconds after the last change that what was written down is kept


class Crowd:
    """`enter` is the script enter.lua."""

    def __init__(self, client: Any, enter: Any) -> None:
        self.client = client
        self._enter = enter

    def beat(self, process: str, now: float | None = None) -> list[str]:
        """A process is alive, to be said again well before LASTS is over; returns the others."""
        now = now or time.time()
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zadd(keys.PROCESSES, {process: now + LASTS})
        pipeline.zremrangebyscore(keys.PROCESSES, "-inf", now)
        pipeline.zrange(keys.PROCESSES, 0, -1)
        return [other for other in pipeline.execute()[2] if other != process]

    def enter(
        self,
        key: str,
        most: int,
        process: str,
        pages: int,
        others: Iterable[str],
        ask: bool = False,
    ) -> bool:
        """Write down that `process` has `pages` open; False, and nothing is written, when all
        together would have more than `most`. `ask`: nothing is written at all."""
        args = [most, process, pages, "" if ask else "1", *others]
        return bool(self._enter(keys=[key], args=args))

    def write(self, process: str, pages: dict[str, int]) -> None:
        """Write down how many pages `process` has open, by key; they are fewer than before."""
        pipeline = self.client.pipeline(transaction=False)
        for key, number in pages.items():
            if number:
                pipeline.hset(key, process, number)
                pipeline.expire(key, KEPT)
            else:
                pipeline.hdel(key, process)
        if pages:
            pipeline.execute()

    def end(self, process: str) -> None:
        """The process ends: nothing that it had open counts."""
        self.client.zrem(keys.PROCESSES, process)
