"""Rate limits: how many actions are allowed in how much time, counted in Redis for all processes.

The library `limits` would open connections of its own, which block the event loop or bypass the
shared connection. All that is needed is one key that expires.
"""

from typing import Any

from . import keys
from .lua import Script


class RateLimits:
    def __init__(self, client: Any) -> None:
        self._take = Script(client, "rate_limit")

    def take(
        self, what: str, whose: str, most: int, seconds: int, wanted: int = 1
    ) -> tuple[int, float]:
        """Take up to `wanted` from a bucket that holds `most` and is full again after `seconds`; if
        `wanted` is more than one, at most a quarter of what the bucket has. Returns how many were
        taken and, if none, the seconds until there is one."""
        given, wait = self._take(
            full_at=keys.rate_limit(what, whose), capacity=most, seconds=seconds, wanted=wanted
        )
        return int(given), int(wait) / 1000
