"""Who is here: has a page open in any process, or had one a moment ago."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from . import keys

LASTS = 20  # seconds after the last beat that a person counts as here: reloads do not show
_AT_ONCE = 1000  # people in one command


class Presence:
    """`gone` is the script gone.lua."""

    def __init__(self, client: Any, gone: Any) -> None:
        self.client = client
        self._gone = gone

    def beat(self, uids: Sequence[str], now: float | None = None) -> None:
        """These people are here; to be said again well before LASTS is over."""
        until = (now or time.time()) + LASTS
        for n in range(0, len(uids), _AT_ONCE):
            self.client.zadd(keys.HERE, dict.fromkeys(uids[n : n + _AT_ONCE], until))

    def come(self, uids: Sequence[str], now: float | None = None) -> list[str]:
        """As `beat`; returns those who were not here before. Two processes that say it of the same
        person at once may both be told so."""
        came: list[str] = []
        for n in range(0, len(uids), _AT_ONCE):
            some = uids[n : n + _AT_ONCE]
            known = self.client.zmscore(keys.HERE, some)
            came += [uid for uid, until in zip(some, known, strict=True) if until is None]
        self.beat(uids, now)
        return came

    def go(self, now: float | None = None) -> list[str]:
        """Forget whom nobody has spoken of for LASTS seconds; returns them, to one caller only."""
        return list(self._gone(keys=[keys.HERE], args=[now or time.time()]))

    def typing(self, rid: str, uid: str, is_typing: bool) -> None:
        """Tell those who look at a room that a member writes a message, or has sent it. Nothing
        is stored."""
        self.client.spublish(keys.room_channel(rid), f"~{'typing' if is_typing else 'typed'} {uid}")

    def here(self, uids: Sequence[str], now: float | None = None) -> set[str]:
        """Those of these people who are here."""
        if not uids:
            return set()
        until = self.client.zmscore(keys.HERE, uids)
        present = now or time.time()
        return {uid for uid, end in zip(uids, until, strict=True) if end and end > present}

    def tell(self, uids: Iterable[str], rooms: Iterable[str] = ()) -> None:
        """Tell the rooms of these people, and these `rooms`, that somebody came or went."""
        pipeline = self.client.pipeline(transaction=False)
        uids = list(uids)
        for uid in uids:
            pipeline.smembers(keys.user_rooms(uid))
        rooms = set(rooms).union(*pipeline.execute() if uids else ())
        pipeline = self.client.pipeline(transaction=False)
        for rid in rooms:
            pipeline.spublish(keys.room_channel(rid), "~here")
        if rooms:
            pipeline.execute()
