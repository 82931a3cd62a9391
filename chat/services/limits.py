"""Rate limits: how often a person, or an address, may do something that has a cost for others.
rate_limits says which request counts against which bucket.

Each kind of action has a bucket (store.rate_limits) for each person or address. For frequent ones,
a few units are taken from the bucket at a time and used up in this process, so that most messages
do not ask Redis. Other processes do not know of these few units.

If Redis does not respond, `use` raises its error. So nothing is done without being counted.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from ..bridge import await_
from ..domain.errors import TooOften
from ..store.rate_limits import RateLimits

MAX_ENTRIES = 50_000  # people and addresses with unused units, and paces
# Of the pages of one person.
BURST_BYTES = 16 * 2**20
BYTES_PER_SECOND = 256 * 1024
MAX_WAIT_SECONDS = 30.0  # for a pace


@dataclass(frozen=True, slots=True)
class Rate:
    """`most` units at once, and as many again within `seconds`.

    why: the text for a person who exceeds it.
    ahead: how many units a process takes from the bucket at a time.
    """

    most: int
    seconds: int
    why: str
    ahead: int = 1


_ATTEMPTS = "There were too many attempts."
_NETWORK_BUSY = "Too many people are using the chat from your network at once."

RATES = {
    # By person.
    "post": Rate(20, 4, "You are sending messages too fast.", 5),
    "file": Rate(100, 600, "You have sent too many files."),
    "join": Rate(30, 60, "You have joined too many rooms."),
    "members": Rate(30, 60, "You have added and removed too many people."),
    "start": Rate(30, 3600, "You have created too many rooms."),
    "write": Rate(100, 3600, "You have started too many conversations."),
    "profile": Rate(30, 3600, "You have changed your profile too often."),
    "search": Rate(60, 20, "You are searching too fast.", 5),
    "lookup": Rate(200, 40, "You are searching too fast.", 10),
    "view": Rate(600, 100, "You are loading pages too fast.", 50),
    "picture": Rate(3000, 100, "You are loading too many pictures.", 100),
    "download": Rate(3000, 100, "You are loading too many files.", 100),
    "preview": Rate(60, 30, "You are asking for previews too often.", 5),
    "change": Rate(120, 60, "You have made too many changes.", 5),
    "socket": Rate(120, 60, "You are opening pages too fast.", 5),
    "token": Rate(60, 3600, "You have created too many tokens."),
    "admin": Rate(300, 60, "You are doing too much at once.", 10),
    "api": Rate(1200, 120, "This program sends too many requests.", 50),
    # By login and address, so that somebody who guesses passwords elsewhere does not lock the owner
    # out.
    "login": Rate(10, 15 * 60, _ATTEMPTS),
    # By login alone, from all addresses: it takes 30 networks to use that up.
    "account": Rate(300, 15 * 60, _ATTEMPTS),
    # By address, which may be a whole school.
    "address": Rate(100, 15 * 60, _ATTEMPTS),
    "sign-up": Rate(100, 3600, _NETWORK_BUSY),
    "guest": Rate(600, 3600, _NETWORK_BUSY),
    "guest-day": Rate(2000, 24 * 3600, _NETWORK_BUSY),
    "oidc": Rate(1000, 3600, _NETWORK_BUSY),
    "hand-over": Rate(3000, 3600, _NETWORK_BUSY),
    # By address: the requests of visitors who are not signed in, and those of all people.
    "anonymous": Rate(6000, 120, _NETWORK_BUSY, 100),
    "network": Rate(40_000, 100, _NETWORK_BUSY, 400),
    # All new guests of the chat, from all addresses.
    "guests": Rate(10_000, 24 * 3600, "Too many new guests have come today."),
}


class Pace:
    """Limits what a sender sends: `burst` units at once, then `per_second`. What comes beyond that
    is not refused but read later, which slows the sender down."""

    __slots__ = ("_burst_seconds", "_per_second", "due")

    def __init__(self, burst: int, per_second: int) -> None:
        self._burst_seconds, self._per_second = burst / per_second, per_second
        self.due = 0.0  # when all units counted so far are paid for, by the monotonic clock

    def owe(self, count: int) -> float:
        """Count units. Returns for how many seconds the next caller of `keep` waits for them."""
        now = time.monotonic()
        start = max(self.due, now - self._burst_seconds)
        self.due = min(start + count / self._per_second, now + MAX_WAIT_SECONDS)
        return self.due - now

    def keep(self, count: int) -> None:
        """Count units, and wait until they are paid for."""
        if (wait := self.owe(count)) > 0:
            await_(asyncio.sleep(wait))


class PagesPace(Pace):
    """Limits the bytes of the frames of all pages that a person has open in this process, and of
    the responses to them.

    Catch-up data is read and sent for one page of a person at a time. So if many pages ask at once,
    each response is counted before the next one is read.
    """

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        super().__init__(BURST_BYTES, BYTES_PER_SECOND)
        self._turn = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """True if the whole burst is available again, so this object can be forgotten."""
        return self.due <= time.monotonic() - self._burst_seconds and not self._turn.locked()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Admit one page after another, each when the bytes counted so far are paid for."""
        await_(self._turn.acquire())
        try:
            self.keep(0)
            yield
        finally:
            self._turn.release()


