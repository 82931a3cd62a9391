"""A room's messages over plain HTTP: posting without JavaScript, older pages, permalinks."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from flask import Blueprint, g, get_template_attribute, redirect, render_template, request
from redis.exceptions import RedisError

from ..domain.emoji import QUICK, clean_emoji
from ..domain.errors import (
    Busy,
    ChatError,
    FilesAway,
    Invalid,
    NotFound,
    NotMember,
    Refused,
    StoreAway,
    TooOften,
)
from ..domain.events import DELETED, POST, Event
from ..domain.validation import clean_body, clean_caption, cursor, number
from ..media.attachments import Sent
from ..rendering.local_time import ms_of
from ..services.context import Parts, chat, is_htmx
from ..services.permissions import may_change, may_change_others
from ..store import Person, Room
from . import upload_limits
from .auth import require_person
from .composer import new_nonce, sent_nonce
from .rooms import answered, room_page, store
from .security import address, csrf_token
from .view_options import FileLimit, accepts_files, shows_refusals

bp = Blueprint("messages", __name__)
bp.before_request(require_person)
bp.teardown_request(upload_limits.end)


def attachments_limit(parts: Parts) -> FileLimit:
    return FileLimit(parts.attachments.most_together, parts.attachments.too_large)


@bp.post("/rooms/<rid>/messages")
@shows_refusals("rooms/refused.html")
@accepts_files(attachments_limit)
def post(rid: str) -> Any:
    """A message from a form; with `files`, which come by no other way."""
    body, reply = request.form.get("body", ""), request.form.get("reply", "")
    with_files = request.mimetype == "multipart/form-data"
    nonce = sent_nonce()
    try:
        sent = [Sent(f.filename, f.stream) for f in request.files.getlist("files") if f.filename]
        if with_files and not sent:
            raise Invalid("Choose a file first.")
        seen = cursor(request.form.get("after", ""))[0]
        say(g.person, rid, body, nonce, number(reply), sent, seen)
    except (Invalid, TooOften, Busy, FilesAway) as error:
        if is_htmx():
            raise
        room, events = _room(rid), store().messages.newest(rid)
        told = f"{error.text} Then choose the files again." if with_files else error.text
        shown: dict[str, Any] = {"body": body, "error": told, "files": with_files}
        page = room_page(room, events, reply=answered(rid, reply), **shown)
        return page, error.status, error.headers
    if is_htmx():
        store().drafts.sent(g.person.uid, rid, body)  # another composer may be written in by now
        return render_template("rooms/sent.html", rid=rid, nonce=nonce, anew=new_nonce())
    store().drafts.keep(g.person.uid, rid, "")
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>/reply")
def reply(rid: str) -> Any:
    """The composer answers message `to`, or none: that part of it for htmx, else the room."""
    _room(rid)
    to = request.args.get("to", "")
    if is_htmx():
        return chat().fragments.reply_target(rid, answered(rid, to))
    return redirect(f"/rooms/{rid}?reply={number(to)}", 303)


@bp.get("/rooms/<rid>/messages")
def before(rid: str) -> Any:
    """The messages before number `before`: a fragment for htmx, else a page."""
    room = _room(rid)
    seq = number(request.args.get("before", "")) or room.seq + 1
    events = store().messages.before(rid, seq)
    if is_htmx():
        return render_template("rooms/history.html", room=room, events=events)
    return room_page(room, events, history=True)


@bp.get("/rooms/<rid>/on")
def on(rid: str) -> Any:
    """Go to the first message of a day (`day`, as 2026-11-25) in the reader's zone."""
    room = _room(rid)
    try:
        day = date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        raise Invalid("Choose a day first.") from None
    seq = store().messages.first_since(rid, ms_of(day, g.person.zone)) or room.seq
    return redirect(f"/rooms/{rid}/messages/{seq}#m-{seq}", 303)


@bp.post("/rooms/<rid>/messages/<seq>/unread")
def unread(rid: str, seq: str) -> Any:
    """From this message on, the room counts as unread again."""
    room, event = message(rid, seq)
    store().messages.unsee(room.rid, g.person.uid, event.seq)
    return redirect("/", 303)


