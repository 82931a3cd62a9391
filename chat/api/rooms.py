"""Operations on rooms."""

from typing import Any

from flask import g

from ..rendering.serializers import room_json
from ..runtime.cooperation import in_pieces
from ..services import rooms
from ..services.context import chat
from ..web.security import address
from .operation import Operation
from .people import active_people
from .schemas import NONCE, PAGE_SIZE, PAGING, PERSON_IDS, ROOM_FIELDS, integer

ROOM_PATH = "/rooms/<rid>"
MAX_OWN_ROOMS = 1000  # in one answer


def list_own_rooms(limit: int = MAX_OWN_ROOMS, skip: int = 0) -> Any:
    rows = chat().store.rooms.of(g.person.uid)
    page = in_pieces(rows[skip : skip + limit])
    listed = [{**room_json(row.room), "unread": row.unread} for row in page]
    return {"rooms": listed, "total": len(rows)}


def list_open_rooms(limit: int = PAGE_SIZE, skip: int = 0) -> Any:
    found = chat().store.rooms.open(limit, skip)
    total = chat().store.rooms.open_count()
    return {"rooms": [room_json(room) for room in in_pieces(found)], "total": total}


def create_room(
    name: str, kind: str = "open", about: str = "", members: Any = (), nonce: str = ""
) -> Any:
    picked = active_people(members)
    return shown(rooms.create(chat(), g.person, name, kind, about, picked, nonce))


def create_direct_room(members: list[str]) -> Any:
    people = active_people(members)
    return shown(rooms.create(chat(), g.person, "", "direct", "", people))


def join_random_room(nonce: str = "") -> Any:
    return shown(rooms.join_random(chat(), g.person, nonce))


def get_room(rid: str) -> Any:
    found, _ = chat().store.rooms.row(rid, g.person.uid)
    return room_json(found)


def edit_room(rid: str, **fields: str) -> Any:
    rooms.edit(chat(), g.person, rid, fields)
    return shown(rid)


def end_room(rid: str) -> None:
    rooms.end(chat().store, g.person, rid, address())


def join_room(rid: str) -> Any:
    rooms.join(chat(), g.person, rid)
    return shown(rid)


def leave_room(rid: str) -> None:
    chat().store.rooms.leave(rid, g.person)


def shown(rid: str) -> dict[str, Any]:
    """The room as the person who asks sees it; a direct room has the name of the others."""
    return room_json(chat().store.rooms.get(rid, g.person.uid))


OPERATIONS = [
    Operation(
        "my_rooms",
        "GET",
        "/rooms",
        "One's own rooms, the last active first",
        list_own_rooms,
        "OwnRooms",
        query={**PAGING, "limit": integer(1, MAX_OWN_ROOMS)},
    ),
    Operation(
        "open_rooms",
        "GET",
        "/open-rooms",
        "The rooms anyone may join, the newest first",
        list_open_rooms,
        "Rooms",
        query=PAGING,
    ),
    Operation(
        "create_room",
        "POST",
        "/rooms",
        "Start a room; the same nonce and fields again are the same room",
        create_room,
        "Room",
        {**ROOM_FIELDS, "members": PERSON_IDS, "nonce": NONCE},
        ("name",),
        status=201,
        write_only_fields=("id",),
    ),
    Operation(
        "write_to",
        "POST",
        "/direct-rooms",
        "The direct room with these people",
        create_direct_room,
        "Room",
        {"members": PERSON_IDS},
        ("members",),
        write_only_fields=("id",),
    ),
    Operation(
        "random_room",
        "POST",
        "/random-rooms",
        "A seat among strangers; the same nonce again is the same seat",
        join_random_room,
        "Room",
        query={"nonce": NONCE},
        write_only_fields=("id",),
    ),
    Operation("room", "GET", ROOM_PATH, "One room", get_room, "Room"),
    Operation("edit_room", "PATCH", ROOM_PATH, "Change a room", edit_room, "Room", ROOM_FIELDS),
    Operation("end_room", "DELETE", ROOM_PATH, "End a room for everyone", end_room, status=204),
    Operation("join_room", "POST", f"{ROOM_PATH}/join", "Join an open room", join_room, "Room"),
    Operation("leave_room", "POST", f"{ROOM_PATH}/leave", "Leave a room", leave_room, status=204),
]
