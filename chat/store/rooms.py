"""Rooms and who is in them.

A room's own keys are the truth. What points to it (its members' lists, the index of open rooms,
the seats of random ones) is written after it, and made to agree with it (`room_pointers`). Every
change may be made again after an unknown outcome: it then finishes what was begun.
"""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from ..domain import events
from ..domain.errors import Invalid, NotFound, Refused
from ..domain.events import authored
from . import keys
from .batches import AT_ONCE, ask_each
from .lua import Script
from .people import People
from .person import Person
from .room_kinds import DIRECT, OPEN, RANDOM
from .room_pointers import RoomPointers
from .room_reads import NO_SUCH_ROOM, ROOM_ID, RoomReads
from .unfinished import MEMBER, ROOM, SEATS

NONCE_SECONDS = 24 * 3600  # for which the seat that a form asked for is known by its nonce
MAX_MEMBERS = 10_000  # of a room, when it is started
MAX_DIRECT_MEMBERS = 10  # people in a direct room


class Rooms(RoomReads):
    def __init__(self, client: Any, people: People, pointers: RoomPointers) -> None:
        super().__init__(client, people, pointers)
        self._change = people.unfinished.change
        self._create_room = Script(client, "create_room")
        self._join_room = Script(client, "join")
        self._leave_room = Script(client, "leave")
        self._edit_room = Script(client, "edit_room")
        self._end_room = Script(client, "end_room")
        self._seat = Script(client, "seat")
        self._release_seat = Script(client, "release_seat")

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
        uids = list(dict.fromkeys([owner.uid, *(person.uid for person in members)]))[:MAX_MEMBERS]
        said = (nonce, name, kind, about, *sorted(uids))
        rid = keys.repeatable_id("room", owner.uid, *said) if nonce else keys.new_id()
        created = self._create(rid, name, kind, owner, uids, owner.uid, about)
        if not created and not self.is_member(rid, owner.uid):
            raise Invalid("You have already created this room and left it. Create another one?")
        return rid

    def direct(self, person: Person, others: Iterable[Person]) -> str:
        """The room of exactly these people, begun when it is the first time; returns its id,
        which is made of theirs. Raises Invalid for fewer than two or too many."""
        uids = sorted({person.uid, *(other.uid for other in others)})
        if not 2 <= len(uids) <= MAX_DIRECT_MEMBERS:
            raise Invalid(f"Choose between one and {MAX_DIRECT_MEMBERS - 1} people to write to.")
        rid = keys.direct_room_id(uids)
        if not self.client.exists(keys.room(rid)):
            self._create(rid, " ".join(uids), DIRECT, person, uids, "")
        elif lacking := self.lacking(rid, uids):
            self.pointers.agree(rid, lacking)
        return rid

    def lacking(self, rid: str, uids: Sequence[str]) -> list[str]:
        """Those of these people whose list of rooms lacks the room."""
        listed = ask_each(self.client, "sismember", ((keys.user_rooms(uid), rid) for uid in uids))
        return [uid for uid, is_listed in zip(uids, listed, strict=True) if not is_listed]

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
                    nonce_seconds=NONCE_SECONDS,
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

    def join(self, rid: str, person: Person) -> None:
        """Make the person a member of an open room; a member stays one. Raises NotFound when
        there is no such open room."""
        self._come(rid, person.uid, event_by(events.JOIN, person), OPEN)

    def add(self, rid: str, by: Person, person: Person) -> None:
        """`by` adds a person to an open or closed room; a member stays one. Raises NotFound."""
        self._come(rid, person.uid, event_by(events.ADD, by, person.name), "")

    def _come(self, rid: str, uid: str, event: Sequence[str], kind: str) -> None:
        if not ROOM_ID.fullmatch(rid):
            raise NotFound(NO_SUCH_ROOM)
        with self._change(MEMBER, rid, uid):
            if self._join(rid, uid, event, kind) < 0:
                raise NotFound("There is no such room, or it is not open to everyone.")
            self.pointers.agree(rid, [uid])

    def leave(self, rid: str, person: Person) -> None:
        """The person leaves; with the last one the room ends. Raises NotFound for who is no
        member (any more), Refused for an owner who has not handed over, and in direct rooms."""
        self._leave(rid, person.uid, event_by(events.LEAVE, person))

    def release_ownership(self, person: Person) -> None:
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
            able = (one for one in some if one.uid != uid and not one.deactivated and not one.bot)
            if heir := next(able, None):
                return heir
        return None

    def remove(self, rid: str, by: Person, person: Person) -> None:
        """`by` removes a person from a room; raises as `leave` does."""
        self._leave(rid, person.uid, event_by(events.REMOVE, by, person.name))

    def _join(self, rid: str, uid: str, event: Sequence[str], kind: str, limit: int = 0) -> int:
        return int(self._join_room(keys.of_room(rid), event, uid=uid, kind=kind, limit=limit))

    def _leave(self, rid: str, uid: str, event: Sequence[str]) -> None:
        if not ROOM_ID.fullmatch(rid):
            raise NotFound(NO_SUCH_ROOM)
        with self._change(MEMBER, rid, uid):
            size = self._leave_room(keys.of_ending(rid), event, uid=uid)
            if size == -2:
                raise Refused("The owner cannot leave before another member owns the room.")
            if size == -3:
                raise Refused("The members of a direct room cannot change.")
            # Also of who was out of it before: the answer that said so may have been lost.
            self.pointers.agree(rid, [uid])
            if size == -1:
                raise NotFound("That person is not in this room.")

    def edit(self, rid: str, by: Person, field: str, value: str, to: str = "") -> None:
        """Change `name`, `about`, `kind` (open or closed) or `owner` (a member's id, `to` being
        the name) of an open or closed room. Raises NotFound."""
        kind = {"kind": value}.get(field, field)
        event = event_by(kind, by, to or ("" if field == "kind" else value))
        with self._change(ROOM, rid):
            changed = self._edit_room(keys.of_room(rid), event, field=field, value=value)
            if changed == -1:
                raise NotFound(NO_SUCH_ROOM)
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


def event_by(kind: str, person: Person, body: str = "") -> tuple[str, ...]:
    """A new event of a person, as scripts take it."""
    return authored(kind, person.uid, person.name, body, person.tag, person.picture)
