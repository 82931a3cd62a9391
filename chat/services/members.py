"""Adding and removing the members of a room, and changing its owner."""

from contextlib import suppress

from ..domain.errors import Invalid, NotFound
from ..store import Person, Store
from .context import Parts
from .permissions import check_manage
from .rooms import check_can_be_added, room_to_manage


def add(parts: Parts, by: Person, rid: str, people: list[Person]) -> None:
    """Add people to a room. Raises NotFound, Refused, TooOften, and Invalid if there are no people
    or one of them is in too many rooms."""
    rooms = parts.store.rooms
    room_to_manage(parts.store, rid, by)
    if not people:
        raise Invalid("Select the people to add.")
    parts.limits.use("members", by.uid)
    inside = rooms.inside(rid, [person.uid for person in people])
    check_can_be_added(parts, by, [person for person in people if person.uid not in inside])
    for person in people:
        rooms.add(rid, by, person)


def remove(parts: Parts, by: Person, rid: str, uid: str) -> None:
    """Remove a person from a room; nothing happens if they are not a member. Raises NotFound,
    Refused, TooOften."""
    store = parts.store
    room_to_manage(store, rid, by)
    person = store.people.existing(uid)
    parts.limits.use("members", by.uid)
    with suppress(NotFound):
        store.rooms.remove(rid, by, person)


def set_owner(store: Store, by: Person, rid: str, uid: str) -> None:
    """Make a member the owner of a room; nothing happens if they own it already. Raises NotFound,
    Refused, Invalid."""
    room = store.rooms.member(rid, by.uid)
    if room.owner == uid != by.uid:  # the previous owner sent the same request again
        return
    check_manage(by, room)
    person = store.people.get(uid)
    if person is None or person.deactivated:
        raise Invalid("Choose the new owner of the room.")
    store.rooms.edit(rid, by, "owner", person.uid, person.name)
