"""Failed sign-ins in the log, for people and for programs such as fail2ban (docs/hosting.md).

    sign-in failed from 203.0.113.7: wrong password (person q3ZkT0c5…)

A line has the network that the attempt came from, the reason, and, if the login exists, the id of
its person. It never has what was typed: a password is easily typed into the field for the login.
The reason always begins with words of ours, so nobody can forge a line.

Many attempts must not fill the disk. Within a minute a process writes MAX_LINES_PER_NETWORK lines
about one network and MAX_LINES in all; it counts the rest, and writes the number as one line at the
end of the minute.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_network

log = logging.getLogger("chat.failed_sign_ins")  # the filter in docs/hosting.md looks for the name

MINUTE_SECONDS = 60.0
MAX_LINES_PER_NETWORK = 10  # in a minute; fail2ban bans after fewer
MAX_LINES = 100  # in a minute
MAX_NETWORKS = 10_000  # that are told apart among those without a line


class FailedSignIns:
    """The failures of this process. `clock` says the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over = 0.0  # when the minute that is counted ends
        self._lines: Counter[str] = Counter()  # by network
        self._more = 0
        self._networks: set[str] = set()  # of those without a line

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
            self._sum_up_later()
        self._more += 1
        if len(self._networks) < MAX_NETWORKS:
            self._networks.add(seen)

    def sum_up(self) -> None:
        """Write how many failures got no line, and begin anew."""
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

    def _sum_up_later(self) -> None:
        """Where there is no event loop, the next failure does it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        loop.call_later(max(0.0, self._over - self._clock()), self.sum_up)


def _written(network: str) -> str:
    """A network as it may stand in a line: anything but an address could be made to look like the
    rest of one."""
    try:
        ip = ip_network(network)
    except ValueError:
        return "an unknown address"
    return str(ip.network_address if ip.num_addresses == 1 else ip)