@bp.get("/rooms/<rid>/messages/<seq>")
def permalink(rid: str, seq: str) -> Any:
    """One message among those around it; with `menu` what can be done with it is unfolded."""
    return message_page(*message(rid, seq), "menu" in request.args)


@bp.get("/rooms/<rid>/messages/<seq>/edit")
def edit_page(rid: str, seq: str) -> Any:
    """A message's text in a field: in the message for htmx, else on a page of its own."""
    try:
        room, event = message(rid, seq)
        if not may_change(g.person, room, event):
            raise Refused("Only the author may change that message.")
    except ChatError as error:
        if not is_htmx():
            raise
        return chat().fragments.reaction_refused(number(seq), error.text), error.status
    if is_htmx():
        return chat().fragments.message_editor(event, csrf_token())
    return _edit_page(room, event, event.body)


@bp.post("/rooms/<rid>/messages/<seq>/edit")
def edit(rid: str, seq: str) -> Any:
    """Change a message. What is refused stays in its field, which says why."""
    body = request.form.get("body", "")
    try:
        revise(g.person, rid, number(seq), body)
    except (ChatError, RedisError) as error:
        if is_htmx():
            return _not_saved(rid, seq, error)
        if not isinstance(error, Invalid | TooOften):
            raise
        room, event = message(rid, seq)
        return _edit_page(room, event, body, error.text), error.status, error.headers
    if is_htmx():
        return chat().fragments.message_saved(store().messages.get(rid, number(seq)))
    return redirect(f"/rooms/{rid}", 303)


@bp.post("/rooms/<rid>/messages/<seq>/delete")
def delete_one(rid: str, seq: str) -> Any:
    """Delete a message for everyone."""
    try:
        event = delete(g.person, rid, number(seq))
    except (ChatError, RedisError) as error:
        if not is_htmx():
            raise
        return _not_saved(rid, seq, error)
    if is_htmx():
        deleted = Event(rid, event.seq, event.at, DELETED, "", "", "")
        return chat().fragments.message_deleted(deleted, g.person.zone)
    return redirect(f"/rooms/{rid}", 303)


def say(
    by: Person,
    rid: str,
    body: str,
    nonce: str = "",
    reply: int = 0,
    sent: Sequence[Sent] = (),
    seen: int = 0,
) -> int:
    """Post a message, which answers message `reply`, with files; returns its number. `seen` is the
    last number that the author was shown, 0 where that is not known. Raises Invalid, OverQuota,
    TooOften, Busy, FilesAway, and what the store does."""
    if not sent:
        return say_text(chat(), by, rid, body, nonce, reply, seen)
    clean = clean_caption(body)
    chat().limits.use("post", by.uid)
    _room(rid, by)
    for _ in sent:
        chat().limits.use("file", by.uid)
    files = chat().attachments.keep(rid, sent, by)
    by = store().people.get(by.uid) or by  # decoding takes up to a minute, and names change
    try:
        seq = store().messages.post(rid, by, clean, nonce, reply, files, seen)
        is_kept = store().messages.holds(rid, seq, files)
    except ChatError:
        chat().attachments.delete(rid, files)
        raise
    # After an error of Redis the message may be there: its files are left to the sweeper.
    if not is_kept:
        chat().attachments.delete(rid, files)
    return int(seq)


def say_text(
    app: Parts, by: Person, rid: str, body: str, nonce: str = "", reply: int = 0, seen: int = 0
) -> int:
    """As `say`, without files; it needs no request, and so an open page has none."""
    clean = clean_body(body)
    app.limits.use("post", by.uid)
    return int(app.store.messages.post(rid, by, clean, nonce, reply, seen=seen))


def message_page(
    room: Room, event: Event, asked: bool = False, typed: str = "", error: str = ""
) -> str:
    """One message among those around it, and what can be done with it, folded away unless it was
    `asked` for. `typed` is what was no emoji, `error` says so."""
    events = store().messages.around(room.rid, event.seq)
    folded = get_template_attribute("macros/reactions.html", "folded")
    menu = folded(asked, **menu_of(room, event, typed, error)) if event.kind == POST else ""
    return room_page(room, events, history=True, about=event, menu=menu)


