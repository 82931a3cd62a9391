"""How much of each room is kept. What is older goes, from the front of its stream."""

from collections.abc import Iterator, Sequence
from typing import Any

from . import keys
from .batches import ask_each, stored_ids
from .lua import Script

STEP = 500  # events that go in one script, and keys that are looked at in one command
DAY_MS = 24 * 3600 * 1000
NONCE_MS = DAY_MS  # ms after which a message that has gone is not sent again


class Retention:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._trim = Script(client, "trim")

    def hold(self, files: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether messages hold these files, each a room's id and its own."""
        asked = ((keys.files(rid), fid) for rid, fid in files)
        return [score is not None for score in ask_each(self.client, "zscore", asked)]

    def held(self) -> Iterator[tuple[str, set[str]]]:
        """The rooms whose messages hold files, each with the ids of those."""
        for rid in stored_ids(self.client, keys.files, "zset", STEP):
            yield rid, {fid for fid, _ in self.client.zscan_iter(keys.files(rid), count=STEP)}

    def place(self, name: str) -> str:
        """The name of the place where this database's files are; `name` where it has none yet."""
        self.client.set(keys.FILES, name, nx=True)
        return str(self.client.get(keys.FILES))

    def rooms(self) -> Iterator[str]:
        """The ids of all rooms, a few at a time. One may come twice."""
        return stored_ids(self.client, keys.room, size=STEP)

    def trim(self, rid: str, messages: int, days: int) -> int:
        """Let go what is beyond the newest so many events (0: all are kept) or older than so
        many days (0: however old), STEP of them at most. Returns how many have gone: when it is
        STEP, there may be more."""
        return int(
            self._trim(
                keys.of_room(rid),
                kept=messages,
                age_ms=days * DAY_MS,
                limit=STEP,
                nonce_ms=NONCE_MS,
            )
        )
