"""Rooms and who is in them."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from ..errors import NotFound
from ..events import JOIN, START, Event, pack
from . import keys
from .people import Person

OPEN, CLOSED = "open", "closed"  # the kinds: anyone may join; chosen members only
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = ("name", "kind", "owner", "epoch", "seq", "last")


@dataclass(frozen=True, slots=True)
class Room:
    """`seq` is the number of the newest event, `last` that event. `epoch` differs in another
    life of the database, where the same numbers mean other events."""

    rid: str
    name: str
    kind: str
    owner: str
    epoch: str
    seq: int
    last: Event


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a person's room list; `read` is the newest number that person has seen."""

    room: Room
    read: int

    @property
    def unread(self) -> int:
        return max(0, self.room.seq - self.read)


class Rooms:
    def __init__(self, client: Any, create: Any, join: Any) -> None:
        self.client = client
        self._create = create
        self._join = join

    def create(self, name: str, kind: str, owner: Person) -> str:
        """A new room with its owner as first member; returns its id."""
        rid = secrets.token_urlsafe(16)
        self._create(
            keys=[keys.room(rid), keys.events(rid), keys.members(rid), keys.read(rid)],
            args=[
                keys.room_channel(rid),
                owner.uid,
                pack(START, owner.uid, owner.name, name),
                name,
                kind,
                secrets.token_urlsafe(6),
            ],
        )
        if kind == OPEN:
            self.client.zadd(keys.OPEN_ROOMS, {rid: self.get(rid).last.at})
        self._list(rid, owner.uid)
        return rid

    def join(self, rid: str, person: Person) -> None:
        """Make the person a member; a member stays one. Raises NotFound when there is no such
        open room."""
        if not _ID.fullmatch(rid):
            raise NotFound("There is no such room.")
        joined = self._join(
            keys=[keys.room(rid), keys.events(rid), keys.members(rid), keys.read(rid)],
            args=[keys.room_channel(rid), person.uid, pack(JOIN, person.uid, person.name)],
        )
        if joined < 0:
            raise NotFound("There is no such room, or it is not open to everyone.")
        self._list(rid, person.uid)

    def _list(self, rid: str, uid: str) -> None:
        """Put the room on the person's list and tell that person's open pages. The room's
        members are the truth; this second write may be repeated at any time."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.sadd(keys.user_rooms(uid), rid)
        pipeline.persist(keys.user(uid))
        pipeline.publish(keys.user_channel(uid), rid)
        pipeline.execute()

    def get(self, rid: str) -> Room:
        """The room; raises NotFound."""
        room = (
            _room(rid, self.client.hmget(keys.room(rid), _FIELDS)) if _ID.fullmatch(rid) else None
        )
        if room is None:
            raise NotFound("There is no such room.")
        return room

    def row(self, rid: str, uid: str) -> tuple[Room, int | None]:
        """The room, and the newest number `uid` has seen there: None for who is no member.
        Raises NotFound when there is no such room or it is closed to `uid`."""
        if not _ID.fullmatch(rid):
            raise NotFound("There is no such room.")
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hmget(keys.room(rid), _FIELDS)
        pipeline.zscore(keys.members(rid), uid)
        pipeline.hget(keys.read(rid), uid)
        values, member, read = pipeline.execute()
        room = _room(rid, values)
        if room is None or (member is None and room.kind != OPEN):
            raise NotFound("There is no such room.")
        return room, None if member is None else int(read or 0)

    def of(self, uid: str) -> list[Row]:
        """The rooms of a person, most recently active first."""
        ids = sorted(self.client.smembers(keys.user_rooms(uid)))
        pipeline = self.client.pipeline(transaction=False)
        for rid in ids:
            pipeline.hmget(keys.room(rid), _FIELDS)
            pipeline.hget(keys.read(rid), uid)
        answers = pipeline.execute() if ids else []
        rows = []
        for rid, values, read in zip(ids, answers[::2], answers[1::2], strict=True):
            if room := _room(rid, values):
                rows.append(Row(room, int(read or 0)))
        return sorted(rows, key=lambda row: row.room.last.at, reverse=True)

    def open(self, limit: int = 200) -> list[Room]:
        """The rooms anyone may join, most recently active first, the newest `limit` of them."""
        ids = self.client.zrevrange(keys.OPEN_ROOMS, 0, limit - 1)
        pipeline = self.client.pipeline(transaction=False)
        for rid in ids:
            pipeline.hmget(keys.room(rid), _FIELDS)
        answers = pipeline.execute() if ids else []
        rooms = [_room(rid, values) for rid, values in zip(ids, answers, strict=True)]
        return sorted((r for r in rooms if r), key=lambda room: room.last.at, reverse=True)

    def size(self, rid: str) -> int:
        """How many members the room has."""
        return int(self.client.zcard(keys.members(rid)))


def _room(rid: str, values: list[str | None]) -> Room | None:
    name, kind, owner, epoch, seq, last = values
    if name is None or kind is None or seq is None or last is None:
        return None
    return Room(rid, name, kind, owner or "", epoch or "", int(seq), Event.parse_line(rid, last))
