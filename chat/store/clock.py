"""The time of day that all hosts have in common: the database's.

Hosts' clocks differ, and somebody sets them. So nothing that one host writes and another compares
with "now" comes from a host's clock. Where the comparison is made in a script, the script asks
`TIME`. Where it is made in Python, it is made with `Clock.now`.

Asking the database each time would cost a round trip. A clock knows what the database said last,
and counts on from there by the machine's monotonic clock, which nobody sets. The presence of each
worker asks every two seconds (store.presence.Presence.look) and puts the clock right, so that a
clock of the database that is set, another database that takes over, and a machine that slept are
noticed within that time. In a cluster each node has a clock; this one is of the node that has
`chat:here`.
"""

import time
from typing import Any

from . import keys


class Clock:
    """`ask` is the script clock.lua."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._ahead: float | None = None  # seconds; of the database, before the monotonic clock

    def now(self) -> float:
        """Seconds since 1970. Asks the database the first time only; raises RedisError when it is
        away then."""
        if self._ahead is None:
            asked = time.monotonic()
            self.put_right(float(self._ask(keys=[keys.PRESENT])), asked)
        return self.estimate()

    def estimate(self) -> float:
        """The same, where nobody may wait: by the machine's clock until the database has said once
        what time it is. For what is shown, never for what is stored or refused for good."""
        return time.time() if self._ahead is None else time.monotonic() + self._ahead

    def put_right(self, now: float, asked: float) -> None:
        """The database said `now` when it was asked at `asked` by the monotonic clock. It said so
        between that and this moment."""
        self._ahead = now - (asked + time.monotonic()) / 2
