"""The page of a room, for the routes that return it."""

from dataclasses import dataclass, fields
from typing import Any

from flask import g, get_template_attribute, render_template

from ..domain.emoji import QUICK
from ..domain.events import POST, Event
from ..domain.validation import number
from ..rendering.room_list import digest
from ..services.context import chat
from ..services.permissions import may_change
from ..services.rooms import room_to_read
from ..store import Room
from .htmx import is_panel
from .nonces import new_nonce
from .security import csrf_token


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """What the page of a room shows besides the room and its events.

    history: the events are not the newest ones, so nothing on the page is live.
    new: the number of the first event that the person has not seen, 0 if there is none.
    unread: how many of the unseen events count as unread.
    body: the text in the composer.
    error: why that text was refused.
    preview: a text to show as it would look when sent.
    reply: the message that the composer answers.
    files: the composer has a field for files.
    about: the message that the page is about.
    menu: the HTML of that message's menu.
    """

    history: bool = False
    new: int = 0
    unread: int = 0
    body: str = ""
    error: str = ""
    preview: str = ""
    reply: Event | None = None
    files: bool = False
    about: Event | None = None
    menu: str = ""


def room_page(room: Room, events: list[Event], view: RoomView | None = None) -> str:
    """The whole page of a room; only its panel if htmx switches rooms."""
    view, rooms, uid = view or RoomView(), chat().store.rooms, g.person.uid
    rows, size, draft = rooms.beside(uid, room.rid)
    if all(row.room.rid != room.rid for row in rows):
        rooms.pointers.agree(room.rid, [uid])
        rows = rooms.of(uid)
    return render_template(
        "rooms/panel.html" if is_panel() else "rooms/show.html",
        room=room,
        events=events,
        size=size,
        rows=rows,
        nonce=new_nonce(),
        digest=digest(rows),
        draft=draft and not view.body,
        **{field.name: getattr(view, field.name) for field in fields(view)},
    )


def newest_page(room: Room, view: RoomView | None = None) -> str:
    """The page of a room with its newest messages."""
    return room_page(room, chat().store.messages.newest(room.rid), view)


def message_page(
    room: Room, event: Event, is_menu_open: bool = False, typed: str = "", error: str = ""
) -> str:
    """One message among those around it, with its menu.

    typed: text that was entered as an emoji but is not one; `error` says so.
    """
    events = chat().store.messages.around(room.rid, event.seq)
    folded = get_template_attribute("macros/reactions.html", "folded_actions")
    menu = menu_fields(room, event, typed, error)
    html = folded(is_menu_open, **menu) if event.kind == POST else ""
    return room_page(room, events, RoomView(history=True, about=event, menu=html))


def menu_fields(room: Room, event: Event, typed: str = "", error: str = "") -> dict[str, Any]:
    """The variables of the templates for a message's menu."""
    return {
        "event": event,
        "uid": g.person.uid,
        "quick": QUICK,
        "own": may_change(g.person, room, event),
        "token": csrf_token(),
        "typed": typed,
        "error": error,
    }


def room_and_message(rid: str, seq: str) -> tuple[Room, Event]:
    """A room that the person may read, and one event of it. Raises NotMember, NotFound."""
    store = chat().store
    return room_to_read(store, rid, g.person.uid), store.messages.get(rid, number(seq))


def message_to_answer(rid: str, seq: str) -> Event | None:
    """Return the message with this number; None if there is no such message."""
    events = chat().store.messages.before(rid, number(seq) + 1, 1)
    return events[0] if events and events[0].seq == number(seq) and events[0].kind == POST else None
