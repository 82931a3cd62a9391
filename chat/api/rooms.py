"""Operations on rooms and their members."""

from typing import Any

from flask import g

from ..rendering.serializers import person_json, room_json
from ..runtime.cooperation import in_pieces
from ..services import rooms
from ..services.context import chat
from ..web.security import address
from .operation import Operations
from .people import active_people
from .schemas import ID, NONCE, PAGE_SIZE, PAGING, PERSON_IDS, ROOM_FIELDS, integer

MAX_OWN_ROOMS = 1000  # in one answer
CREATION_FIELDS = {**ROOM_FIELDS, "members": PERSON_IDS, "nonce": NONCE}

operations = Operations()


@operations.add(
    "my_rooms", "GET", "/rooms", "OwnRooms", query={**PAGING, "limit": integer(1, MAX_OWN_ROOMS)}
)
def list_own_rooms(limit: int = MAX_OWN_ROOMS, skip: int = 0) -> Any:
    """Your rooms, most recently active first."""
    rows = chat().store.rooms.of(g.person.uid)
    page = in_pieces(rows[skip : skip + limit])
    listed = [{**room_json(row.room), "unread": row.unread} for row in page]
    return {"rooms": listed, "total": len(rows)}


@operations.add("open_rooms", "GET", "/open-rooms", "Rooms", query=PAGING)
def list_open_rooms(limit: int = PAGE_SIZE, skip: int = 0) -> Any:
    """Rooms that anyone may join, newest first."""
    found = chat().store.rooms.open(limit, skip)
    total = chat().store.rooms.open_count()
    return {"rooms": [room_json(room) for room in in_pieces(found)], "total": total}


@operations.add(
    "create_room", "POST", "/rooms", "Room", body=CREATION_FIELDS, status=201, id_field="id"
)
def create_room(
    name: str, kind: str = "open", about: str = "", members: Any = (), nonce: str = ""
) -> Any:
    """Create a room; repeating the same nonce and fields returns the same room."""
    picked = active_people(members)
    return shown(rooms.create(chat(), g.person, name, kind, about, picked, nonce))


@operations.add(
    "write_to", "POST", "/direct-rooms", "Room", body={"members": PERSON_IDS}, id_field="id"
)
def create_direct_room(members: list[str]) -> Any:
    """Get or create the direct room with these people."""
    return create_room("", "direct", members=members)


@operations.add(
    "random_room", "POST", "/random-rooms", "Room", query={"nonce": NONCE}, id_field="id"
)
def join_random_room(nonce: str = "") -> Any:
    """Join a random room; repeating the same nonce returns the same room."""
    return shown(rooms.join_random(chat(), g.person, nonce))


@operations.add("room", "GET", "/rooms/<rid>", "Room")
def get_room(rid: str) -> Any:
    """One room."""
    found, _ = chat().store.rooms.row(rid, g.person.uid)
    return room_json(found)


@operations.add("edit_room", "PATCH", "/rooms/<rid>", "Room", body=ROOM_FIELDS)
def edit_room(rid: str, **fields: str) -> Any:
    """Change a room."""
    rooms.edit(chat(), g.person, rid, fields)
    return shown(rid)


@operations.add("end_room", "DELETE", "/rooms/<rid>")
def end_room(rid: str) -> None:
    """End a room for everyone."""
    rooms.end(chat().store, g.person, rid, address())


@operations.add("join_room", "POST", "/rooms/<rid>/join", "Room")
def join_room(rid: str) -> Any:
    """Join an open room."""
    rooms.join(chat(), g.person, rid)
    return shown(rid)


@operations.add("leave_room", "POST", "/rooms/<rid>/leave")
def leave_room(rid: str) -> None:
    """Leave a room."""
    chat().store.rooms.leave(rid, g.person)


@operations.add("room_members", "GET", "/rooms/<rid>/members", "Members", query=PAGING)
def list_members(rid: str, limit: int = PAGE_SIZE, skip: int = 0) -> Any:
    """The members of a room, in the order in which they joined."""
    chat().store.rooms.member(rid, g.person.uid)
    found, total = chat().store.rooms.members(rid, skip, limit), chat().store.rooms.size(rid)
    return {"people": [person_json(member) for member in in_pieces(found)], "total": total}


@operations.add(
    "add_members", "POST", "/rooms/<rid>/members", "Members", body={"members": PERSON_IDS}
)
def add_members(rid: str, members: list[str]) -> Any:
    """Add people to a room."""
    rooms.add_members(chat(), g.person, rid, active_people(members))
    return list_members(rid)


@operations.add("remove_member", "DELETE", "/rooms/<rid>/members/<uid>")
def remove_member(rid: str, uid: str) -> None:
    """Remove a member."""
    rooms.remove_member(chat(), g.person, rid, uid)


@operations.add("hand_over", "POST", "/rooms/<rid>/owner", "Room", body={"owner": ID})
def set_owner(rid: str, owner: str) -> Any:
    """Make a member the owner of a room."""
    rooms.set_owner(chat().store, g.person, rid, owner)
    return shown(rid)


def shown(rid: str) -> dict[str, Any]:
    """The room as the token's person sees it: a direct room has the names of the others."""
    return room_json(chat().store.rooms.get(rid, g.person.uid))
