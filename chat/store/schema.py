"""The form of what is stored has a number, and older forms are brought up to it, once.

The number stands in the key `chat:schema`; where there is none, the database is empty or older
than the number. A migration may be cut off anywhere and begin anew: repeating it does no harm.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import keys

LEASE = 30.0  # seconds after which a server that migrates and says nothing has died of it
LOOK = 0.1  # seconds between two looks at whether another one has finished

# Brings the database one number up. It yields between small steps, and may be repeated.
Migration = Callable[[Any], Iterable[None]]


class TooNew(Exception):
    """The database was written by a newer chat; the text is one line for a person."""


def _begin(client: Any) -> Iterable[None]:
    """0 to 1: nothing changes but that there is a number from now on."""
    return ()


MIGRATIONS: tuple[Migration, ...] = (_begin,)
VERSION = len(MIGRATIONS)


class Schema:
    """`lease` is the script lease.lua; migration n brings number n to n + 1."""

    def __init__(
        self, client: Any, lease: Any, migrations: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self.client = client
        self.migrations = migrations
        self._lease = lease
        self._name = secrets.token_urlsafe(12)

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
            if self._hold(LEASE):
                try:
                    self._migrate()
                finally:
                    self._hold(0)
            else:
                time.sleep(LOOK)

    def _migrate(self) -> None:
        for number in range(self.version(), len(self.migrations)):
            for _ in self.migrations[number](self.client):
                if not self._hold(LEASE):
                    return  # held up for so long that another one took over
            self.client.set(keys.SCHEMA, number + 1)

    def _hold(self, seconds: float) -> bool:
        return bool(self._lease(keys=[keys.SCHEMA_LEASE], args=[self._name, int(seconds * 1000)]))
