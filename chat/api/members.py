"""Operations on the members of a room."""

from typing import Any

from flask import g

from ..rendering.serializers import person_json
from ..runtime.cooperation import in_pieces
from ..services import members as service
from ..services.context import chat
from .operation import Operation
from .people import active_people
from .rooms import ROOM_PATH, shown
from .schemas import ID, PAGE_SIZE, PAGING, PERSON_IDS


def list_members(rid: str, limit: int = PAGE_SIZE, skip: int = 0) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    found, total = chat().store.rooms.members(rid, skip, limit), chat().store.rooms.size(rid)
    return {"people": [person_json(member) for member in in_pieces(found)], "total": total}


def add_members(rid: str, members: list[str]) -> Any:
    service.add(chat(), g.person, rid, active_people(members))
    return list_members(rid)


def remove_member(rid: str, uid: str) -> None:
    service.remove(chat(), g.person, rid, uid)


def set_owner(rid: str, owner: str) -> Any:
    service.set_owner(chat().store, g.person, rid, owner)
    return shown(rid)


MEMBERS_PATH = f"{ROOM_PATH}/members"
OPERATIONS = [
    Operation(
        "room_members",
        "GET",
        MEMBERS_PATH,
        "Who is in a room, those who joined first first",
        list_members,
        "Members",
        query=PAGING,
    ),
    Operation(
        "add_members",
        "POST",
        MEMBERS_PATH,
        "Add people to a room",
        add_members,
        "Members",
        {"members": PERSON_IDS},
        ("members",),
    ),
    Operation(
        "remove_member",
        "DELETE",
        f"{MEMBERS_PATH}/<uid>",
        "Remove a member",
        remove_member,
        status=204,
    ),
    Operation(
        "hand_over",
        "POST",
        f"{ROOM_PATH}/owner",
        "Make a member the owner of a room",
        set_owner,
        "Room",
        {"owner": ID},
        ("owner",),
    ),
]
