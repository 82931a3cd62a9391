"""The pages that change a room and end it."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..services import rooms
from ..services.context import chat
from ..services.rooms import room_to_manage
from .security import address
from .view_options import shows_errors_on

FIELDS = ("name", "about", "kind")

bp = Blueprint("room_settings", __name__)


@bp.get("/rooms/<rid>/edit")
def edit_page(rid: str, error: str = "") -> Any:
    """The form that changes a room; after an error, with what was typed."""
    room = room_to_manage(chat().store, rid, g.person)
    fields = {name: request.form.get(name, getattr(room, name)) for name in FIELDS}
    return render_template("rooms/edit.html", room=room, error=error, **fields)


@bp.post("/rooms/<rid>/edit")
@shows_errors_on(edit_page)
def edit(rid: str) -> Any:
    rooms.edit(chat(), g.person, rid, {name: request.form.get(name, "") for name in FIELDS})
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
