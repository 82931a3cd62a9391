"""Makes what points to a room agree with it: its members' lists, the index of open rooms, and the
seats of random rooms.

A room's own keys are authoritative, and one script changes them. What points to the room is in
other slots of a cluster, so other commands write it afterwards, as one change (`unfinished`).

Two changes of the same membership can overlap: somebody leaves in one tab and joins in another. So
after each write the room is read again, and its present state is written, until it no longer
changes. Whoever writes last has therefore read the room after its last change.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

from ..domain.validation import number
from . import keys
from .batches import AT_ONCE, IDS_AT_ONCE, ask_each, batched
from .lua import Script
from .room_kinds import ENDED, OPEN, RANDOM


class RoomPointers:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._set_seat = Script(client, "set_seat")
        self._forget_webhook_room = Script(client, "forget_webhook_room")

    def agree_room(self, rid: str) -> None:
        """Make everything that points to the room agree with it. If it has ended, that includes the
        lists of its last members."""
        past = self._uids(keys.past_members(rid))
        self.agree(rid, [*self._uids(keys.members(rid)), *past])
        if past:
            self.client.delete(keys.past_members(rid))

    def _uids(self, key: str) -> list[str]:
        """All ids in a sorted set, read in batches."""
        uids: list[str] = []
        while some := self.client.zrange(key, len(uids), len(uids) + IDS_AT_ONCE - 1):
            uids += some
        return uids

    def agree_seats(self, uid: str) -> None:
        """Make the seats of this person agree with the random rooms that the person is in."""
        seats = self.client.zrangebylex(keys.RANDOM_SEATS, f"[{uid} ", f"[{uid}!")
        for seat in seats:
            self.agree(seat.partition(" ")[2], [uid])

    def agree(self, rid: str, uids: Sequence[str]) -> None:
        """Make the lists and seats of these people, and the index of open rooms, agree with the
        room. The people's open pages are updated."""
        for some in batched(uids, AT_ONCE) if uids else [[]]:
            written: Any = None
            while (now := self._read(rid, some)) != written:
                self._write(rid, some, *now)
                written = now

    def _read(self, rid: str, uids: Sequence[str]) -> tuple[str | None, list[bool]]:
        """Return the kind of the room, None if there is no such room, and which of these people are
        in it."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.room(rid), "kind")
        for uid in uids:
            pipeline.zscore(keys.members(rid), uid)
        kind, *joined = pipeline.execute()
        return kind, [at is not None for at in joined]

    def _write(self, rid: str, uids: Sequence[str], kind: str | None, joined: list[bool]) -> None:
        if kind in (RANDOM, None):  # a seat can be reserved before its room exists
            for uid, is_in in zip(uids, joined, strict=True):
                self._set_seat(
                    rooms=keys.RANDOM_ROOMS,
                    seats=keys.RANDOM_SEATS,
                    rid=rid,
                    uid=uid,
                    is_member="1" if is_in else "",
                )
        self._leave_webhooks(
            rid, [uid for uid, is_in in zip(uids, joined, strict=True) if not is_in]
        )
        pipeline = self.client.pipeline(transaction=False)
        if kind == ENDED:
            pipeline.zrem(keys.RANDOM_ROOMS, rid)
            if uids:
                pipeline.zrem(keys.RANDOM_SEATS, *(f"{uid} {rid}" for uid in uids))
        if kind == OPEN:
            created = number(self.client.hget(keys.room(rid), "created") or "0")
            pipeline.zadd(keys.OPEN_ROOMS, {rid: created}, nx=True)
        else:
            pipeline.zrem(keys.OPEN_ROOMS, rid)
        for uid, is_in in zip(uids, joined, strict=True):
            if is_in:
                pipeline.persist(keys.user(uid))
                pipeline.sadd(keys.user_rooms(uid), rid)
            else:
                pipeline.hdel(keys.notification_levels(uid), rid)
                pipeline.hdel(keys.drafts(uid), rid)
                pipeline.srem(keys.user_rooms(uid), rid)
            pipeline.spublish(keys.user_channel(uid), "")
        pipeline.execute()

    def _leave_webhooks(self, rid: str, uids: Sequence[str]) -> None:
        """Remove the room from the webhooks of those of these people who are bots."""
        hooks = ask_each(self.client, "exists", ((keys.webhook(uid),) for uid in uids))
        for uid in compress(uids, hooks):
            self._forget_webhook_room(keys.of_webhook(uid), rid=rid)
