"""Failed sign-ins in the log, for people and for programs such as fail2ban (docs/hosting.md).

    sign-in failed from 203.0.113.7: wrong password (person q3ZkT0c5…)

A line holds the network that the try came from (security.network), the reason, and, where the login
exists, the id of its person. It never holds what was typed: a password is easily typed into the
field for the login. The reason always begins with words of ours, so nobody can forge a line.

A flood must not fill the disk. Within a minute a process writes LINES_PER_NETWORK lines about one
network and LINES_PER_MINUTE in all; the rest is counted and written as one line when the minute is
over.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_network

from ..services.context import chat
from .security import network

log = logging.getLogger("chat.failed_sign_ins")  # which the filter in docs/hosting.md looks for

MINUTE_SECONDS = 60.0
LINES_PER_NETWORK = 10  # in a minute; fail2ban bans after fewer
LINES_PER_MINUTE = 100
MAX_NETWORKS = 10_000  # that are told apart among those without a line
MAX_DETAIL_CHARS = 200


def failed(reason: str, uid: str = "", detail: object = "") -> None:
    """Somebody who makes the present request did not prove who they are. `uid` is the person they
    claimed to be, where there is one; `detail` is for the operator, and must hold no secret."""
    if uid:
        reason += f" (person {uid})"
    if detail:
        reason += f": {str(detail)[:MAX_DETAIL_CHARS]!a}"
    chat().failed_sign_ins.note(network(), reason)


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
        if self._lines[seen] < LINES_PER_NETWORK and self._lines.total() < LINES_PER_MINUTE:
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
