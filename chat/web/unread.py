"""The page with the unread messages of all rooms."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.events import DELETED, Event
from ..domain.validation import cursor
from ..services.context import chat
from ..store import Row
from ..store.message_reads import PAGE_SIZE
from .nonces import is_nonce

MAX_EVENTS_SHOWN = 5  # of a room
MAX_EVENTS_READ = 20  # of a room, to find messages to show; not every event is a message
MAX_ROOMS_SHOWN = 30  # with their messages; other rooms are only links
MAX_ROOMS_LISTED = 130  # on the page, links included

bp = Blueprint("unread", __name__)


@bp.get("/unread")
def page() -> Any:
    """The rooms with unread messages, last active first, without those whose notification level
    hides them."""
    rows = [row for row in chat().store.rooms.of(g.person.uid) if row.calls]
    waiting = [_unread_room(row) for row in rows[:MAX_ROOMS_SHOWN]]
    listed, more = rows[:MAX_ROOMS_LISTED], max(0, len(rows) - MAX_ROOMS_LISTED)
    return render_template(
        "unread.html", waiting=waiting, rows=listed, others=listed[MAX_ROOMS_SHOWN:], more=more
    )


@bp.post("/unread/read")
def read() -> Any:
    """Mark rooms as read. Each field `upto` names a room and the last event that the page shows of
    it (domain.validation.cursor). Messages that came after the page was made stay unread."""
    for field in request.form.getlist("upto")[:MAX_ROOMS_LISTED]:
        rid, _, shown = field.partition(" ")
        if is_nonce(rid):  # `seen` stores nothing for a room of which the person is no member
            chat().store.messages.seen(rid, g.person.uid, *cursor(shown))
    chat().store.people.signal_change(g.person.uid)  # the person's open pages show unread marks
    return redirect("/unread", 303)


def _unread_room(row: Row) -> tuple[Row, list[Event], str]:
    """A room with the first of its unread messages, and the address at which they begin."""
    room = row.room
    events = chat().store.messages.after(room.rid, row.read, MAX_EVENTS_READ)
    shown = [event for event in events if event.counts and event.kind != DELETED][:MAX_EVENTS_SHOWN]
    first = shown[0].seq if shown else room.seq
    if row.read and room.seq - row.read <= PAGE_SIZE:
        return row, shown, f"/rooms/{room.rid}#new"
    return row, shown, f"/rooms/{room.rid}/messages/{first}#m-{first}"
