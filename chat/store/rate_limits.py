"""So much in so much time, counted in Redis for all processes.

The library `limits` opens connections of its own, which would block the event loop or go around
the shared pipeline; what is needed is one key with an expiry.
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
        """Take up to `wanted`, and of several no more than a quarter of what is there, from a
        bucket that holds `most` and fills anew in `seconds`. Returns how many were taken and, for
        none, the seconds until there is one."""
        given, wait = self._take(
            full_at=keys.rate_limit(what, whose), capacity=most, seconds=seconds, wanted=wanted
        )
        return int(given), int(wait) / 1000
