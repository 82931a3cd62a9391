"""The form of what is stored has a number, and older forms are brought up to it, once.

The number stands in the key `chat:schema`; where there is none, the database is empty or older
than the number. A migration may be cut off anywhere and begin anew: repeating it does no harm.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import keys
from .batches import batched, stored_ids
from .leases import Lease
from .name_index import add_to_indexes
from .people import People

SCAN_COUNT = 500  # people in one step of a migration
LEASE_SECONDS = 30.0  # seconds after which a server that migrates and says nothing has died of it
POLL_SECONDS = 0.1  # seconds between two looks at whether another one has finished

# Brings the database one number up. It yields between small steps, and may be repeated.
Migration = Callable[[Any], Iterable[None]]


class TooNew(Exception):
    """The database was written by a newer chat; the text is one line for a person."""


def _begin(client: Any) -> Iterable[None]:
    """0 to 1: nothing changes but that there is a number from now on."""
    return ()


def _find_lookalikes(client: Any) -> Iterable[None]:
    """1 to 2: an index of what names look like. People who were here before it have a tag where
    somebody of more rights looks the same, or, of equal ones, somebody whose id comes first."""
    people = People(client)
    for uids in batched(stored_ids(client, keys.user), SCAN_COUNT):
        pipeline = client.pipeline(transaction=False)
        for person in people.several(uids):
            add_to_indexes(pipeline, person.uid, person.name)
        pipeline.execute()
        yield
    for uids in batched(stored_ids(client, keys.user), SCAN_COUNT):
        for person in people.several(uids):
            if not person.tag and (tag := people.tag_beside_older(person)):
                client.hset(keys.user(person.uid), "tag", tag)
        yield


# Of what is there already: a guest may be forgotten meanwhile.
_NAME = (
    "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"
)


def _name_records(client: Any) -> Iterable[None]:
    """2 to 3: the record of each person and each room contains its own id, so that a reply that is
    about another one is noticed (store.verified)."""
    name = client.register_script(_NAME)
    for uids in batched(stored_ids(client, keys.user), SCAN_COUNT):
        for uid in uids:
            name(keys=[keys.user(uid)], args=["uid", uid])
        yield
    for rids in batched(stored_ids(client, keys.room), SCAN_COUNT):
        for rid in rids:
            name(keys=[keys.room(rid)], args=["rid", rid])
        yield


MIGRATIONS: tuple[Migration, ...] = (_begin, _find_lookalikes, _name_records)
VERSION = len(MIGRATIONS)


class Schema:
    """Migration n brings number n to n + 1."""

    def __init__(self, client: Any, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.client = client
        self.migrations = migrations
        self._lease = Lease(client, keys.SCHEMA_LEASE, LEASE_SECONDS)

    def version(self) -> int:
        """The number of the database, 0 where there is none. Raises TooNew when it is none that
        this code knows."""
        found, newest = int(self.client.get(keys.SCHEMA) or 0), len(self.migrations)
        if found > newest:
            raise TooNew(
                f"the database has form {found}, and this chat knows forms up to {newest}: "
                "install the newer chat that wrote it"
            )
        return found

    def prepare(self) -> None:
        """Bring the database up to the newest form. Of several servers that start at once, one
        does it, and the others wait until it is done. Raises TooNew."""
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
                    return  # held up for so long that another one took over
            self.client.set(keys.SCHEMA, number + 1)
