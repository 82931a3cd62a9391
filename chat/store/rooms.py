"""Rooms and who is in them.

A room's own keys are the truth. What points to it (its members' lists, the index of open rooms,
the seats of random ones) is written after it, and made to agree with it (`room_pointers`). Every
change may be made again after an unknown outcome: it then finishes what was begun.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..domain import events
from ..domain.errors import Invalid, NotFound, Refused
from ..domain.events import Event, authored
from ..domain.mentions import EVERYBODY
from . import keys
from .batches import AT_ONCE, IDS_AT_ONCE, ROOMS_AT_ONCE, batched
from .lua import Script
from .notifications import ALL, MENTIONS, MOST_COUNTED
from .people import FIELDS as PERSON_FIELDS
from .people import LOOKED_AT, People, Person, folded, person_of
from .room_kinds import DIRECT, ENDED, OPEN, RANDOM
from .room_pointers import RoomPointers
from .unfinished import MEMBER, ROOM, SEATS
from .verified import Verified, is_own, pairs, refused

GIVEN_SECONDS = 24 * 3600  # for which the seat that a form asked for is known by its nonce
MOST_MEMBERS = 10_000  # of a room, when it is started
MOST_DIRECT = 10  # people in a direct room
SMALL = 500  # members of a room that is looked through for a name
MOST_LOOKED_AT = 2000  # rooms or people that are looked through for one page
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = ("rid", "name", "about", "kind", "owner", "epoch", "seq", "last", "first")
_OF_ROW = keys.room, keys.members, keys.read, keys.uncounted, keys.mentioned
_NONE = "There is no such room."
# Of the newest message, for the room list, which shows less (markdown.GIST_SOURCE_CHARS).
LINE_CHARS = 420


@dataclass(frozen=True, slots=True)
class Room:
    """`seq` is the number of the newest event, `last` the newest that is something to read.
    `epoch` differs in another life of the database, where the same numbers mean other events.
    `first` is the oldest number that is kept. `owner` is "" where nobody owns it. The name of a
    direct room is that of the others in it."""

    rid: str
    name: str
    about: str
    kind: str
    owner: str
    epoch: str
    seq: int
    last: Event
    first: int = 1

    @property
    def at(self) -> int:
        """The time of the newest event in ms; 0 where that is a quiet one and it is not known."""
        return self.last.at if self.last.seq == self.seq else 0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a person's room list; `read` is the newest number that person has seen, `quiet`
    how many of the events since count for nothing, `mentions` how many mention that person, and
    `level` is one of attention.LEVELS."""

    room: Room
    read: int
    quiet: int = 0
    mentions: int = 0
    level: str = ALL

    @property
    def unread(self) -> int:
        return max(0, self.room.seq - self.read - self.quiet)

    @property
    def calls(self) -> int:
        """How much of what is unread the person wants to hear of."""
        return {ALL: self.unread, MENTIONS: self.mentions}.get(self.level, 0)


