"""Deleting old events from the rooms' streams, and the files that messages still have."""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from . import keys
from .batches import ask_each, stored_ids
from .lua import Script

STEP_EVENTS = 500  # deleted by one script; also keys or ids that one command reads
DAY_MS = 24 * 3600 * 1000
NONCE_MS = DAY_MS  # after which no browser sends a deleted message again


class Retention:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._trim = Script(client, "trim")

    def held_among(self, files: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of these files (the ids of the room and of the file) that a message has."""
        asked = ((keys.files(rid), fid) for rid, fid in files)
        held = (score is not None for score in ask_each(self.client, "zscore", asked))
        return list(compress(files, held))

    def held(self) -> Iterator[tuple[str, set[str]]]:
        """The rooms whose messages have files, each with the ids of these."""
        for rid in stored_ids(self.client, keys.files, "zset", STEP_EVENTS):
            found = self.client.zscan_iter(keys.files(rid), count=STEP_EVENTS)
            yield rid, {fid for fid, _ in found}

    def place(self, name: str) -> str:
        """The id of the file storage that belongs to this database, which becomes `name` if it has
        none yet."""
        self.client.set(keys.FILES, name, nx=True)
        return str(self.client.get(keys.FILES))

    def rooms(self) -> Iterator[str]:
        """The ids of all rooms. An id may come twice."""
        return stored_ids(self.client, keys.room, size=STEP_EVENTS)

    def trim(self, rid: str, messages: int, days: int) -> int:
        """Delete events that are not among the newest `messages` (0: no limit) or that are older
        than `days` (0: no limit), but at most STEP_EVENTS. Returns how many were deleted: if it is
        STEP_EVENTS, there may be more."""
        age: dict[str, Any] = {"age_ms": days * DAY_MS, "nonce_ms": NONCE_MS}
        gone = self._trim(keys.of_room(rid), kept=messages, limit=STEP_EVENTS, **age)
        return int(gone)