class Limits:
    """The rate limits, with the units that this process has taken from buckets.

    pages: the number of open pages that an address may have. Twice as many may be opened at once,
        and again within a minute.
    on: False lifts all limits.
    """

    def __init__(self, buckets: RateLimits, pages: int, on: bool = True) -> None:
        self.buckets = buckets
        self.on = on
        self.rates = {**RATES, "page": Rate(2 * pages, 60, _NETWORK_BUSY, max(1, pages // 10))}
        self._left: dict[tuple[str, str], int] = {}  # negative: owed
        self._paces: dict[str, PagesPace] = {}
        self._forget_at = MAX_ENTRIES  # the number of paces

    def use(self, what: str, whose: str) -> None:
        """Count one unit. If it is one too many, raises TooOften without counting it."""
        if not self.on:
            return
        left = self._left.pop((what, whose), 0)
        try:
            while left < 1:
                left += self._take(what, whose)
            left -= 1
        finally:
            self._keep(what, whose, left)

    def owe(self, what: str, whose: str, count: int) -> None:
        """Count units for which the next `use` pays. Never asks Redis, and never refuses."""
        if self.on:
            self._keep(what, whose, -count)

    def check(self, what: str, whose: str) -> None:
        """Raise TooOften if `use` would. Nothing is counted."""
        if self.on and self._left.get((what, whose), 0) < 1:
            rate = self.rates[what]
            _, wait = self.buckets.take(what, whose, rate.most, rate.seconds, 0)
            if wait > 0:
                raise _refusal(rate, wait)

    def prepare(self, what: str, whose: str) -> None:
        """Take units from the bucket now if the next `use` would have to."""
        if self.on and self._left.get((what, whose), 0) < 1:
            with suppress(TooOften, RedisError, OSError):  # the next `use` raises them
                self._keep(what, whose, self._take(what, whose))

    def pace(self, uid: str) -> PagesPace:
        """The pace of a person's pages in this process."""
        pace = self._paces.get(uid)
        if pace is None:
            if len(self._paces) >= self._forget_at:
                self._paces = {who: one for who, one in self._paces.items() if not one.is_full}
                self._forget_at = max(MAX_ENTRIES, 2 * len(self._paces))
            pace = self._paces[uid] = PagesPace()
        return pace

    def _take(self, what: str, whose: str) -> int:
        rate = self.rates[what]
        given, wait = self.buckets.take(what, whose, rate.most, rate.seconds, rate.ahead)
        if not given:
            raise _refusal(rate, wait)
        return given

    def _keep(self, what: str, whose: str, left: int) -> None:
        left += self._left.pop((what, whose), 0)  # another page took units meanwhile
        if left:
            self._left[what, whose] = left
            if len(self._left) > MAX_ENTRIES:
                del self._left[next(iter(self._left))]


def _refusal(rate: Rate, wait: float) -> TooOften:
    return TooOften(f"{rate.why} Wait {span(wait)}, then try again.", wait)


def span(seconds: float) -> str:
    """Return a time to wait in words, such as "30 seconds"."""
    if seconds <= 2:
        return "a moment"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"
