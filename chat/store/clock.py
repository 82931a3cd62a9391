"""The clock that all hosts share: the database's.

The clocks of hosts differ, and people set them. So nothing that one host writes and another
compares with "now" comes from a host's clock. A comparison in a script uses `TIME`; a comparison in
Python uses `Clock.now`.

Asking the database each time would cost a round trip. So a `Clock` remembers what the database said
last, and adds the time of the machine's monotonic clock, which nobody sets. Each worker asks every
two seconds (store.presence.Presence.report) and corrects the clock. Within that time it notices
that the database's clock was set, that another database took over, or that the machine slept. In a
cluster, each node has a clock; this is the clock of the node with the key `chat:here`.
"""

import time
from typing import Any

from . import keys


class Clock:
    """`ask` is the script clock.lua."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        # Seconds by which the database's clock is ahead of the monotonic one.
        self._ahead: float | None = None

    def now(self) -> float:
        """Seconds since 1970. Asks the database only the first time; raises RedisError if it is
        unavailable then."""
        if self._ahead is None:
            asked = time.monotonic()
            self.correct(float(self._ask(keys=[keys.PRESENT])), asked)
        return self.estimate()

    def estimate(self) -> float:
        """Seconds since 1970, without waiting; by the host's clock until the database has been
        asked once. Only for display, never for stored times or final refusals."""
        return time.time() if self._ahead is None else time.monotonic() + self._ahead

    def correct(self, now: float, asked: float) -> None:
        """Set the clock: the database answered `now` to a question that was sent at `asked` by the
        monotonic clock, and whose answer has just arrived."""
        self._ahead = now - (asked + time.monotonic()) / 2
