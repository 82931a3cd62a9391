"""How often a person, or an address, may do what costs the others something.

Each thing has a bucket (store.throttle) for each person or address. For what is done often,
a few are taken out of it at a time and used up here, so that most messages cost no question. What
other processes then do not know of is at most that few.

Where Redis does not answer, `use` raises its error: nobody signs in or writes uncounted.
"""

from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from .errors import TooOften
from .store.throttle import Throttle

KEPT = 10_000  # people and addresses for whom something was taken and not used yet


@dataclass(frozen=True, slots=True)
class Rate:
    """`most` at once, and as many again within `seconds`. `why` is told to who is over it;
    `ahead`: how many are taken at a time."""

    most: int
    seconds: int
    why: str
    ahead: int = 1


_TRIES = "There were too many tries."
_NEIGHBOURS = "Too many people have come from your network at once."

RATES = {
    # By person.
    "post": Rate(20, 4, "You are writing faster than anyone can read.", 5),
    "file": Rate(100, 600, "You have sent a lot of files."),
    "join": Rate(30, 60, "You have joined a lot of rooms just now."),
    "members": Rate(30, 60, "You have changed a lot in who is in your rooms."),
    "start": Rate(30, 3600, "You have started a lot of rooms."),
    "write": Rate(100, 3600, "You have written to a lot of people."),
    "profile": Rate(30, 3600, "You have changed your profile a lot."),
    "search": Rate(60, 20, "You are searching faster than we can look.", 5),
    # By login and address: who guesses elsewhere does not keep the owner out.
    "login": Rate(10, 15 * 60, _TRIES),
    # By login alone, wherever from: it takes 30 networks to use that up.
    "account": Rate(300, 15 * 60, _TRIES),
    # By address, which may be a whole school.
    "address": Rate(100, 15 * 60, _TRIES),
    "sign-up": Rate(100, 3600, _NEIGHBOURS),
    "guest": Rate(1000, 3600, _NEIGHBOURS),
    "oidc": Rate(1000, 3600, _NEIGHBOURS),
}


class Limits:
    """pages: open pages that an address may have; twice as many may be opened at once, and
    again within a minute. on: False lifts all limits."""

    def __init__(self, throttle: Throttle, pages: int, on: bool = True) -> None:
        self.throttle = throttle
        self.on = on
        self.rates = {**RATES, "page": Rate(2 * pages, 60, _NEIGHBOURS, max(1, pages // 10))}
        self._left: dict[tuple[str, str], int] = {}

    def use(self, what: str, whose: str) -> None:
        """Count one; raises TooOften when it is one too many, and then it does not count."""
        if not self.on:
            return
        left = self._left.pop((what, whose), 0) or self._take(what, whose)
        self._keep(what, whose, left - 1)

    def check(self, what: str, whose: str) -> None:
        """Raise TooOften when `use` would; nothing is counted."""
        if self.on and (what, whose) not in self._left:
            rate = self.rates[what]
            _, wait = self.throttle.take(what, whose, rate.most, rate.seconds, 0)
            if wait > 0:
                raise _refusal(rate, wait)

    def prepare(self, what: str, whose: str) -> None:
        """Ask now, where the next `use` would have to."""
        if self.on and (what, whose) not in self._left:
            with suppress(TooOften, RedisError, OSError):  # the next `use` finds out
                self._keep(what, whose, self._take(what, whose))

    def _take(self, what: str, whose: str) -> int:
        rate = self.rates[what]
        given, wait = self.throttle.take(what, whose, rate.most, rate.seconds, rate.ahead)
        if not given:
            raise _refusal(rate, wait)
        return given

    def _keep(self, what: str, whose: str, left: int) -> None:
        left += self._left.pop((what, whose), 0)  # taken by another page at the same time
        if left:
            self._left[what, whose] = left
            if len(self._left) > KEPT:
                del self._left[next(iter(self._left))]


def _refusal(rate: Rate, wait: float) -> TooOften:
    return TooOften(f"{rate.why} Wait {span(wait)}, then try again.", wait)


def span(seconds: float) -> str:
    """A time to wait as people say it."""
    if seconds <= 2:
        return "a moment"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"
