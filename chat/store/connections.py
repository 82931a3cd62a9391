"""How many pages people and addresses have open, over all processes.

Each process writes down its own number for each, and that it is alive; what a process that died
had written down does not count any more.
"""

from collections.abc import Iterable
from typing import Any

from . import keys
from .lua import Script

ALIVE_SECONDS = 20  # seconds after its last beat that a process counts as alive
UNHEARD_SECONDS = 6  # without a word of any process, after which none is taken to have died
KEPT_SECONDS = 24 * 3600  # seconds after the last change that what was written down is kept


class ConnectionCounts:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._heartbeat = Script(client, "heartbeat")
        self._open_page = Script(client, "open_page")

    def beat(self, process: str) -> list[str]:
        """Report a living process, well before ALIVE_SECONDS are over; returns the others."""
        alive: list[str] = self._heartbeat(
            processes=keys.PROCESSES,
            alive_seconds=ALIVE_SECONDS,
            silence_seconds=UNHEARD_SECONDS,
            process=process,
        )
        return [other for other in alive if other != process]

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
        return bool(
            self._open_page(
                pages=key,
                limit=most,
                process=process,
                count=pages,
                ask_only="1" if ask else "",
                rest=others,
            )
        )

    def write(self, process: str, pages: dict[str, int]) -> None:
        """Write down how many pages `process` has open, by key; they are fewer than before."""
        pipeline = self.client.pipeline(transaction=False)
        for key, number in pages.items():
            if number:
                pipeline.hset(key, process, number)
                pipeline.expire(key, KEPT_SECONDS)
            else:
                pipeline.hdel(key, process)
        if pages:
            pipeline.execute()

    def end(self, process: str) -> None:
        """The process ends: nothing that it had open counts."""
        self.client.zrem(keys.PROCESSES, process)
