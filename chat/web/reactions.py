"""Reacting to a message, and the menu of a message."""

from typing import Any

from flask import Blueprint, g, redirect, request

from ..domain.errors import ChatError, Invalid, TooOften
from ..domain.validation import cursor, number
from ..services import messages
from ..services.context import chat
from ..store.message_reads import PAGE_SIZE
from .htmx import is_htmx
from .room_page import menu_fields, message_page, room_and_message

bp = Blueprint("reactions", __name__)


@bp.post("/rooms/<rid>/reactions")
def react(rid: str) -> Any:
    """Add or remove a reaction. The field `react` has the number of the message, the number up to
    which the page shows reactions, and the emoji; without an emoji there, the field `emoji` counts.
    """
    seq, shown, emoji = [*request.form.get("react", "").split(" ", 2), "", "", ""][:3]
    typed = emoji or request.form.get("emoji", "")
    try:
        messages.react(chat(), g.person, rid, number(seq), typed, number(shown))
    except ChatError as error:
        if is_htmx():
            text = chat().fragments.reaction_refused(number(seq), error.text)
            return text, error.status, error.headers
        if isinstance(error, Invalid | TooOften):
            page = message_page(*room_and_message(rid, seq), True, typed, error.text)
            return page, error.status, error.headers
        raise
    room, event = room_and_message(rid, seq)
    if is_htmx():
        return chat().fragments.reaction_sent(event)
    is_on_first_page = room.seq - event.seq < PAGE_SIZE
    return redirect(
        f"/rooms/{rid}" + ("" if is_on_first_page else f"/messages/{seq}") + f"#m-{seq}", 303
    )


@bp.get("/rooms/<rid>/menu")
def menu(rid: str) -> Any:
    """The menu of message `after`, a cursor: in the message for htmx, else on the message's page.
    With `closed`, htmx closes the menu and moves the focus to the message's button."""
    seq, _ = cursor(request.args.get("after", ""))
    room, event = room_and_message(rid, str(seq))
    if not is_htmx():
        return redirect(f"/rooms/{rid}/messages/{event.seq}?menu=1#m-{event.seq}", 303)
    if "closed" in request.args:
        return chat().fragments.menu_closed(event)
    is_live = "/messages" not in request.headers.get("HX-Current-URL", "")
    return chat().fragments.menu(**menu_fields(room, event), live=is_live)
