"""One-time links for the first administrator, stored as digests until they are used or expire."""

import hashlib
import secrets
from typing import Any

from . import keys
from .clock import Clock
from .verified import Verified

LINK_SECONDS = 24 * 3600
MAX_LINKS = 20  # that work at the same time: each start of the chat makes one


class SetupLinks:
    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self._verified = Verified(client)

    def make(self) -> str:
        """Make a link that works for LINK_SECONDS, and return its secret. Older links still work,
        because several hosts may start at the same time, and each prints its own."""
        secret, now = secrets.token_urlsafe(24), self.clock.now()
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zadd(keys.SETUP_LINKS, {_digest(secret): now + LINK_SECONDS})
        pipeline.zremrangebyscore(keys.SETUP_LINKS, "-inf", now)
        pipeline.zremrangebyrank(keys.SETUP_LINKS, 0, -1 - MAX_LINKS)
        pipeline.expire(keys.SETUP_LINKS, LINK_SECONDS)
        pipeline.execute()
        return secret

    def is_valid(self, secret: str) -> bool:
        """True for the secret of a link that has not expired."""
        until = self._verified.one("ZSCORE", keys.SETUP_LINKS, _digest(secret))
        return until is not None and float(until) > self.clock.now()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
