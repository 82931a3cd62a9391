"""What concerns a person: mentions of them, how much of a room they hear, names to be mentioned."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request

from ..domain.errors import Invalid
from ..domain.events import POST, Event
from ..domain.mentions import completed
from ..domain.validation import MAX_BODY, number
from ..services.context import is_htmx
from ..store import Room
from ..store.notifications import LEVELS
from .auth import require_person
from .composer import is_nonce
from .rooms import room_page, store

PAGE_SIZE = 30  # mentions on a page

bp = Blueprint("attention", __name__)
bp.before_request(require_person)


@dataclass(frozen=True)
class Mention:
    """A message that mentions the person, and what was written `before` it (None for nothing);
    `new`: it is unread."""

    room: Room
    event: Event
    before: Event | None
    new: bool


@bp.get("/mentions")
def inbox() -> Any:
    """The messages that mention the person, the newest first; those from before `before` (ms since
    1970) on the next page."""
    rows = {row.room.rid: row for row in store().rooms.of(g.person.uid)}
    before = number(request.args.get("before", ""))
    places = store().attention.newest(g.person.uid, rows, before, PAGE_SIZE)
    found = []
    for place in places:
        *earlier, event = store().messages.before(place.rid, place.seq + 1, 2)
        if event.seq == place.seq and event.kind == POST and event.uid != g.person.uid:
            row = rows[place.rid]
            context = [one for one in earlier if one.kind == POST]
            new = event.seq > row.read
            found.append(Mention(row.room, event, context[-1] if context else None, new))
    older = places[-1].at if len(places) >= PAGE_SIZE else 0
    return render_template("mentions.html", found=found, older=older, before=before)


@bp.post("/rooms/<rid>/level")
def level(rid: str) -> Any:
    """Hear so much of the room from now on (`level`, one of LEVELS)."""
    store().rooms.member(rid, g.person.uid)
    chosen = request.form.get("level", "")
    if chosen not in LEVELS:
        raise Invalid("Choose how much you want to hear of the room.")
    store().attention.set_level(g.person.uid, rid, chosen)
    return redirect(f"/rooms/{rid}/people?level=1", 303)


@bp.post("/rooms/<rid>/names")
def complete(rid: str) -> Any:
    """The text of a composer with a whole name (`name`) where one was begun, as its field for
    htmx, else as the room's page."""
    room = store().rooms.member(rid, g.person.uid)
    typed = request.form.get("body", "").replace("\r\n", "\n")
    body = completed(typed, request.form.get("name", ""))
    body = typed if len(body) > MAX_BODY else body
    if not is_htmx():
        return room_page(room, store().messages.newest(rid), body=body)
    nonce = request.form.get("nonce", "")
    if not is_nonce(nonce):
        abort(404)
    return render_template("rooms/names.html", rid=rid, nonce=nonce, body=body)
