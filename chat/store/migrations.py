"""Migrations of the database to the version that this code expects.

The key `chat:schema` contains the version of the database. Without the key, the database is empty
or from before there were versions. A migration may be interrupted anywhere, and is then repeated.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from . import keys
from .batches import batched, stored_ids
from .leases import Lease
from .name_index import add_to_indexes
from .people import People

SCAN_COUNT = 500  # people or rooms in one step of a migration
LEASE_SECONDS = 30.0  # without a renewal, after which a server counts as dead while it migrates
POLL_SECONDS = 0.1  # between two checks whether another server has finished

# Brings the database to the next version. It yields between small steps, and may be repeated.
Migration = Callable[[Any], Iterable[None]]


class TooNew(Exception):
    """The database was written by a newer version of the chat. The text is for people."""


def _begin(client: Any) -> Iterable[None]:
    """0 to 1: from now on the database has a version."""
    return ()


def _find_lookalikes(client: Any) -> Iterable[None]:
    """1 to 2: an index of what names look like, and tags for existing people whose names look the
    same (People.tag_beside_older)."""
    people = People(client)
    for uids in _steps(client, keys.user):
        pipeline = client.pipeline(transaction=False)
        for person in people.several(uids):
            add_to_indexes(pipeline, person.uid, person.name)
        pipeline.execute()
        yield
    for uids in _steps(client, keys.user):
        for person in people.several(uids):
            if not person.tag and (tag := people.tag_beside_older(person)):
                client.hset(keys.user(person.uid), "tag", tag)
        yield


# Only if the record still exists: a guest may be deleted meanwhile.
_NAME = (
    "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"
)


def _name_records(client: Any) -> Iterable[None]:
    """2 to 3: the records of people and rooms contain their own ids, so that a reply with another
    record is noticed (store.verified)."""
    name = client.register_script(_NAME)
    for key, field in ((keys.user, "uid"), (keys.room, "rid")):
        for ids in _steps(client, key):
            for one in ids:
                name(keys=[key(one)], args=[field, one])
            yield


def _steps(client: Any, key: Callable[[str], str]) -> Iterator[list[str]]:
    """The ids of all people or rooms, SCAN_COUNT at a time."""
    return batched(stored_ids(client, key), SCAN_COUNT)


MIGRATIONS: tuple[Migration, ...] = (_begin, _find_lookalikes, _name_records)
VERSION = len(MIGRATIONS)


class Schema:
    """The version of the database. Migration n brings version n to n + 1."""

    def __init__(self, client: Any, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.client = client
        self.migrations = migrations
        self._lease = Lease(client, keys.SCHEMA_LEASE, LEASE_SECONDS)

    def version(self) -> int:
        """The version of the database, 0 if it has none. Raises TooNew if this code does not know
        it."""
        found, newest = int(self.client.get(keys.SCHEMA) or 0), len(self.migrations)
        if found > newest:
            raise TooNew(
                f"the database has version {found}, and this chat knows versions up to {newest}: "
                "install the newer chat that wrote it"
            )
        return found

    def prepare(self) -> None:
        """Bring the database to the newest version. If several servers start at once, one of them
        migrates, and the others wait for it. Raises TooNew."""
        while self.version() < len(self.migrations):
            if self._lease.acquire():
                try:
                    self._migrate()
                finally:
                    self._lease.release()
            else:
                time.sleep(POLL_SECONDS)

    def _migrate(self) -> None:
        for number in range(self.version(), len(self.migrations)):
            for _ in self.migrations[number](self.client):
                if not self._lease.acquire():
                    return  # this took so long that another server took over
            self.client.set(keys.SCHEMA, number + 1)
