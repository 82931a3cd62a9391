"""Who is here: has a page open in any process, or had one a moment ago.

All times are the database's, so that hosts with different clocks agree. Who came or went is written
down until a process has told it (`look`, `tell`): when a process dies in between, or the database
goes away, another look finds it and tells it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import keys
from .batches import ask_each, batched
from .clock import Clock
from .lua import Script

PRESENT_SECONDS = 20  # after the last report of them: a reload does not show
UNWATCHED_SECONDS = 6  # without a look by anybody, after which nobody is taken to have gone
TELL_SECONDS = 5  # that a process has to tell who came and went, before another one does
_AT_ONCE = 1000  # people in one command
_LISTS_AT_ONCE = 20  # people whose rooms are read in one pipeline


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

    def look(self, uids: Sequence[str]) -> list[Changes]:
        """Report that these people are present, well before PRESENT_SECONDS are over. Returns who
        came and who went, which the caller announces with `tell`. Two callers are not given the
        same people, unless one has not announced them within TELL_SECONDS. Corrects the clock."""
        found = [self._look(some) for some in batched(uids, _AT_ONCE)] or [self._look(())]
        while len(found[-1].uids) >= _AT_ONCE:  # there may be more who have gone
            found.append(self._look(()))
        return found

    def _look(self, uids: Sequence[str]) -> Changes:
        asked = time.monotonic()
        stamp, changed = self._update(
            present=keys.PRESENT,
            unannounced=keys.UNANNOUNCED,
            checked=keys.PRESENCE_CHECKED,
            present_seconds=PRESENT_SECONDS,
            silence_seconds=UNWATCHED_SECONDS,
            announce_seconds=TELL_SECONDS,
            rest=uids,
        )
        self.clock.correct(float(stamp), asked)
        return Changes(stamp, changed)

    def tell(self, changes: Sequence[Changes], known: Mapping[str, Iterable[str]]) -> None:
        """Tell the rooms of the people who came or went; `known` has the rooms of those whose rooms
        need not be asked for."""
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
        """Those of these people who are here."""
        here: set[str] = set()
        for some in batched(uids, _AT_ONCE):
            until = self.client.zmscore(keys.PRESENT, some)
            here |= {uid for uid, at in zip(some, until, strict=True) if at is not None}
        return here

    def typing(self, rid: str, uid: str, is_typing: bool) -> None:
        """Tell those who look at a room that a member writes a message, or has sent it. Nothing
        is stored."""
        self.client.spublish(keys.room_channel(rid), f"~{'typing' if is_typing else 'typed'} {uid}")