def menu_of(room: Room, event: Event, typed: str = "", error: str = "") -> dict[str, Any]:
    """What the templates of a message's menu are told."""
    own = may_change(g.person, room, event)
    told = {"event": event, "uid": g.person.uid, "quick": QUICK, "own": own}
    return {**told, "token": csrf_token(), "typed": typed, "error": error}


def revise(by: Person, rid: str, seq: int, body: str) -> None:
    """Change a message; what goes with files may be emptied. Raises Invalid, TooOften, NotFound,
    Refused."""
    room = store().rooms.member(rid, by.uid)
    event: Event = store().messages.get(rid, seq)
    clean = clean_caption(body) if event.files else clean_body(body)
    chat().limits.use("post", by.uid)
    others = may_change_others(by, room)
    if others:  # before it is done: what admins do is never missing in the audit
        _note(by, "changed", event)
    store().messages.revise(rid, by, seq, clean, others)


def delete(by: Person, rid: str, seq: int) -> Event:
    """Delete a message for everyone, and its files; returns what it was. One that is deleted
    already stays so. Raises NotFound, Refused, TooOften."""
    room = store().rooms.member(rid, by.uid)
    chat().limits.use("post", by.uid)
    there = store().messages.after(rid, max(0, seq - 1), 1)  # numbers begin at 1
    if there and (there[0].seq, there[0].kind) == (seq, DELETED):
        return there[0]  # by the same request, perhaps, whose answer was lost
    event: Event = store().messages.get(rid, seq)
    others = may_change_others(by, room)
    if others:
        _note(by, "deleted", event)
    store().messages.delete(rid, by, seq, others)
    chat().attachments.delete(rid, event.files)
    return event


def _note(by: Person, did: str, event: Event) -> None:
    """Write into the audit what somebody did to a message of somebody else. Of a closed room only
    the id is told, because admins who are not in it may not know of it."""
    if by.uid != event.uid:
        whose = f"{event.name} ({event.uid}), number {event.seq} in the room {event.room}"
        store().audit.note(by, f"{did} a message of", whose, address())


def erase(by: Person, uid: str) -> None:
    """Delete all that a person wrote, in all rooms that go on, and the files. It looks through
    everything that is kept; cut off, it may be repeated."""
    for rid in store().retention.rooms():
        for event in store().messages.written_by(rid, uid):
            with suppress(NotFound):  # deleted meanwhile, or of a room that has ended
                store().messages.delete(rid, by, event.seq, outside=True)
                chat().attachments.delete(rid, event.files)


def set_reaction(by: Person, rid: str, seq: int, emoji: str, wanted: str | int) -> None:
    """Set, take back or turn round a reaction (`wanted`: see the store). Raises Invalid, TooOften,
    NotFound, Refused."""
    clean = clean_emoji(emoji)
    chat().limits.use("post", by.uid)
    store().messages.react(rid, by, seq, clean, wanted)


def refusal(error: Exception) -> str:
    """What to tell an author whose message was not stored."""
    if isinstance(error, ChatError):
        return error.text
    return StoreAway().text if isinstance(error, RedisError) else "Something broke. Try again."


def message(rid: str, seq: str) -> tuple[Room, Event]:
    """The room and one event of it; raises NotFound."""
    return _room(rid), store().messages.get(rid, number(seq))


def _not_saved(rid: str, seq: str, error: Exception) -> Any:
    """Why a message was not changed, in the message, for htmx."""
    status = error.status if isinstance(error, ChatError) else StoreAway.status
    return chat().fragments.edit_refused(rid, number(seq), refusal(error)), status


def _edit_page(room: Room, event: Event, body: str, error: str = "") -> str:
    return render_template(
        "rooms/edit_message.html", room=room, event=event, body=body, error=error
    )


def _room(rid: str, by: Person | None = None) -> Room:
    """The room, for a member (`by`, or who asks). Raises NotMember, NotFound."""
    room, read = store().rooms.row(rid, (by or g.person).uid)
    if read is None:
        raise NotMember("Join the room first to read it.") if room.kind == "open" else NotFound("")
    found: Room = room
    return found
