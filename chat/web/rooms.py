"""The room list, one room on screen, and finding, creating and joining rooms."""

from functools import partial
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.validation import MAX_ROOM_NAME_CHARS
from ..rendering.room_list import digest
from ..services import rooms as service
from ..services.context import chat
from ..services.permissions import check_create_rooms, may_create_rooms, may_manage
from ..store.room_kinds import DIRECT, OPEN
from .htmx import is_htmx, is_panel
from .nonces import new_nonce, sent_nonce
from .paging import PAGE_ROWS, Paging, address, paging
from .people_picker import is_search, people_fields, picked_people
from .room_page import RoomView, message_to_answer, room_page
from .served_pages import served
from .view_options import shows_errors_on

bp = Blueprint("rooms", __name__)


@bp.app_context_processor
def permissions() -> dict[str, Any]:
    """Functions with which templates ask what a person may do."""
    may_create = partial(may_create_rooms, chat().settings)
    return {"may_create_rooms": may_create, "may_manage": may_manage}


@bp.get("/")
def home() -> Any:
    """The room list; on a wide screen with an empty panel beside it."""
    rows = chat().store.rooms.of(g.person.uid)
    template = "rooms/panel.html" if is_panel() else "rooms/show.html"
    return render_template(template, room=None, rows=rows, digest=digest(rows))


@bp.get("/rooms")
def index() -> Any:
    """The open rooms, or those of them with `q` in their name."""
    q, rooms = request.args.get("q", "").strip()[:MAX_ROOM_NAME_CHARS], chat().store.rooms
    more = False
    if q:
        found = rooms.open_named(q, PAGE_ROWS + 1)
        found, more = found[:PAGE_ROWS], len(found) > PAGE_ROWS
        page = Paging(0, len(found))
    else:
        page = paging(rooms.open_count())
        found = rooms.open(PAGE_ROWS, page.start)
    joined = rooms.joined(g.person.uid, [room.rid for room in found])
    shown = {"q": q, "more": more, "paging": page, "at": address()}
    return render_template("rooms/index.html", rooms=found, mine=joined, **shown)


def _creation_form(kind: str = "", error: str = "") -> str:
    """The form that creates a room of this kind, or of that in the request, with what was typed.

    It has a new nonce: a search or a refused form has created no room, or that room has ended.
    """
    kind = kind or request.values.get("kind", OPEN)
    fields = {name: request.values.get(name, "") for name in ("name", "about")} | people_fields()
    template = "rooms/direct.html" if kind == DIRECT else "rooms/new.html"
    return render_template(template, kind=kind, error=error, nonce=new_nonce(), **fields)


@bp.get("/rooms/new")
def new() -> Any:
    """The form for a new room. With `q` it lists the people found, and keeps what was typed."""
    check_create_rooms(chat().settings, g.person)
    return _creation_form()


@bp.get("/people")
def people() -> Any:
    """The form that finds people, to write to one or several of them."""
    return _creation_form(DIRECT)


@bp.get("/people/picker")
def picker() -> Any:
    """The people found for `q`, as a fragment for htmx, as one types. The members of the room
    `room` are left out."""
    rid = request.args.get("room", "")
    is_inside = bool(rid) and chat().store.rooms.is_member(rid, g.person.uid)
    return render_template("rooms/picker.html", **people_fields(rid if is_inside else ""))


@bp.post("/rooms")
@shows_errors_on(_creation_form)
def create() -> Any:
    """Create a room of the `kind` open or closed, or open the direct room with some people."""
    if is_search():
        return _creation_form()
    form, members = request.form, picked_people()
    name, about, kind = form.get("name", ""), form.get("about", ""), form.get("kind", OPEN)
    rid = service.create(chat(), g.person, name, kind, about, members, sent_nonce())
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/random")
def random_page() -> Any:
    seats = chat().settings.random_seats
    return render_template("rooms/random.html", seats=seats, nonce=new_nonce())


@bp.post("/rooms/random")
def join_random() -> Any:
    """Join a random room."""
    return redirect(f"/rooms/{service.join_random(chat(), g.person, sent_nonce())}", 303)


@bp.post("/rooms/<rid>/join")
def join(rid: str) -> Any:
    service.join(chat(), g.person, rid)
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>")
def show(rid: str) -> Any:
    """A room with its newest messages. People who are not members of an open room are asked to
    join."""
    store = chat().store
    room, read = store.rooms.row(rid, g.person.uid)
    if read is None:
        return render_template("rooms/join.html", room=room, size=store.rooms.size(rid))
    events = store.messages.page(room)
    if read < room.seq and not is_htmx():  # after a swap the socket says which room the page shows
        newest = events[-1] if events else room.last
        served(rid, newest.seq, newest.at)
    unread = store.rooms.unread(rid, read, room.seq) if 0 < read < room.seq else 0
    new, reply = read + 1 if unread else 0, message_to_answer(rid, request.args.get("reply", ""))
    return room_page(room, events, RoomView(new=new, unread=unread, reply=reply))
