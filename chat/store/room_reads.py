"""Reading rooms, lists of rooms, and the members of a room."""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from ..domain.errors import NotFound
from ..domain.events import Event
from ..domain.mentions import EVERYBODY
from . import keys
from .batches import AT_ONCE, IDS_AT_ONCE, ROOMS_AT_ONCE, ask_each, batched, members_among
from .lua import Script
from .name_index import folded, uids_beginning
from .notifications import ALL, MAX_COUNTED_MENTIONS, MENTIONS
from .people import SCAN_COUNT, People
from .person import FIELDS as PERSON_FIELDS
from .person import Person, person_of
from .room_kinds import DIRECT, ENDED, OPEN
from .room_pointers import RoomPointers
from .verified import Verified, check_own, pairs

log = logging.getLogger(__name__)

MAX_SCANNED_MEMBERS = 500  # of a room in which all members are read to find a name
MAX_SEARCHED = 2000  # rooms or people that are read to fill one page
ROOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = ("rid", "name", "about", "kind", "owner", "epoch", "seq", "last", "first")
_OF_ROW = keys.room, keys.members, keys.read, keys.uncounted, keys.mentioned
NO_SUCH_ROOM = "There is no such room."
# Characters of the newest message that the room list gets; it shows fewer
# (markdown.GIST_SOURCE_CHARS).
MAX_LINE_CHARS = 420


@dataclass(frozen=True, slots=True)
class Room:
    """`seq` is the number of the newest event, `last` the newest event that is not silent. If the
    database is lost and the numbers of the room start again, `epoch` changes, because the same
    numbers then mean other events. `first` is the oldest number that is kept. `owner` is "" if
    there is none. The name of a direct room is the names of the others in it."""

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
        """The time of the newest event in ms; 0 if that is silent, because its time is not stored
        here."""
        return self.last.at if self.last.seq == self.seq else 0


@dataclass(frozen=True, slots=True)
class Row:
    """A room in a person's list. `read` is the number of the newest event that the person has seen,
    `uncounted` how many of the events since then do not count as unread, and `mentions` how many
    mention the person. `notification_level` is one of notifications.LEVELS."""

    room: Room
    read: int
    uncounted: int = 0
    mentions: int = 0
    notification_level: str = ALL

    @property
    def unread(self) -> int:
        return max(0, self.room.seq - self.read - self.uncounted)

    @property
    def calls(self) -> int:
        """Return how many unread events the person wants to be notified of."""
        return {ALL: self.unread, MENTIONS: self.mentions}.get(self.notification_level, 0)


