"""Operations on the members of a room."""

from typing import Any

from flask import g

from ..rendering.serializers import person_json
from ..runtime.cooperation import in_pieces
from ..services import members as service
from ..services.context import chat
from .operation import Operations
from .people import active_people
from .rooms import shown
from .schemas import ID, PAGE_SIZE, PAGING, PERSON_IDS

operations = Operations()


@operations.add("room_members", "GET", "/rooms/<rid>/members", "Members", query=PAGING)
def list_members(rid: str, limit: int = PAGE_SIZE, skip: int = 0) -> Any:
    """Who is in a room, those who joined first first."""
    chat().store.rooms.member(rid, g.person.uid)
    found, total = chat().store.rooms.members(rid, skip, limit), chat().store.rooms.size(rid)
    return {"people": [person_json(member) for member in in_pieces(found)], "total": total}


@operations.add(
    "add_members", "POST", "/rooms/<rid>/members", "Members", body={"members": PERSON_IDS}
)
def add_members(rid: str, members: list[str]) -> Any:
    """Add people to a room."""
    service.add(chat(), g.person, rid, active_people(members))
    return list_members(rid)


@operations.add("remove_member", "DELETE", "/rooms/<rid>/members/<uid>")
def remove_member(rid: str, uid: str) -> None:
    """Remove a member."""
    service.remove(chat(), g.person, rid, uid)


@operations.add("hand_over", "POST", "/rooms/<rid>/owner", "Room", body={"owner": ID})
def set_owner(rid: str, owner: str) -> Any:
    """Make a member the owner of a room."""
    service.set_owner(chat().store, g.person, rid, owner)
    return shown(rid)
