"""Changing a room, and ending it."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, TooOften
from ..domain.validation import MAX_ABOUT, MAX_ROOM_NAME, clean_line, clean_name
from ..services.context import chat
from ..services.permissions import check_manage
from ..store import Person, Room
from ..store.people import MEMBER
from ..store.room_kinds import CLOSED, OPEN
from .auth import require_person
from .rooms import store
from .security import address

bp = Blueprint("room_settings", __name__)
bp.before_request(require_person)


@bp.get("/rooms/<rid>/edit")
def form(rid: str) -> Any:
    room = managed(g.person, rid)
    return _page(room, {"name": room.name, "about": room.about, "kind": room.kind})


@bp.post("/rooms/<rid>/edit")
def edit_room(rid: str) -> Any:
    fields = {name: request.form.get(name, "") for name in ("name", "about", "kind")}
    try:
        edit(g.person, rid, fields)
    except (Invalid, TooOften) as error:
        page = _page(managed(g.person, rid), fields, error.text)
        return page, error.status, error.headers
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>/end")
def end_page(rid: str) -> Any:
    """Asked before: ending a room ends it for everyone."""
    room = managed(g.person, rid)
    return render_template("rooms/end.html", room=room, size=store().rooms.size(rid))


@bp.post("/rooms/<rid>/end")
def end_room(rid: str) -> Any:
    end(g.person, rid)
    return redirect("/", 303)


def managed(by: Person, rid: str) -> Room:
    """The room, for who may manage it; raises NotFound, Refused."""
    room = store().rooms.member(rid, by.uid)
    check_manage(by, room)
    return room


def edit(by: Person, rid: str, fields: dict[str, str]) -> None:
    """Change those of `name`, `about` and `kind` that are in `fields`, all or none of them.
    Raises NotFound, Refused, Invalid, TooOften."""
    managed(by, rid)
    clean = dict(fields)
    if "name" in fields:
        clean["name"] = clean_name(fields["name"], "name of the room", MAX_ROOM_NAME)
    if "about" in fields:
        clean["about"] = clean_line(fields["about"], "topic", MAX_ABOUT)
    if fields.get("kind", OPEN) not in (OPEN, CLOSED):
        raise Invalid("A room is open or closed.")
    chat().limits.use("post", by.uid)
    for field, value in clean.items():
        store().rooms.edit(rid, by, field, value)


def end(by: Person, rid: str) -> None:
    """End a room for everyone; raises NotFound, Refused. It is in the audit, but for a guest who
    was alone there: that concerns nobody else, and guests could push out what matters."""
    room = managed(by, rid)
    is_told = by.is_at_least(MEMBER) or store().rooms.size(rid) > 1
    if is_told:  # before it is done, so that it is never missing
        store().audit.note(by, "ended the room", f"{room.name} ({rid})", address())
    store().rooms.end(rid, by)


def _page(room: Room, fields: dict[str, str], error: str = "") -> str:
    return render_template("rooms/edit.html", room=room, error=error, **fields)
