"""Mentions, the notification level of a room, and completing names in the composer."""

from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request

from ..domain.errors import Invalid
from ..domain.events import POST
from ..domain.mentions import completed
from ..domain.validation import MAX_BODY_CHARS, number
from ..services.context import chat
from ..store.notifications import LEVELS
from .htmx import is_htmx
from .nonces import sent_nonce
from .room_page import RoomView, newest_page

PAGE_SIZE = 30  # mentions

bp = Blueprint("notifications", __name__)


@bp.get("/mentions")
def inbox() -> Any:
    """The messages that mention the person, newest first, from before the time `before` (ms since
    1970, 0 for now). Each is shown with its room and the message before it, if there is one."""
    store = chat().store
    rows = {row.room.rid: row for row in store.rooms.of(g.person.uid)}
    before = number(request.args.get("before", ""))
    places = store.notifications.newest(g.person.uid, rows, before, PAGE_SIZE)
    found = []
    for place in places:
        *earlier, event = store.messages.before(place.rid, place.seq + 1, 2)
        if event.seq == place.seq and event.kind == POST and event.uid != g.person.uid:
            context = next((one for one in earlier if one.kind == POST), None)
            found.append((rows[place.rid], event, context))
    older = places[-1].at if len(places) >= PAGE_SIZE else 0
    return render_template("mentions.html", found=found, older=older, before=before)


@bp.post("/rooms/<rid>/level")
def set_level(rid: str) -> Any:
    """Set the notification level of the room (`level`, one of LEVELS)."""
    store = chat().store
    store.rooms.member(rid, g.person.uid)
    chosen = request.form.get("level", "")
    if chosen not in LEVELS:
        raise Invalid("Choose for which messages of the room you want to be notified.")
    store.notifications.set_level(g.person.uid, rid, chosen)
    return redirect(f"/rooms/{rid}/people?level=1", 303)


@bp.post("/rooms/<rid>/names")
def complete(rid: str) -> Any:
    """Complete the name at the end of the composer's text with `name`. Returns the composer's field
    for htmx, else the room's page."""
    room = chat().store.rooms.member(rid, g.person.uid)
    typed = request.form.get("body", "").replace("\r\n", "\n")
    body = completed(typed, request.form.get("name", ""))
    body = typed if len(body) > MAX_BODY_CHARS else body
    if not is_htmx():
        return newest_page(room, RoomView(body=body))
    nonce = sent_nonce() or abort(404)
    return render_template("rooms/names.html", rid=rid, nonce=nonce, body=body)
