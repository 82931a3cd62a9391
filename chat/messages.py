"""A room's messages over plain HTTP: posting without JavaScript, older pages, permalinks."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from redis.exceptions import RedisError

from .composer import is_nonce
from .errors import ChatError, Invalid, NotFound, NotMember, StoreAway
from .rooms import room_page, store
from .session import require_person
from .store import Room
from .text import clean_body, number

bp = Blueprint("messages", __name__)
bp.before_request(require_person)


@bp.post("/rooms/<rid>/messages")
def post(rid: str) -> Any:
    body = request.form.get("body", "")
    try:
        nonce = request.form.get("nonce", "")
        nonce = nonce if is_nonce(nonce) else ""
        store().messages.post(rid, g.person, clean_body(body), nonce)
    except Invalid as error:
        return room_page(_room(rid), store().messages.newest(rid), body=body, error=error.text), 400
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>/messages")
def before(rid: str) -> Any:
    """The messages before number `before`: a fragment for htmx, else a page."""
    room = _room(rid)
    seq = number(request.args.get("before", "")) or room.seq + 1
    events = store().messages.before(rid, seq)
    if request.headers.get("HX-Request"):
        return render_template("rooms/history.html", room=room, events=events)
    return room_page(room, events, history=True)


@bp.get("/rooms/<rid>/messages/<seq>")
def permalink(rid: str, seq: str) -> Any:
    """One message among those around it."""
    return room_page(_room(rid), store().messages.around(rid, number(seq)), history=True)


def refusal(error: Exception) -> str:
    """What to tell an author whose message was not stored."""
    if isinstance(error, ChatError):
        return error.text
    return StoreAway().text if isinstance(error, RedisError) else "Something broke. Try again."


def _room(rid: str) -> Room:
    room, read = store().rooms.row(rid, g.person.uid)
    if read is None:
        raise NotMember("Join the room first to read it.") if room.kind == "open" else NotFound("")
    found: Room = room
    return found