class RoomReads:
    def __init__(self, client: Any, people: People, pointers: RoomPointers) -> None:
        self.client = client
        self.people = people
        self.pointers = pointers
        self._verified = Verified(client)
        self._read_row = Script(client, "read_row")

    def get(self, rid: str, uid: str = "") -> Room:
        """Return the room, with the name that `uid` sees. Raises NotFound."""
        values = self.client.hmget(keys.room(rid), _FIELDS) if ROOM_ID.fullmatch(rid) else None
        room = _room(rid, values) if values else None
        if room is None:
            raise NotFound(NO_SUCH_ROOM)
        return self._named([room], uid)[0]

    def row(self, rid: str, uid: str) -> tuple[Room, int | None]:
        """The room, and the number of the newest event that `uid` has seen; None if `uid` is not a
        member. Raises NotFound if there is no such room or `uid` cannot see it."""
        if not ROOM_ID.fullmatch(rid):
            raise NotFound(NO_SUCH_ROOM)
        values, member, read = self._verified.ask(
            ("HMGET", keys.room(rid), *_FIELDS),
            ("ZSCORE", keys.members(rid), uid),
            ("HGET", keys.read(rid), uid),
        )
        room = _room(rid, values)
        if room is None or (member is None and room.kind != OPEN):
            raise NotFound(NO_SUCH_ROOM)
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
        pipeline.hgetall(keys.notification_levels(uid))
        return self._rows(uid, *pipeline.execute())

    def of_session(self, uid: str, sid: str) -> tuple[Person, list[Row]] | None:
        """The person and their rooms while the session with this id lasts; None after it. Needs no
        more round trips than the rooms alone."""
        is_on, stored, ids, levels = self._verified.ask(
            ("HEXISTS", keys.sessions(uid), sid),
            ("HMGET", keys.user(uid), *PERSON_FIELDS),
            ("SMEMBERS", keys.user_rooms(uid)),
            ("HGETALL", keys.notification_levels(uid)),
        )
        person = person_of(uid, stored) if is_on else None
        return (person, self._rows(uid, ids, pairs(levels))) if person else None

    def _rows(self, uid: str, ids: Iterable[str], levels: dict[str, str]) -> list[Row]:
        rows, gone = [], []
        for rid, room, is_member, read, uncounted, mentions in self._read(sorted(ids), uid):
            if room and is_member:
                rows.append(Row(room, read, uncounted, mentions, levels.get(rid, ALL)))
            else:
                gone.append(rid)
        for rid in gone:
            self.pointers.agree(rid, [uid])
        rooms = self._named([row.room for row in rows], uid)
        rows = [replace(row, room=room) for room, row in zip(rooms, rows, strict=True)]
        return sorted(rows, key=lambda row: row.room.last.at, reverse=True)

    def _read(
        self, rids: Iterable[str], uid: str = ""
    ) -> Iterator[tuple[str, Room | None, bool, int, int, int]]:
        """The id of each room, the room (None if there is none), whether `uid` is a member, and
        `read`, `uncounted` and `mentions` of Row. A room with a number that is none is left out."""
        for some in batched(rids, ROOMS_AT_ONCE):
            answers = self._read_row.each(
                ([make(rid) for make in _OF_ROW] for rid in some),
                uid=uid,
                chars=MAX_LINE_CHARS,
                mentions_limit=MAX_COUNTED_MENTIONS,
                everybody=EVERYBODY,
            )
            for rid, answer in zip(some, answers, strict=True):
                *values, member, read, uncounted, mentions = answer
                try:
                    room, seen = _room(rid, values), int(read or 0)
                except ValueError:
                    _report_unreadable(rid)
                else:
                    yield rid, room, member is not None, seen, uncounted, mentions

    def unread(self, rid: str, read: int, seq: int) -> int:
        """Return how many of the events after number `read`, up to number `seq`, count as
        unread."""
        return max(0, seq - read - int(self.client.zcount(keys.uncounted(rid), f"({read}", seq)))

    def open(self, limit: int = 200, start: int = 0) -> list[Room]:
        """Open rooms: `limit` of them from index `start` (0: the newest room), most recently active
        first."""
        ids = self.client.zrevrange(keys.OPEN_ROOMS, start, start + limit - 1)
        there = [room for _, room, *_ in self._read(ids) if room and room.kind == OPEN]
        return sorted(there, key=lambda room: room.last.at, reverse=True)

    def open_named(self, text: str, limit: int) -> list[Room]:
        """The newest `limit` open rooms with this text in their name, most recently active first.
        There is no index of room names, so only the newest MAX_SEARCHED rooms are searched."""
        wanted = folded(text)
        found: list[Room] = []
        for start in range(0, MAX_SEARCHED, AT_ONCE):
            rooms = self.open(AT_ONCE, start)
            found += [room for room in rooms if wanted in folded(room.name)]
            if not rooms or len(found) >= limit:
                break
        return sorted(found, key=lambda room: room.last.at, reverse=True)[:limit]

    def open_count(self) -> int:
        """Return how many open rooms there are."""
        return int(self.client.zcard(keys.OPEN_ROOMS))

    def joined(self, uid: str, rids: Collection[str]) -> set[str]:
        """Return those of these rooms that the person is in."""
        scores = ask_each(self.client, "zscore", ((keys.members(rid), uid) for rid in rids))
        return {rid for rid, at in zip(rids, scores, strict=True) if at is not None}

    def counts(self, uids: Sequence[str]) -> dict[str, int]:
        """Return how many rooms are on each of these people's lists."""
        counts = ask_each(self.client, "scard", ((keys.user_rooms(uid),) for uid in uids))
        return dict(zip(uids, map(int, counts), strict=True))

    def size(self, rid: str) -> int:
        """Return how many members the room has."""
        return int(self.client.zcard(keys.members(rid)))

    def members(self, rid: str, start: int = 0, limit: int = MAX_SCANNED_MEMBERS) -> list[Person]:
        """Members of the room in the order in which they joined: at most `limit` from index
        `start`."""
        uids = self.client.zrange(keys.members(rid), start, start + limit - 1)
        return self.people.several(uids)

    def inside(self, rid: str, uids: Sequence[str]) -> set[str]:
        """Return those of these people who are in the room."""
        return set(members_among(self.client, keys.members(rid), uids))

    def members_named(self, rid: str, text: str, limit: int) -> tuple[list[Person], bool]:
        """At most `limit` members with a word in their name that begins with this text, and whether
        there may be more. All members of a small room are read; of a large one, only those among
        the first MAX_SEARCHED people with such a name are found."""
        start = f" {folded(text)}"
        if self.size(rid) <= MAX_SCANNED_MEMBERS:
            people = self.members(rid)
        else:
            uids = uids_beginning(self.client, text, MAX_SEARCHED)
            batches = batched(uids, SCAN_COUNT)
            found = chain.from_iterable(
                members_among(self.client, keys.members(rid), some) for some in batches
            )
            people = self.people.several(list(islice(found, limit + 1)))
        named = [person for person in people if start in f" {folded(person.name)}"]
        return named[:limit], len(named) > limit

    def uids(self, rid: str) -> list[str]:
        """The ids of the members. In a large room, members who join or leave meanwhile may be
        missing or included."""
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
        """True if these two people share a room, or are the same person."""
        lists = ((keys.user_rooms(uid),), (keys.user_rooms(other),))
        rooms, others = ask_each(self.client, "smembers", lists)
        return uid == other or not set(rooms).isdisjoint(others)

    def beside(self, uid: str, rid: str) -> tuple[list[Row], int, bool]:
        """Return a person's rooms, as `of` does. For the room `rid`, which is shown beside the
        list, also return how many members it has and whether the person has a draft there. Takes no
        more round trips than `of`."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.smembers(keys.user_rooms(uid))
        pipeline.hgetall(keys.notification_levels(uid))
        pipeline.zcard(keys.members(rid))
        pipeline.hexists(keys.drafts(uid), rid)
        ids, levels, size, draft = pipeline.execute()
        return self._rows(uid, ids, levels), int(size), bool(draft)

    def _named(self, rooms: list[Room], uid: str) -> list[Room]:
        """Return the rooms, direct ones with the names of their members except `uid`."""
        uids = {u for room in rooms if room.kind == DIRECT for u in room.name.split(" ")} - {uid}
        names = {uid: found[0] for uid, found in self.people.names(list(uids)).items() if found[0]}
        return [
            replace(room, name=_others(room, names)) if room.kind == DIRECT else room
            for room in rooms
        ]


def _others(room: Room, names: dict[str, str]) -> str:
    return ", ".join(names[uid] for uid in room.name.split(" ") if uid in names) or "Nobody else"


@lru_cache(maxsize=1000)  # one line for each room in a process, however often it is listed
def _report_unreadable(rid: str) -> None:
    log.error("the room %s has a number that cannot be read: lists omit it, see chat check", rid)


def _room(rid: str, values: list[str | None]) -> Room | None:
    """The room with these _FIELDS, None if there is none. Raises ValueError if a number is none,
    and WrongReply for the fields of another room."""
    check_own(keys.room(rid), rid, values, len(_FIELDS))
    _, name, about, kind, owner, epoch, seq, last, first = values
    if name is None or kind is None or seq is None or last is None or kind == ENDED:
        return None
    newest = Event.parse_line(rid, last)
    return Room(
        rid, name, about or "", kind, owner or "", epoch or "", int(seq), newest, int(first or 1)
    )
