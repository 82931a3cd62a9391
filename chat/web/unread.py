"""What one has not read yet, in all rooms on one page."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.events import DELETED, Event
from ..domain.validation import cursor
from ..services.context import chat
from ..store import Row
from ..store.messages import PAGE_SIZE
from .auth import require_person
from .composer import is_nonce

SHOWN = 5  # events shown of a room
LOOKED_AT = 20  # events among which those are found: some are nothing to read
ROOMS = 30  # rooms of which something is shown; the others are links
MOST_LISTED = 130  # rooms on the page, links included

bp = Blueprint("unread", __name__)
bp.before_request(require_person)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A room with something unread: the first of it, and where that begins."""

    row: Row
    events: list[Event]
    at: str


@bp.get("/unread")
def page() -> Any:
    """Each room with something unread that the person wants to hear of, the last active first."""
    rows = [row for row in chat().store.rooms.of(g.person.uid) if row.calls]
    waiting = [_waiting(row) for row in rows[:ROOMS]]
    listed, more = rows[:MOST_LISTED], max(0, len(rows) - MOST_LISTED)
    return render_template(
        "unread.html", waiting=waiting, rows=listed, others=listed[ROOMS:], more=more
    )


@bp.post("/unread/read")
def read() -> Any:
    """Each of the fields `upto` names a room and the event up to which it has been seen
    (text.cursor). What came after the page was made stays unread."""
    for field in request.form.getlist("upto")[:MOST_LISTED]:
        rid, _, shown = field.partition(" ")
        if is_nonce(rid):  # and `seen` keeps nothing for who is no member
            chat().store.messages.seen(rid, g.person.uid, *cursor(shown))
    chat().store.people.look_again(g.person.uid)  # its open pages have marks
    return redirect("/unread", 303)


def _waiting(row: Row) -> Waiting:
    room = row.room
    events = chat().store.messages.after(room.rid, row.read, LOOKED_AT)
    shown = [event for event in events if event.counts and event.kind != DELETED][:SHOWN]
    first = shown[0].seq if shown else room.seq
    if row.read and room.seq - row.read <= PAGE_SIZE:
        return Waiting(row, shown, f"/rooms/{room.rid}#new")
    return Waiting(row, shown, f"/rooms/{room.rid}/messages/{first}#m-{first}")
