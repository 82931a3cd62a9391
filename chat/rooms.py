"""The rooms: the side list, one room on screen, starting, finding and joining one."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from .composer import new_nonce
from .current import chat
from .errors import Invalid
from .events import Event
from .fragments import digest
from .session import require_person
from .store import Room, Store
from .store.rooms import CLOSED, OPEN
from .text import MAX_ROOM_NAME, clean_name

bp = Blueprint("rooms", __name__)
bp.before_request(require_person)


def store() -> Store:
    return chat().store


@bp.get("/")
def home() -> Any:
    """The side list alone; on a wide screen an empty panel beside it."""
    rows = store().rooms.of(g.person.uid)
    template = "rooms/panel.html" if _is_swap() else "rooms/show.html"
    return render_template(template, room=None, rows=rows, digest=digest(rows))


@bp.get("/rooms")
def index() -> Any:
    """The rooms anyone may join."""
    mine = {row.room.rid for row in store().rooms.of(g.person.uid)}
    return render_template("rooms/index.html", rooms=store().rooms.open(), mine=mine)


@bp.get("/rooms/new")
def new() -> Any:
    return render_template("rooms/new.html", value="", error="")


@bp.post("/rooms")
def create() -> Any:
    name, kind = request.form.get("name", ""), request.form.get("kind", OPEN)
    try:
        if kind not in (OPEN, CLOSED):
            raise Invalid("A room is open or closed.")
        clean = clean_name(name, "name of the room", MAX_ROOM_NAME)
    except Invalid as error:
        return render_template("rooms/new.html", value=name, error=error.text), 400
    rid = store().rooms.create(clean, kind, g.person)
    return redirect(f"/rooms/{rid}", 303)


@bp.post("/rooms/<rid>/join")
def join(rid: str) -> Any:
    store().rooms.join(rid, g.person)
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>")
def show(rid: str) -> Any:
    """A room with its newest messages; who is no member of an open room is asked to join."""
    room, read = store().rooms.row(rid, g.person.uid)
    if read is None:
        return render_template("rooms/join.html", room=room, size=store().rooms.size(rid))
    events = store().messages.newest(rid)
    store().messages.seen(rid, g.person.uid, room.seq)
    return room_page(room, events)


def room_page(
    room: Room, events: list[Event], history: bool = False, body: str = "", error: str = ""
) -> str:
    """The room's page, or only its panel when htmx switches rooms. `history`: not the newest
    messages, so nothing live; `body` and `error`: a text that was refused, and why."""
    rows = store().rooms.of(g.person.uid)
    return render_template(
        "rooms/panel.html" if _is_swap() else "rooms/show.html",
        room=room,
        events=events,
        size=store().rooms.size(room.rid),
        rows=rows,
        nonce=new_nonce(),
        digest=digest(rows),
        history=history,
        body=body,
        error=error,
    )


def _is_swap() -> bool:
    """True for htmx swapping the panel; going back in history asks for the whole page."""
    headers = request.headers
    return bool(headers.get("HX-Request")) and not headers.get("HX-History-Restore-Request")
