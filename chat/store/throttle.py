"""So many tries in so much time, counted in Redis for all processes.

The library `limits` opens connections of its own, which would block the event loop or go around
the shared pipeline; what is needed is one INCR with an expiry.
"""

from typing import Any

from . import keys


class Throttle:
    """`count` is the script count.lua."""

    def __init__(self, count: Any) -> None:
        self._count = count

    def is_too_much(self, what: str, whose: str, most: int, seconds: int) -> bool:
        """Count a try; True when it is more than the `most`th within `seconds`."""
        tries = self._count(keys=[keys.throttle(what, whose)], args=[seconds])
        return int(tries) > most
