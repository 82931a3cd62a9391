"""Changes that consist of several writes, while they last.

What belongs together is in one slot of a cluster and is changed by one command or script. Where a
change is more than that, a server may die between two of its writes, or the answer of one may be
lost. Such a change is written down in `chat:unfinished` before it begins, and taken out when it has
ended. What stays there is finished by the background job (`chat.services.unfinished_changes`);
making the same change again finishes it too.

To finish is to make what was written second agree with what was written first. It needs no word on
how far the change came, may be repeated, and may happen while the change goes on.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from ..domain.errors import ChatError
from . import keys

ROOM, MEMBER, SEATS, NAME = "room", "member", "seats", "name"  # the kinds of changes
LOGIN, SUBJECT, FIRST_ADMIN = "login", "subject", "admin"
AT_ONCE = 100  # entries that are read in one command


class Unfinished:
    def __init__(self, client: Any) -> None:
        self.client = client

    @contextmanager
    def change(self, kind: str, *about: str) -> Iterator[None]:
        """Write down that a change begins, and take it out when it has succeeded or was refused.
        `about` is what `Store.finish` needs to know of a change of this kind."""
        entry = json.dumps([kind, *about, secrets.token_urlsafe(9)], ensure_ascii=False)
        self.client.sadd(keys.UNFINISHED, entry)
        try:
            yield
        except ChatError:
            self.take_out(entry)
            raise
        self.take_out(entry)

    def take_out(self, entry: str) -> None:
        """The change has ended. Where that cannot be written down, it is finished once more, which
        changes nothing; so no RedisError is raised."""
        with suppress(RedisError, OSError):
            self.client.srem(keys.UNFINISHED, entry)

    def entries(self) -> set[str]:
        """The changes that have begun and not ended."""
        return set(self.client.sscan_iter(keys.UNFINISHED, count=AT_ONCE))


def parsed(entry: str) -> tuple[str, list[str]]:
    """The kind of a change, and what it is about."""
    kind, *about, _ = json.loads(entry)
    return kind, about
