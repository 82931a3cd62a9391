"""Who may do what, in one place for pages and API alike. Who may read and write in a room is
decided in the store: its members."""

from ..domain.errors import Refused
from ..domain.events import POST, Event
from ..store import Person, Room
from ..store.people import ADMIN, GUEST, MEMBER, MODERATOR
from ..store.room_kinds import CLOSED, DIRECT, OPEN
from .context import chat

# CHAT_CREATE_ROOMS, and the role that each of its values asks for.
CREATORS = {"everyone": GUEST, "members": MEMBER, "moderators": MODERATOR, "admins": ADMIN}


def may_create_rooms(person: Person) -> bool:
    """True for those whom CHAT_CREATE_ROOMS names; direct and random rooms are everybody's."""
    return person.is_at_least(CREATORS[chat().settings.create_rooms])


def may_manage(person: Person, room: Room) -> bool:
    """True for who may change and end the room and choose who is in it: its owner, and
    moderators who are in it."""
    if room.kind not in (OPEN, CLOSED):
        return False
    return room.owner == person.uid or person.is_at_least(MODERATOR)


def may_change_others(person: Person, room: Room) -> bool:
    """True for who may change and delete what others wrote: moderators, in rooms with more
    than the two or few of a direct one."""
    return room.kind != DIRECT and person.is_at_least(MODERATOR)


def may_change(person: Person, room: Room, event: Event) -> bool:
    """True for who may change or delete this message."""
    return event.kind == POST and (event.uid == person.uid or may_change_others(person, room))


def check_create_rooms(person: Person) -> None:
    """Raise Refused for who may not create rooms."""
    if not may_create_rooms(person):
        who = {MEMBER: "people with an account", MODERATOR: "moderators", ADMIN: "admins"}
        raise Refused(f"Only {who[CREATORS[chat().settings.create_rooms]]} start rooms here.")


def check_manage(person: Person, room: Room) -> None:
    """Raise Refused for who may not manage the room."""
    if not may_manage(person, room):
        raise Refused("Only the owner of the room and moderators may do that.")


def check_admin(person: Person) -> None:
    """Raise Refused for who is no admin."""
    if not person.is_at_least(ADMIN):
        raise Refused("Only admins may do that.")
