"""Counts the pages that people and addresses have open, in all processes together.

Each process stores its own numbers and a heartbeat. The numbers of a process that died do not
count.
"""

from collections.abc import Iterable
from typing import Any

from . import keys
from .lua import Script

ALIVE_SECONDS = 20  # for which a process counts as alive after its last heartbeat
SILENCE_SECONDS = 6  # without any heartbeat, after which all processes count as alive again
COUNT_SECONDS = 24 * 3600  # for which a count is kept after its last change


class ConnectionCounts:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._heartbeat = Script(client, "heartbeat")
        self._open_page = Script(client, "open_page")

    def beat(self, process: str) -> list[str]:
        """Store a heartbeat of this process; call it well before ALIVE_SECONDS are over. Returns
        the other processes that are alive."""
        alive: list[str] = self._heartbeat(
            processes=keys.PROCESSES,
            alive_seconds=ALIVE_SECONDS,
            silence_seconds=SILENCE_SECONDS,
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
        """Store that `process` has `pages` open. Returns False and stores nothing if all processes
        together would have more than `most`. `ask`: only ask, and store nothing."""
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
        """Store how many pages `process` has open, by key, after they have become fewer."""
        pipeline = self.client.pipeline(transaction=False)
        for key, number in pages.items():
            if number:
                pipeline.hset(key, process, number)
                pipeline.expire(key, COUNT_SECONDS)
            else:
                pipeline.hdel(key, process)
        if pages:
            pipeline.execute()

    def end(self, process: str) -> None:
        """Stop counting the pages of a process that ends."""
        self.client.zrem(keys.PROCESSES, process)
