"""Reacting to a message, and the menu of what can be done with one."""

from typing import Any

from flask import Blueprint, g, redirect, request

from ..domain.errors import ChatError, Invalid, TooOften
from ..domain.validation import cursor, number
from ..services.context import chat, is_htmx
from ..store.messages import PAGE_SIZE
from .auth import require_person
from .messages import menu_of, message, message_page, set_reaction

bp = Blueprint("reactions", __name__)
bp.before_request(require_person)


@bp.post("/rooms/<rid>/reactions")
def react(rid: str) -> Any:
    """Turn a reaction round. `react` says of which message, up to which number the page shows its
    reactions, and the emoji, or else `emoji` does."""
    seq, shown, emoji = [*request.form.get("react", "").split(" ", 2), "", "", ""][:3]
    typed = emoji or request.form.get("emoji", "")
    try:
        set_reaction(g.person, rid, number(seq), typed, number(shown))
    except ChatError as error:
        if is_htmx():
            text = chat().fragments.reaction_refused(number(seq), error.text)
            return text, error.status, error.headers
        if isinstance(error, Invalid | TooOften):
            page = message_page(*message(rid, seq), True, typed, error.text)
            return page, error.status, error.headers
        raise
    room, event = message(rid, seq)
    if is_htmx():
        return chat().fragments.reaction_sent(event)
    near = room.seq - event.seq < PAGE_SIZE
    return redirect(f"/rooms/{rid}" + ("" if near else f"/messages/{seq}") + f"#m-{seq}", 303)


@bp.get("/rooms/<rid>/menu")
def menu(rid: str) -> Any:
    """What can be done with message `after`, a cursor: in the message for htmx, else on its
    page. With `closed`, for htmx, the focus for the message's button instead."""
    seq, _ = cursor(request.args.get("after", ""))
    room, event = message(rid, str(seq))
    if is_htmx() and "closed" in request.args:
        return chat().fragments.menu_closed(event)
    if is_htmx():
        live = "/messages" not in request.headers.get("HX-Current-URL", "")
        return chat().fragments.menu({**menu_of(room, event), "live": live})
    return redirect(f"/rooms/{rid}/messages/{event.seq}?menu=1#m-{event.seq}", 303)
