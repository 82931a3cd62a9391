"""Creating, joining, changing and ending rooms, and who their members and owners are."""

from contextlib import suppress

from ..domain.errors import Invalid, NotFound, NotMember, Refused
from ..domain.validation import MAX_ABOUT_CHARS, MAX_ROOM_NAME_CHARS, clean_line, clean_name
from ..store import Person, Room, Store
from ..store.person import GUEST, MEMBER
from ..store.room_kinds import CLOSED, DIRECT, OPEN
from .context import Parts
from .permissions import check_create_rooms, check_manage

MAX_ROOMS = 500  # that a person can join or create, or to which a guest can add somebody
MAX_ROOMS_BY_OTHERS = 2000  # to which people with accounts can add somebody


def create(
    parts: Parts,
    by: Person,
    name: str,
    kind: str,
    about: str,
    members: list[Person],
    nonce: str = "",
) -> str:
    """Create a room and return its id.

    kind: open, closed, or direct; people have one direct room together, which is found again.
    nonce: the name of the form. The same nonce and fields again return the same room.

    Raises Invalid, Refused, TooOften.
    """
    rooms = parts.store.rooms
    if kind == DIRECT:
        parts.limits.use("write", by.uid)
        if not rooms.has_direct(by, members):
            check_can_be_added(parts, by, members)
        return rooms.direct(by, members)
    check_create_rooms(parts.settings, by)
    _check_may_have_more(parts, by)
    clean = _clean({"name": name, "kind": kind, "about": about})
    parts.limits.use("start", by.uid)
    check_can_be_added(parts, by, members)
    return rooms.create(clean["name"], kind, by, members, clean["about"], nonce)


def join(parts: Parts, by: Person, rid: str) -> None:
    """Join an open room. Raises NotFound, Refused."""
    _check_may_have_more(parts, by)
    parts.store.rooms.join(rid, by)


def join_random(parts: Parts, by: Person, nonce: str = "") -> str:
    """Take a seat in a random room and return the room's id. The same nonce again returns the same
    seat. Raises Refused."""
    _check_may_have_more(parts, by)
    return parts.store.rooms.join_random(by, parts.settings.random_seats, nonce)


def edit(parts: Parts, by: Person, rid: str, fields: dict[str, str]) -> None:
    """Change those of `name`, `about` and `kind` of a room that `fields` has, all or none. Raises
    NotFound, Refused, Invalid, TooOften."""
    room_to_manage(parts.store, rid, by)
    clean = _clean(fields)
    parts.limits.use("post", by.uid)
    for field, value in clean.items():
        parts.store.rooms.edit(rid, by, field, value)


def end(store: Store, by: Person, rid: str, address: str) -> None:
    """End a room for everyone. Raises NotFound, Refused.

    The audit log records it, unless a guest was alone in the room: that concerns nobody else, and
    guests could fill the log with it.

    address: the IP address of the person, for the audit log.
    """
    room = room_to_manage(store, rid, by)
    if by.is_at_least(MEMBER) or store.rooms.size(rid) > 1:  # logged first, so it is never missing
        store.audit_log.note(by, "ended the room", f"{room.name} ({rid})", address)
    store.rooms.end(rid, by)


def add_members(parts: Parts, by: Person, rid: str, people: list[Person]) -> None:
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


def remove_member(parts: Parts, by: Person, rid: str, uid: str) -> None:
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


def _clean(fields: dict[str, str]) -> dict[str, str]:
    """Return those of `name`, `about` and `kind` that `fields` has, checked. Raises Invalid."""
    clean = dict(fields)
    if fields.get("kind", OPEN) not in (OPEN, CLOSED):
        raise Invalid("A room must be open or closed.")
    if "name" in fields:
        clean["name"] = clean_name(fields["name"], "name of the room", MAX_ROOM_NAME_CHARS)
    if "about" in fields:
        clean["about"] = clean_line(fields["about"], "topic", MAX_ABOUT_CHARS)
    return clean


def room_to_read(store: Store, rid: str, uid: str) -> Room:
    """Return the room, for a member. For others, raises NotMember if the room is open, and NotFound
    otherwise."""
    room, read = store.rooms.row(rid, uid)
    if read is None:
        raise NotMember("Join the room first to read it.") if room.kind == OPEN else NotFound("")
    return room


def room_to_manage(store: Store, rid: str, by: Person) -> Room:
    """The room, for a person who may manage it. Raises NotFound, Refused."""
    room = store.rooms.member(rid, by.uid)
    check_manage(by, room)
    return room


def check_can_be_added(parts: Parts, by: Person, people: list[Person]) -> None:
    """Raise Invalid if one of the people is in too many rooms for `by` to add them to another one.

    Every page of a person contains their whole room list. Nobody is asked before they are added
    to a room, and one visitor may sign in as many guests. So the limit is lower for guests than for
    people with accounts.
    """
    most = MAX_ROOMS if by.role == GUEST else MAX_ROOMS_BY_OTHERS
    others = [person for person in people if person.uid != by.uid]
    counts = parts.store.rooms.counts([person.uid for person in others])
    full = next((person for person in others if counts[person.uid] >= most), None)
    if parts.settings.limits and full:
        raise Invalid(f"{full.name} is in {most:,} rooms already and cannot be added to another.")


def _check_may_have_more(parts: Parts, by: Person) -> None:
    """Raise Refused if a person is in MAX_ROOMS already. Direct rooms do not count: others can
    start them, and nobody can leave them."""
    rooms = parts.store.rooms
    if not parts.settings.limits or rooms.counts([by.uid])[by.uid] < MAX_ROOMS:
        return
    if sum(row.room.kind != DIRECT for row in rooms.of(by.uid)) >= MAX_ROOMS:
        raise Refused(f"You are in {MAX_ROOMS} rooms, which is the limit. Leave one first.")
