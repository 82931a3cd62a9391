"""Presence: who has a page open in any process, or had one a moment ago.

All times are the database's, so that hosts with different clocks agree. Who came or went is stored
until a process has announced it (`report`, `announce`). If the process dies first, or the
database is unavailable, a later report finds it again.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import keys
from .batches import ask_each, batched, members_among
from .clock import Clock
from .lua import Script

PRESENT_SECONDS = 20  # after a person's last report, so that a reload is not a departure
UNWATCHED_SECONDS = 6  # without a report by any process, after which nobody counts as gone
ANNOUNCE_SECONDS = 5  # for a process to announce who came and went, before another one does
_AT_ONCE = 1000  # people in one command
_LISTS_AT_ONCE = 20  # people whose rooms are read in one round trip


@dataclass(frozen=True, slots=True)
class Changes:
    """People who came or went, as found at the database's time `stamp`."""

    stamp: str
    uids: list[str]


class Presence:
    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self._update = Script(client, "update_presence")
        self._announced = Script(client, "announced")

    def report(self, uids: Sequence[str]) -> list[Changes]:
        """Report that these people are present, well before PRESENT_SECONDS are over. Returns who
        came and who went, for `announce`. Two callers do not get the same people, unless the first
        one has not announced them within ANNOUNCE_SECONDS. Corrects the clock."""
        found = [self._report(some) for some in batched(uids, _AT_ONCE)] or [self._report(())]
        while len(found[-1].uids) >= _AT_ONCE:  # there may be more who have gone
            found.append(self._report(()))
        return found

    def _report(self, uids: Sequence[str]) -> Changes:
        asked = time.monotonic()
        stamp, changed = self._update(
            present=keys.PRESENT,
            unannounced=keys.UNANNOUNCED,
            checked=keys.PRESENCE_CHECKED,
            present_seconds=PRESENT_SECONDS,
            silence_seconds=UNWATCHED_SECONDS,
            announce_seconds=ANNOUNCE_SECONDS,
            rest=uids,
        )
        self.clock.correct(float(stamp), asked)
        return Changes(stamp, changed)

    def announce(self, changes: Sequence[Changes], known: Mapping[str, Iterable[str]]) -> None:
        """Announce who came or went to their rooms. `known` has the rooms of the people for whom
        the database need not be asked."""
        uids = {uid for found in changes for uid in found.uids}
        rooms = set().union(*(known[uid] for uid in uids if uid in known))
        for some in batched(uids - known.keys(), _LISTS_AT_ONCE):
            lists = ask_each(self.client, "smembers", ((keys.user_rooms(uid),) for uid in some))
            rooms.update(*lists)
        ask_each(self.client, "spublish", ((keys.room_channel(rid), "~here") for rid in rooms))
        for found in changes:
            for some in batched(found.uids, _AT_ONCE):
                self._announced(unannounced=keys.UNANNOUNCED, stamp=found.stamp, rest=some)

    def here(self, uids: Sequence[str]) -> set[str]:
        """Return those of these people who are present."""
        here: set[str] = set()
        for some in batched(uids, _AT_ONCE):
            here.update(members_among(self.client, keys.PRESENT, some))
        return here

    def typing(self, rid: str, uid: str, is_typing: bool) -> None:
        """Announce to the open pages of a room that a member is typing, or has sent the message.
        Nothing is stored."""
        self.client.spublish(keys.room_channel(rid), f"~{'typing' if is_typing else 'typed'} {uid}")
