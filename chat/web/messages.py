"""A room's messages over plain HTTP: posting, editing and deleting without JavaScript, older
messages, and permalinks."""

from datetime import date
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, Refused
from ..domain.events import DELETED, Event
from ..domain.validation import cursor, number
from ..media.attachments import Upload
from ..rendering.local_time import ms_of
from ..services import messages
from ..services.context import Parts, chat
from ..services.permissions import may_change
from ..services.rooms import room_to_read
from ..store import Room
from .htmx import is_htmx
from .nonces import new_nonce, sent_nonce
from .room_page import (
    RoomView,
    message_page,
    message_to_answer,
    newest_page,
    room_and_message,
    room_page,
)
from .security import address, csrf_token
from .view_options import FileLimit, accepts_files, shows_errors_on, shows_refusals

bp = Blueprint("messages", __name__)


def attachments_limit(parts: Parts) -> FileLimit:
    return FileLimit(parts.attachments.max_message_bytes, parts.attachments.too_large)


def _room_again(rid: str, error: str) -> str:
    """The room's page with the text that was not posted. A browser does not choose files again."""
    body = request.form.get("body", "")
    with_files = request.mimetype == "multipart/form-data"
    text = f"{error} Then choose the files again." if with_files else error
    reply = message_to_answer(rid, request.form.get("reply", ""))
    return newest_page(_room(rid), RoomView(body=body, error=text, files=with_files, reply=reply))


@bp.post("/rooms/<rid>/messages")
@shows_refusals(lambda text, rid: render_template("rooms/refused.html", text=text))
@accepts_files(attachments_limit)
@shows_errors_on(_room_again)
def post(rid: str) -> Any:
    """Post a message from a form. Files (`files`) can be posted in no other way."""
    body, reply = request.form.get("body", ""), request.form.get("reply", "")
    nonce, drafts = sent_nonce(), chat().store.drafts
    files = [Upload(f.filename, f.stream) for f in request.files.getlist("files") if f.filename]
    if request.mimetype == "multipart/form-data" and not files:
        raise Invalid("Choose a file first.")
    seen = cursor(request.form.get("after", ""))
    messages.post(chat(), g.person, rid, body, nonce, number(reply), files, seen)
    if is_htmx():
        drafts.sent(g.person.uid, rid, body)  # by now, another composer may contain a text
        return render_template("rooms/sent.html", rid=rid, nonce=nonce, anew=new_nonce())
    drafts.keep(g.person.uid, rid, "")
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>/reply")
def reply(rid: str) -> Any:
    """Make the composer answer the message `to`, or none. Returns that part of the composer for
    htmx."""
    _room(rid)
    to = request.args.get("to", "")
    if is_htmx():
        return chat().fragments.reply_target(rid, message_to_answer(rid, to))
    return redirect(f"/rooms/{rid}?reply={number(to)}", 303)


@bp.get("/rooms/<rid>/messages")
def before(rid: str) -> Any:
    """The messages before number `before`: a fragment for htmx, else a page."""
    room = _room(rid)
    seq = number(request.args.get("before", "")) or room.seq + 1
    events = chat().store.messages.before(rid, seq)
    if is_htmx():
        return render_template("rooms/history.html", room=room, events=events)
    return room_page(room, events, RoomView(history=True))


@bp.get("/rooms/<rid>/on")
def on(rid: str) -> Any:
    """Redirect to the first message of a day (`day`, such as 2026-11-25) in the person's zone."""
    room = _room(rid)
    try:
        day = date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        raise Invalid("Choose a date first.") from None
    seq = chat().store.messages.first_since(rid, ms_of(day, g.person.zone)) or room.seq
    return redirect(f"/rooms/{rid}/messages/{seq}#m-{seq}", 303)


@bp.post("/rooms/<rid>/messages/<seq>/unread")
def unread(rid: str, seq: str) -> Any:
    """Mark the room as unread from this message on."""
    room, event = room_and_message(rid, seq)
    chat().store.messages.unsee(room.rid, g.person.uid, event.seq)
    return redirect("/", 303)


@bp.get("/rooms/<rid>/messages/<seq>")
def permalink(rid: str, seq: str) -> Any:
    """One message among those around it; with `menu`, its menu is open."""
    return message_page(*room_and_message(rid, seq), "menu" in request.args)


@bp.get("/rooms/<rid>/messages/<seq>/edit")
@shows_refusals(lambda text, rid, seq: chat().fragments.reaction_refused(number(seq), text))
def edit_page(rid: str, seq: str, error: str = "") -> Any:
    """The text of a message in a field: in the message for htmx, else on a page of its own. After
    an error it is the text that was typed."""
    room, event = room_and_message(rid, seq)
    if not may_change(g.person, room, event):
        raise Refused("Only the author can change this message.")
    if is_htmx():
        return chat().fragments.message_editor(event, csrf_token())
    body = request.form.get("body", event.body)
    return render_template(
        "rooms/edit_message.html", room=room, event=event, body=body, error=error
    )


def _not_changed(text: str, rid: str, seq: str) -> str:
    """Return the reason why a message was not changed, which htmx shows in the message."""
    return chat().fragments.edit_refused(rid, number(seq), text)


@bp.post("/rooms/<rid>/messages/<seq>/edit")
@shows_refusals(_not_changed)
@shows_errors_on(edit_page)
def edit(rid: str, seq: str) -> Any:
    """Edit a message. A text that is refused stays in its field, with the reason next to it."""
    messages.edit(chat(), g.person, rid, number(seq), request.form.get("body", ""), address())
    if is_htmx():
        return chat().fragments.message_saved(chat().store.messages.get(rid, number(seq)))
    return redirect(f"/rooms/{rid}", 303)


@bp.post("/rooms/<rid>/messages/<seq>/delete")
@shows_refusals(_not_changed)
def delete(rid: str, seq: str) -> Any:
    """Delete a message for everyone."""
    event = messages.delete(chat(), g.person, rid, number(seq), address())
    if is_htmx():
        deleted = Event(rid, event.seq, event.at, DELETED, "", "", "")
        return chat().fragments.message_deleted(deleted, g.person.zone)
    return redirect(f"/rooms/{rid}", 303)


def _room(rid: str) -> Room:
    return room_to_read(chat().store, rid, g.person.uid)
