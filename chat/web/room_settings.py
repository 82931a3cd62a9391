"""The pages that change a room and end it."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, TooOften
from ..services import rooms
from ..services.context import chat
from ..services.rooms import room_to_manage
from ..store import Room
from .security import address

bp = Blueprint("room_settings", __name__)


@bp.get("/rooms/<rid>/edit")
def edit_page(rid: str) -> Any:
    room = room_to_manage(chat().store, rid, g.person)
    return _edit_page(room, {"name": room.name, "about": room.about, "kind": room.kind})


@bp.post("/rooms/<rid>/edit")
def edit(rid: str) -> Any:
    fields = {name: request.form.get(name, "") for name in ("name", "about", "kind")}
    try:
        rooms.edit(chat(), g.person, rid, fields)
    except (Invalid, TooOften) as error:
        page = _edit_page(room_to_manage(chat().store, rid, g.person), fields, error.text)
        return page, error.status, error.headers
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>/end")
def end_page(rid: str) -> Any:
    """Asks for confirmation: ending a room ends it for everyone."""
    room = room_to_manage(chat().store, rid, g.person)
    return render_template("rooms/end.html", room=room, size=chat().store.rooms.size(rid))


@bp.post("/rooms/<rid>/end")
def end(rid: str) -> Any:
    rooms.end(chat().store, g.person, rid, address())
    return redirect("/", 303)


def _edit_page(room: Room, fields: dict[str, str], error: str = "") -> str:
    return render_template("rooms/edit.html", room=room, error=error, **fields)
