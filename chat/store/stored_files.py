"""The bytes of stored files: of each person, of all guests together and of the whole chat.

Every stored file has an entry, which is made before the file is written and removed after the file
is deleted. The same scripts change the sums, so the sums are exact. A crash leaves an entry without
a file, which is found by its age (`media.orphan_cleanup.miscounted`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import keys
from .batches import batched, scanned
from .lua import Script
from .person import GUEST, Person

SCAN_COUNT = 500  # entries in one answer


@dataclass(frozen=True, slots=True)
class Quotas:
    """The maximum bytes of files: of one person, of one guest, of all guests together and of the
    whole chat. 0 for no limit."""

    person: int = 0
    guest: int = 0
    guests: int = 0
    chat: int = 0

    def of(self, person: Person) -> int:
        """The maximum for this person."""
        return self.guest if person.role == GUEST else self.person


@dataclass(frozen=True, slots=True)
class Stored:
    """A file `fid` of room `rid` that counts for the person `uid`. `at` is in seconds since 1970,
    by the database's clock."""

    fid: str
    uid: str
    size: int
    at: int
    rid: str


@dataclass(frozen=True, slots=True)
class Full:
    """A quota that a file would exceed: "person", "guests" or "chat"; and the bytes used of it."""

    what: str
    used: int


class StoredFiles:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._count = Script(client, "count_file")
        self._uncount = Script(client, "uncount_file")
        self._recount = Script(client, "recount_files")

    def keep(
        self, fid: str, rid: str, by: Person, size: int, quotas: Quotas | None = None
    ) -> Full | None:
        """Count `size` bytes for a file of a person, instead of what was counted for it before.
        Returns the quota that this would exceed, and then counts nothing; otherwise None."""
        limits = quotas or Quotas()
        what, used = self._count(
            keys.STORED,
            fid=fid,
            uid=by.uid,
            rid=rid,
            bytes=size,
            guest="1" if by.role == GUEST else "",
            person_limit=limits.of(by),
            guests_limit=limits.guests,
            chat_limit=limits.chat,
        )
        return Full(what, int(used)) if what else None

    def drop(self, fids: Sequence[str]) -> None:
        """Stop counting these files. It may be repeated."""
        for some in batched(fids, SCAN_COUNT):
            self._uncount(keys.STORED, rest=some)

    def of(self, uid: str) -> int:
        """Return how many bytes of files count for a person."""
        return int(self.client.zscore(keys.STORED[1], uid) or 0)

    def largest(self, count: int) -> list[tuple[str, int]]:
        """Return the ids of the people with the most bytes, and their bytes."""
        found = self.client.zrevrange(keys.STORED[1], 0, count - 1, withscores=True)
        return [(uid, int(size)) for uid, size in found]

    def sums(self) -> tuple[int, int]:
        """Return the bytes of the whole chat, and how many of them belong to guests."""
        size, guests = self.client.hmget(keys.STORED[2], "bytes", "guests")
        return int(size or 0), int(guests or 0)

    def missing(self, fids: Sequence[str]) -> list[str]:
        """Return those of these files that are not counted."""
        found = self.client.hmget(keys.STORED[0], fids) if fids else []
        return [fid for fid, entry in zip(fids, found, strict=True) if entry is None]

    def since(self, fids: Sequence[str], at: float) -> set[str]:
        """Return those of these files that were counted at this time (s since 1970) or later."""
        found = self.client.hmget(keys.STORED[0], fids) if fids else []
        entries = zip(fids, found, strict=True)
        return {fid for fid, entry in entries if entry and _stored(fid, entry).at >= at}

    def all(self) -> Iterator[list[Stored]]:
        """All entries, some at a time. An entry may come twice."""
        for some in scanned(self.client.hscan_iter, keys.STORED[0], SCAN_COUNT):
            yield [_stored(fid, entry) for fid, entry in some]

    def wrong_sums(self, repair: bool = False) -> int:
        """Return how many sums differ from those of the entries. With `repair`, they are
        corrected."""
        return int(self._recount(keys.STORED, repair="1" if repair else ""))


def _stored(fid: str, entry: str) -> Stored:
    uid, size, at, rid = entry.split(" ")[:4]
    return Stored(fid, uid, int(size), int(at), rid)
