"""Records changes that consist of several writes, until they are finished.

Data that belong together are in one slot of a cluster, where one command or script changes them. If
a change is more than that, a server may die between two writes, or an answer may be lost. Such a
change is recorded in `chat:unfinished` before it begins, and removed when it has ended. Changes
that stay there are finished by a background job (`chat.services.unfinished_changes`), or when
somebody makes the same change again.

Finishing makes the second write agree with the first. It works however far the change came, can be
repeated, and can happen while the change is still going on.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from ..domain.errors import ChatError
from . import keys

ROOM, MEMBER, SEATS, NAME = "room", "member", "seats", "name"  # kinds of changes
LOGIN, SUBJECT, FIRST_ADMIN = "login", "subject", "admin"
AT_ONCE = 100  # entries that one command reads


class Unfinished:
    def __init__(self, client: Any) -> None:
        self.client = client

    @contextmanager
    def change(self, kind: str, *about: str) -> Iterator[None]:
        """Record that a change begins, and remove the record if it succeeds or is refused. `about`
        is what `Store.finish` needs to know about a change of this kind."""
        entry = json.dumps([kind, *about, secrets.token_urlsafe(9)], ensure_ascii=False)
        self.client.sadd(keys.UNFINISHED, entry)
        try:
            yield
        except ChatError:
            self.take_out(entry)
            raise
        self.take_out(entry)

    def take_out(self, entry: str) -> None:
        """Remove the record of a change that has ended. If that fails, no RedisError is raised,
        because finishing the change once more does no harm."""
        with suppress(RedisError, OSError):
            self.client.srem(keys.UNFINISHED, entry)

    def entries(self) -> set[str]:
        """The records of changes that have begun and not ended."""
        return set(self.client.sscan_iter(keys.UNFINISHED, count=AT_ONCE))


def parsed(entry: str) -> tuple[str, list[str]]:
    """The kind of a recorded change, and what it is about."""
    kind, *about, _ = json.loads(entry)
    return kind, about
