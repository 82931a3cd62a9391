"""Failed sign-ins in the log, for people and for programs such as fail2ban (docs/hosting.md).

    sign-in failed from 203.0.113.7: wrong password (person q3ZkT0c5…)

A line names the network of the attempt, the reason, and the person's id if the login exists. It
never quotes what was typed, because people type passwords into the login field by mistake. The
reason always begins with our own words, so nobody can forge a line.

Many attempts must not fill the disk. A process writes at most MAX_LINES_PER_NETWORK lines a minute
about one network, and MAX_LINES in total. It counts the other attempts and writes their number as
one line at the end of the minute.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network

log = logging.getLogger("chat.failed_sign_ins")  # the filter in docs/hosting.md looks for the name

MINUTE_SECONDS = 60.0
MAX_LINES_PER_NETWORK = 10  # in a minute; fail2ban bans after fewer
MAX_LINES = 100  # in a minute
MAX_NETWORKS = 10_000  # that are counted separately, of attempts without a line


class FailedSignIns:
    """Logs the failures of this process. `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over = 0.0  # when the current minute ends
        self._lines: Counter[str] = Counter()  # by network
        self._more = 0  # failures without a line
        self._networks: set[str] = set()  # of those failures

    def note(self, network: str, reason: str) -> None:
        """Write a line about a failure, or count it."""
        if self._clock() >= self._over:
            self.sum_up()
            self._over = self._clock() + MINUTE_SECONDS
        seen = _written(network)
        if self._lines[seen] < MAX_LINES_PER_NETWORK and self._lines.total() < MAX_LINES:
            self._lines[seen] += 1
            log.warning("sign-in failed from %s: %s", seen, reason)
            return
        if not self._more:
            with suppress(RuntimeError):  # without an event loop, the next failure sums up
                loop = asyncio.get_running_loop()
                loop.call_later(max(0.0, self._over - self._clock()), self.sum_up)
        self._more += 1
        if len(self._networks) < MAX_NETWORKS:
            self._networks.add(seen)

    def sum_up(self) -> None:
        """Write how many failures got no line, and start a new minute."""
        if self._more:
            log.warning(
                "sign-in failed %d more times within a minute, from %d networks",
                self._more,
                len(self._networks),
            )
        self._more = 0
        self._lines.clear()
        self._networks.clear()
        self._over = 0.0


def _written(network: str) -> str:
    """Return a network as it is logged. Only addresses are logged, because any other text could
    look like a part of the line."""
    try:
        ip = ip_network(network)
    except ValueError:
        return "an unknown address"
    return str(ip.network_address if ip.num_addresses == 1 else ip)
