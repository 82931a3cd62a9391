"""Changing rooms and their members.

A room's own keys are authoritative. What points to it (its members' lists, the index of open rooms,
the seats of random rooms) is written afterwards and made to agree with it (`room_pointers`). Every
change can be repeated after an unknown outcome: it then completes what was begun.
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

NONCE_SECONDS = 24 * 3600  # for which a form that is sent again gets the same seat
MAX_MEMBERS = 10_000  # of a new room
MAX_DIRECT_MEMBERS = 10  # of a direct room


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
        """Create an open or closed room, with its owner as the first member; returns its id.

        The id is made of all arguments, so a repeat with the same nonce gives the same room. An
        empty nonce is never a repeat. Raises Invalid for a repeat if the owner has left."""
        uids = list(dict.fromkeys([owner.uid, *(person.uid for person in members)]))[:MAX_MEMBERS]
        said = (nonce, name, kind, about, *sorted(uids))
        rid = keys.repeatable_id("room", owner.uid, *said) if nonce else keys.new_id()
        created = self._create(rid, name, kind, owner, uids, owner.uid, about)
        if not created and not self.is_member(rid, owner.uid):
            raise Invalid("You have already created this room and left it. Create another one?")
        return rid

    def direct(self, person: Person, others: Iterable[Person]) -> str:
        """Return the id of the direct room of exactly these people, which is created if there is
        none. The id is made from theirs. Raises Invalid for fewer than two or too many people."""
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
        """Return those of these people whose room list lacks the room."""
        listed = ask_each(self.client, "sismember", ((keys.user_rooms(uid), rid) for uid in uids))
        return [uid for uid, is_listed in zip(uids, listed, strict=True) if not is_listed]

    def has_direct(self, person: Person, others: Iterable[Person]) -> bool:
        """True if `direct` would create no room."""
        uids = sorted({person.uid, *(other.uid for other in others)})
        return bool(self.client.exists(keys.room(keys.direct_room_id(uids))))

    def join_random(self, person: Person, seats: int, nonce: str = "") -> str:
        """Join the fullest random room with a free seat that the person is not in, or a new one;
        returns its id. A room never has more than `seats` members. A repeat with the same nonce
        gives the same room while the person is in it. An empty nonce is never a repeat."""
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
                if self._take_seat(rid, person, f"Random chat {count}", seats):
                    return str(rid)

    def _take_seat(self, rid: str, person: Person, name: str, seats: int) -> bool:
        """Take a reserved seat. Returns False if the room has ended, or is full after all."""
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
        """Create a room; returns False if it exists. In both cases, what points to it agrees with
        it afterwards."""
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
            if created or kind != RANDOM:  # this does not concern the others in a random room
                self.pointers.agree_room(rid)
                self.client.spublish(keys.ROOMS, rid)
        return created

    def join(self, rid: str, person: Person) -> None:
        """Make the person a member of an open room; nothing changes for a member. Raises NotFound
        if there is no such open room."""
        self._enter(rid, person.uid, event_by(events.JOIN, person), OPEN)

    def add(self, rid: str, by: Person, person: Person) -> None:
        """`by` adds a person to an open or closed room; nothing changes for a member. Raises
        NotFound."""
        self._enter(rid, person.uid, event_by(events.ADD, by, person.name), "")

    def _enter(self, rid: str, uid: str, event: Sequence[str], kind: str) -> None:
        if not ROOM_ID.fullmatch(rid):
            raise NotFound(NO_SUCH_ROOM)
        with self._change(MEMBER, rid, uid):
            if self._join(rid, uid, event, kind) < 0:
                raise NotFound("There is no such room, or it is not open to everyone.")
            self.pointers.agree(rid, [uid])

    def leave(self, rid: str, person: Person) -> None:
        """The person leaves the room; it ends with the last one. Raises NotFound for somebody who
        is not a member (any more), and Refused in direct rooms and for the owner while others are
        in the room."""
        self._leave(rid, person.uid, event_by(events.LEAVE, person))

    def release_ownership(self, person: Person) -> None:
        """Let a person who will not come back leave random rooms, and give their own rooms to the
        longest-standing members. Their messages and memberships stay."""
        for room in [row.room for row in self.of(person.uid)]:
            if room.kind == RANDOM:
                with suppress(NotFound):  # has left meanwhile
                    self.leave(room.rid, person)
            elif room.owner == person.uid and (owner := self._next_owner(room.rid, person.uid)):
                self.edit(room.rid, person, "owner", owner.uid, owner.name)

    def _next_owner(self, rid: str, uid: str) -> Person | None:
        """The longest-standing member who can own the room instead of `uid`."""
        for start in range(0, self.size(rid), AT_ONCE):
            some = self.members(rid, start, AT_ONCE)
            able = (one for one in some if one.uid != uid and not one.deactivated and not one.bot)
            if owner := next(able, None):
                return owner
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
            # Also for somebody who was not a member, because an earlier answer may have been lost.
            self.pointers.agree(rid, [uid])
            if size == -1:
                raise NotFound("That person is not in this room.")

    def edit(self, rid: str, by: Person, field: str, value: str, to: str = "") -> None:
        """Change `name`, `about`, `kind` (open or closed) or `owner` (a member's id; `to` is the
        name) of an open or closed room. Raises NotFound, and Invalid for an owner who is not a
        member."""
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
        """End the room: nobody is in it or finds it any more. Its messages are kept for 30 days.
        Repeating it changes nothing."""
        with self._change(ROOM, rid):
            self._end_room(keys.of_ending(rid), event_by(events.END, by))
            self.pointers.agree_room(rid)


def event_by(kind: str, person: Person, body: str = "") -> tuple[str, ...]:
    """Return a new event of a person, as the scripts expect it."""
    return authored(kind, person.uid, person.name, body, person.tag, person.picture)
