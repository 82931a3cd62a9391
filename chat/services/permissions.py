"""Decides what each person may do, for pages and the API alike. The store decides who may read and
write in a room: its members."""

from ..config import Settings
from ..domain.errors import Refused
from ..domain.events import POST, Event
from ..store import Person, Room
from ..store.person import ADMIN, GUEST, MEMBER, MODERATOR
from ..store.room_kinds import CLOSED, DIRECT, OPEN

# The role that each value of CHAT_CREATE_ROOMS requires.
CREATORS = {"everyone": GUEST, "members": MEMBER, "moderators": MODERATOR, "admins": ADMIN}


def may_create_rooms(settings: Settings, person: Person) -> bool:
    """True if CHAT_CREATE_ROOMS lets a person create rooms. Everybody may create direct and random
    rooms."""
    return person.is_at_least(CREATORS[settings.create_rooms])


def may_manage(person: Person, room: Room) -> bool:
    """True if a member may change and end a room, and add and remove its members: the owner and
    moderators may."""
    if room.kind not in (OPEN, CLOSED):
        return False
    return room.owner == person.uid or person.is_at_least(MODERATOR)


def may_change_others(person: Person, room: Room) -> bool:
    """True if a member may edit and delete the messages of others: moderators may, except in direct
    rooms."""
    return room.kind != DIRECT and person.is_at_least(MODERATOR)


def may_change(person: Person, room: Room, event: Event) -> bool:
    """True if a member may edit and delete this message."""
    return event.kind == POST and (event.uid == person.uid or may_change_others(person, room))


def check_create_rooms(settings: Settings, person: Person) -> None:
    """Raise Refused if a person may not create rooms."""
    if not may_create_rooms(settings, person):
        who = {MEMBER: "people with an account", MODERATOR: "moderators", ADMIN: "administrators"}
        raise Refused(f"Only {who[CREATORS[settings.create_rooms]]} can create rooms here.")


def check_manage(person: Person, room: Room) -> None:
    """Raise Refused if a member may not manage the room."""
    if not may_manage(person, room):
        raise Refused("Only the owner of the room and moderators may do that.")


def check_admin(person: Person) -> None:
    """Raise Refused if a person is not an administrator."""
    if not person.is_at_least(ADMIN):
        raise Refused("Only administrators may do that.")