class Rooms:
    def __init__(self, client: Any, people: People, pointers: RoomPointers) -> None:
        self.client = client
        self.people = people
        self.pointers = pointers
        self._create_room = Script(client, "create_room")
        self._join_room = Script(client, "join")
        self._leave_room = Script(client, "leave")
        self._edit_room = Script(client, "edit_room")
        self._end_room = Script(client, "end_room")
        self._seat = Script(client, "seat")
        self._release_seat = Script(client, "release_seat")
        self._read_row = Script(client, "read_row")
        self._change = people.unfinished.change
        self._verified = Verified(client)

    # They begin

    def create(
        self,
        name: str,
        kind: str,
        owner: Person,
        members: Iterable[Person] = (),
        about: str = "",
        nonce: str = "",
    ) -> str:
        """A new room, open or closed, with its owner as first member; returns its id.

        The id is made of the owner, the nonce and the rest, so the same again with the same nonce
        is the same room. An empty nonce is never a repeat. Raises Invalid for a repeat when the
        owner is in that room no longer."""
        uids = list(dict.fromkeys([owner.uid, *(person.uid for person in members)]))[:MOST_MEMBERS]
        said = (nonce, name, kind, about, *sorted(uids))
        rid = keys.made_id("room", owner.uid, *said) if nonce else keys.new_id()
        created = self._create(rid, name, kind, owner, uids, owner.uid, about)
        if not created and not self.is_member(rid, owner.uid):
            raise Invalid("You have started this room before and left it. Start another one?")
        return rid

    def direct(self, person: Person, others: Iterable[Person]) -> str:
        """The room of exactly these people, begun when it is the first time; returns its id,
        which is made of theirs. Raises Invalid for fewer than two or too many."""
        uids = sorted({person.uid, *(other.uid for other in others)})
        if not 2 <= len(uids) <= MOST_DIRECT:
            raise Invalid(f"Choose between one and {MOST_DIRECT - 1} people to write to.")
        rid = keys.direct_room_id(uids)
        if not self.client.exists(keys.room(rid)):
            self._create(rid, " ".join(uids), DIRECT, person, uids, "")
        elif lacking := self._lacking(rid, uids):
            self.pointers.agree(rid, lacking)
        return rid

    def _lacking(self, rid: str, uids: Sequence[str]) -> list[str]:
        """Those of these people whose list lacks the room."""
        pipeline = self.client.pipeline(transaction=False)
        for uid in uids:
            pipeline.sismember(keys.user_rooms(uid), rid)
        listed = zip(uids, pipeline.execute(), strict=True)
        return [uid for uid, is_listed in listed if not is_listed]

    def has_direct(self, person: Person, others: Iterable[Person]) -> bool:
        """True when `direct` would begin no room."""
        uids = sorted({person.uid, *(other.uid for other in others)})
        return bool(self.client.exists(keys.room(keys.direct_room_id(uids))))

    def random(self, person: Person, seats: int, nonce: str = "") -> str:
        """A seat in the fullest random room with one free, never one the person is in, or in a
        new one; returns its id. At most `seats` people are in one, whoever comes when. The same
        nonce again is the same seat, as long as the person has it; an empty one is never a
        repeat."""
        mine = [row.room.rid for row in self.of(person.uid) if row.room.kind == RANDOM]
        given = [keys.given_seat(person.uid, nonce)] if nonce else []
        with self._change(SEATS, person.uid):
            while True:
                rid, count = self._seat(
                    [keys.RANDOM_ROOMS, keys.RANDOM_SEATS, keys.RANDOM_COUNT, *given],
                    uid=person.uid,
                    limit=seats,
                    new_rid=keys.new_id(),
                    nonce_seconds=GIVEN_SECONDS,
                    rest=mine,
                )
                if self._sit(rid, person, f"Random chat {count}", seats):
                    return str(rid)

    def _sit(self, rid: str, person: Person, name: str, seats: int) -> bool:
        """Take the seat; False when the room has ended, or is full after all."""
        if self._create(rid, name, RANDOM, person, [person.uid], ""):
            return True
        joined = self._join(rid, person.uid, event_by(events.JOIN, person), RANDOM, seats)
        if joined == -2:
            indexes = [keys.RANDOM_ROOMS, keys.RANDOM_SEATS]
            self._release_seat(indexes, rid=rid, uid=person.uid, limit=seats)
            return False
        self.pointers.agree(rid, [person.uid])
        return joined >= 0

    def _create(
        self,
        rid: str,
        name: str,
        kind: str,
        by: Person,
        uids: list[str],
        owner: str,
        about: str = "",
    ) -> bool:
        """Make a room; False when it was there already. Then, too, what points to it agrees."""
        with self._change(ROOM, rid):
            created = bool(
                self._create_room(
                    keys.of_room(rid),
                    event_by(events.START, by),
                    name=name,
                    about=about,
                    kind=kind,
                    owner=owner,
                    epoch=secrets.token_urlsafe(6),
                    rest=uids,
                )
            )
            if created or kind != RANDOM:  # the others of a random room have nothing to do with it
                self.pointers.agree_room(rid)
                self.client.spublish(keys.ROOMS, rid)
        return created

    # People come and go

    def join(self, rid: str, person: Person) -> None:
        """Make the person a member of an open room; a member stays one. Raises NotFound when
        there is no such open room."""
        self._come(rid, person.uid, event_by(events.JOIN, person), OPEN)

    def add(self, rid: str, by: Person, person: Person) -> None:
        """`by` adds a person to an open or closed room; a member stays one. Raises NotFound."""
        self._come(rid, person.uid, event_by(events.ADD, by, person.name), "")

    def _come(self, rid: str, uid: str, event: Sequence[str], kind: str) -> None:
        if not _ID.fullmatch(rid):
            raise NotFound(_NONE)
        with self._change(MEMBER, rid, uid):
            if self._join(rid, uid, event, kind) < 0:
                raise NotFound("There is no such room, or it is not open to everyone.")
            self.pointers.agree(rid, [uid])

    def leave(self, rid: str, person: Person) -> None:
        """The person leaves; with the last one the room ends. Raises NotFound for who is no
        member (any more), Refused for an owner who has not handed over, and in direct rooms."""
        self._leave(rid, person.uid, event_by(events.LEAVE, person))

    def let_go(self, person: Person) -> None:
        """Who will not come back gives up seats among strangers, and rooms to whoever has been in
        them longest. What they wrote stays, and where they were."""
        for room in [row.room for row in self.of(person.uid)]:
            if room.kind == RANDOM:
                with suppress(NotFound):  # left meanwhile
                    self.leave(room.rid, person)
            elif room.owner == person.uid:
                heir = self._heir(room.rid, person.uid)
                if heir:
                    self.edit(room.rid, person, "owner", heir.uid, heir.name)

    def _heir(self, rid: str, uid: str) -> Person | None:
        """Who has been in the room longest and may own it instead of `uid`."""
        for start in range(0, self.size(rid), AT_ONCE):
            some = self.members(rid, start, AT_ONCE)
            able = (one for one in some if one.uid != uid and not one.off and not one.bot)
            if heir := next(able, None):
                return heir
        return None

    def remove(self, rid: str, by: Person, person: Person) -> None:
        """`by` removes a person from a room; raises as `leave` does."""
        self._leave(rid, person.uid, event_by(events.REMOVE, by, person.name))

    def _join(self, rid: str, uid: str, event: Sequence[str], kind: str, limit: int = 0) -> int:
        return int(self._join_room(keys.of_room(rid), event, uid=uid, kind=kind, limit=limit))

    def _leave(self, rid: str, uid: str, event: Sequence[str]) -> None:
        if not _ID.fullmatch(rid):
            raise NotFound(_NONE)
        with self._change(MEMBER, rid, uid):
            size = self._leave_room(keys.of_ending(rid), event, uid=uid)
            if size == -2:
                raise Refused("The owner cannot leave before another member owns the room.")
            if size == -3:
                raise Refused("A direct room has the same people for good.")
            # Also of who was out of it before: the answer that said so may have been lost.
            self.pointers.agree(rid, [uid])
            if size == -1:
                raise NotFound("That person is not in this room.")

    # They change and end

    def edit(self, rid: str, by: Person, field: str, value: str, to: str = "") -> None:
        """Change `name`, `about`, `kind` (open or closed) or `owner` (a member's id, `to` being
        the name) of an open or closed room. Raises NotFound."""
        kind = {"kind": value}.get(field, field)
        event = event_by(kind, by, to or ("" if field == "kind" else value))
        with self._change(ROOM, rid):
            changed = self._edit_room(keys.of_room(rid), event, field=field, value=value)
            if changed == -1:
                raise NotFound(_NONE)
            if changed == -2:
                raise Invalid("The owner must be one of the members.")
            if field == "kind":
                self.pointers.agree(rid, [])

    def end(self, rid: str, by: Person) -> None:
        """The room is over: nobody is in it, nobody finds it, and what was said is kept for 30
        days. Repeating it changes nothing."""
        with self._change(ROOM, rid):
            self._end_room(keys.of_ending(rid), event_by(events.END, by))
            self.pointers.agree_room(rid)

    # Reading

    def get(self, rid: str, uid: str = "") -> Room:
        """The room as `uid` calls it; raises NotFound."""
        values = self.client.hmget(keys.room(rid), _FIELDS) if _ID.fullmatch(rid) else None
        room = _room(rid, values) if values else None
        if room is None:
            raise NotFound(_NONE)
        return self._named([room], uid)[0]

    def row(self, rid: str, uid: str) -> tuple[Room, int | None]:
        """The room, and the newest number `uid` has seen there: None for who is no member.
        Raises NotFound when there is no such room or it is closed to `uid`."""
        if not _ID.fullmatch(rid):
            raise NotFound(_NONE)
        values, member, read = self._verified.ask(
            ("HMGET", keys.room(rid), *_FIELDS),
            ("ZSCORE", keys.members(rid), uid),
            ("HGET", keys.read(rid), uid),
        )
        room = _room(rid, values)
        if room is None or (member is None and room.kind != OPEN):
            raise NotFound(_NONE)
        return self._named([room], uid)[0], None if member is None else int(read or 0)

    def member(self, rid: str, uid: str) -> Room:
        """The room, for a member of it; raises NotFound for everybody else."""
        room, read = self.row(rid, uid)
        if read is None:
            raise NotFound("You are not in this room.")
        return room

    def of(self, uid: str) -> list[Row]:
        """The rooms of a person, most recently active first."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.smembers(keys.user_rooms(uid))
        pipeline.hgetall(keys.levels(uid))
        return self._rows(uid, *pipeline.execute())

    def of_session(self, uid: str, sid: str) -> tuple[Person, list[Row]] | None:
        """The person and the same rooms, while the session with this id goes on; None when it has
        ended. Reads all of it in the round trips that the rooms take."""
        is_on, stored, ids, levels = self._verified.ask(
            ("HEXISTS", keys.sessions(uid), sid),
            ("HMGET", keys.user(uid), *PERSON_FIELDS),
            ("SMEMBERS", keys.user_rooms(uid)),
            ("HGETALL", keys.levels(uid)),
        )
        person = person_of(uid, stored) if is_on else None
        return (person, self._rows(uid, ids, pairs(levels))) if person else None

    def _rows(self, uid: str, ids: Iterable[str], levels: dict[str, str]) -> list[Row]:
        rows, gone = [], []
        for some in batched(sorted(ids), ROOMS_AT_ONCE):
            for rid, answer in zip(some, self._read(some, uid), strict=True):
                *values, member, read, quiet, mentions = answer
                room = _room(rid, values)
                if room and member is not None:
                    seen, level = int(read or 0), levels.get(rid, ALL)
                    rows.append(Row(room, seen, int(quiet), int(mentions), level))
                else:
                    gone.append(rid)
        for rid in gone:
            self.pointers.agree(rid, [uid])
        rooms = self._named([row.room for row in rows], uid)
        rows = [replace(row, room=room) for room, row in zip(rooms, rows, strict=True)]
        return sorted(rows, key=lambda row: row.room.last.at, reverse=True)

    def _read(self, rids: Sequence[str], uid: str) -> list[list[Any]]:
        """What read_row.lua reads of each of these rooms (at most ROOMS_AT_ONCE)."""
        return self._read_row.each(
            ([make(rid) for make in _OF_ROW] for rid in rids),
            uid=uid,
            chars=LINE_CHARS,
            mentions_limit=MOST_COUNTED,
            everybody=EVERYBODY,
        )

    def unread(self, rid: str, read: int, seq: int) -> int:
        """How many of the events behind number `read`, up to number `seq`, count as unread."""
        return max(0, seq - read - int(self.client.zcount(keys.uncounted(rid), f"({read}", seq)))

    def open(self, limit: int = 200, start: int = 0) -> list[Room]:
        """The rooms anyone may join, most recently active first: `limit` of them from the one at
        place `start` (0: the newest) on."""
        ids = self.client.zrevrange(keys.OPEN_ROOMS, start, start + limit - 1)
        there = []
        for some in batched(ids, ROOMS_AT_ONCE):
            rooms = [
                _room(rid, values[: len(_FIELDS)])
                for rid, values in zip(some, self._read(some, ""), strict=True)
            ]
            there += [room for room in rooms if room and room.kind == OPEN]
        return sorted(there, key=lambda room: room.last.at, reverse=True)

    def open_named(self, text: str, limit: int) -> list[Room]:
        """The newest `limit` open rooms with this text in their name, the last active first. They
        are looked for among the newest MOST_LOOKED_AT: there is no index of names of rooms."""
        wanted = folded(text)
        found: list[Room] = []
        for start in range(0, MOST_LOOKED_AT, AT_ONCE):
            rooms = self.open(AT_ONCE, start)
            found += [room for room in rooms if wanted in folded(room.name)]
            if not rooms or len(found) >= limit:
                break
        return sorted(found, key=lambda room: room.last.at, reverse=True)[:limit]

    def open_count(self) -> int:
        """How many rooms anyone may join."""
        return int(self.client.zcard(keys.OPEN_ROOMS))

    def joined(self, uid: str, rids: Sequence[str]) -> set[str]:
        """Those of these rooms that the person is in."""
        pipeline = self.client.pipeline(transaction=False)
        for rid in rids:
            pipeline.zscore(keys.members(rid), uid)
        scores = pipeline.execute() if rids else []
        return {rid for rid, at in zip(rids, scores, strict=True) if at is not None}

    def count(self, uid: str) -> int:
        """How many rooms are on the person's list."""
        return int(self.client.scard(keys.user_rooms(uid)))

    def counts(self, uids: Sequence[str]) -> dict[str, int]:
        """The same for several people."""
        pipeline = self.client.pipeline(transaction=False)
        for uid in uids:
            pipeline.scard(keys.user_rooms(uid))
        return dict(zip(uids, map(int, pipeline.execute()), strict=True)) if uids else {}

    def size(self, rid: str) -> int:
        """How many members the room has."""
        return int(self.client.zcard(keys.members(rid)))

    def members(self, rid: str, start: int = 0, limit: int = 0) -> list[Person]:
        """Who is in the room, those who joined first first: `limit` of them (0: all) from the one
        at place `start` (0: the first) on."""
        if not limit:
            return self.people.several(self.uids(rid)[start:])
        uids = self.client.zrange(keys.members(rid), start, start + limit - 1)
        return self.people.several(uids)

    def inside(self, rid: str, uids: Sequence[str]) -> set[str]:
        """Those of these people who are in the room."""
        scores = self.client.zmscore(keys.members(rid), uids) if uids else []
        return {uid for uid, at in zip(uids, scores, strict=True) if at is not None}

    def members_named(self, rid: str, text: str, limit: int) -> tuple[list[Person], bool]:
        """At most `limit` members of the room with a word in their name that begins so, and whether
        there may be more. Small rooms are looked through; of large ones those are found who are
        among the first MOST_LOOKED_AT people of such names."""
        start = f" {folded(text)}"
        if self.size(rid) <= SMALL:
            people = self.members(rid)
        else:
            uids = self.people.beginning(text, MOST_LOOKED_AT)
            found: list[str] = []
            for some in batched(uids, LOOKED_AT):
                inside = self.inside(rid, some)
                found += [uid for uid in some if uid in inside]
                if len(found) > limit:
                    break
            people = self.people.several(found[: limit + 1])
        named = [person for person in people if start in f" {folded(person.name)}"]
        return named[:limit], len(named) > limit

    def uids(self, rid: str) -> list[str]:
        """The ids of the members. Of many those who come or go meanwhile may be there or not."""
        key = keys.members(rid)
        uids = list(self.client.zrange(key, 0, IDS_AT_ONCE - 1))
        if len(uids) < IDS_AT_ONCE:
            return uids
        found = dict(self.client.zscan_iter(key, count=IDS_AT_ONCE))
        return sorted(found, key=found.__getitem__)

    def kind(self, rid: str) -> str:
        """The kind of the room, "" for none."""
        return self.client.hget(keys.room(rid), "kind") or ""

    def is_member(self, rid: str, uid: str) -> bool:
        return self._verified.one("ZSCORE", keys.members(rid), uid) is not None

    def are_together(self, uid: str, other: str) -> bool:
        """True when these two, or this one, are in the same room."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.smembers(keys.user_rooms(uid))
        pipeline.smembers(keys.user_rooms(other))
        rooms, others = pipeline.execute()
        return uid == other or not set(rooms).isdisjoint(others)

    def beside(self, uid: str, rid: str) -> tuple[list[Row], int, bool]:
        """A person's rooms, as `of` has them, and of the room `rid`, which is to be shown beside
        them, how many members it has and whether a draft of the person is kept. Round trips less
        than to ask for each."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.smembers(keys.user_rooms(uid))
        pipeline.hgetall(keys.levels(uid))
        pipeline.zcard(keys.members(rid))
        pipeline.hexists(keys.drafts(uid), rid)
        ids, levels, size, draft = pipeline.execute()
        return self._rows(uid, ids, levels), int(size), bool(draft)

    def mend_list(self, rid: str, uid: str) -> None:
        """A member's list lacks the room: a server died between the two writes."""
        self.pointers.agree(rid, [uid])

    def _named(self, rooms: list[Room], uid: str) -> list[Room]:
        """Direct rooms under the names of those in them, without `uid`."""
        uids = {u for room in rooms if room.kind == DIRECT for u in room.name.split(" ")} - {uid}
        names = {uid: found[0] for uid, found in self.people.names(list(uids)).items() if found[0]}
        return [
            replace(room, name=_others(room, names)) if room.kind == DIRECT else room
            for room in rooms
        ]


def event_by(kind: str, person: Person, body: str = "") -> tuple[str, ...]:
    """A new event of a person, as scripts take it."""
    return authored(kind, person.uid, person.name, body, person.tag, person.picture)


def _others(room: Room, names: dict[str, str]) -> str:
    return ", ".join(names[uid] for uid in room.name.split(" ") if uid in names) or "Nobody else"


def _room(rid: str, values: list[str | None]) -> Room | None:
    if not is_own(rid, values, len(_FIELDS)):
        raise refused(keys.room(rid))
    _, name, about, kind, owner, epoch, seq, last, first = values
    if name is None or kind is None or seq is None or last is None or kind == ENDED:
        return None
    newest = Event.parse_line(rid, last)
    return Room(
        rid, name, about or "", kind, owner or "", epoch or "", int(seq), newest, int(first or 1)
    )
