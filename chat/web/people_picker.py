"""Picking people in a form: a search with checkboxes that keeps what was ticked before."""

from typing import Any

from flask import Blueprint, g, render_template, request

from ..domain.errors import Invalid
from ..services.context import chat
from ..store import Person
from ..store.people import FOUND
from .auth import require_person

MOST_PICKED = 200  # people at once

bp = Blueprint("picker", __name__)
bp.before_request(require_person)


@bp.get("/people/picker")
def found() -> Any:
    """The boxes for the search `q`, with those that are ticked; a fragment for htmx. `room`
    names a room whose members are not offered."""
    rid, rooms = request.args.get("room", ""), chat().store.rooms
    is_inside = bool(rid) and rooms.is_member(rid, g.person.uid)
    return render_template("rooms/picker.html", **picking(rid if is_inside else ""))


def picking(rid: str = "") -> dict[str, Any]:
    """What the macro `picker` shows, from the form as it came: `q`, the people `picked` and
    those `found`, without oneself and the members of the room `rid`."""
    q, store = request.values.get("q", ""), chat().store
    picked, found = _ticked(), store.people.find(q)
    hidden = {g.person.uid}
    if rid:
        hidden |= store.rooms.inside(rid, [person.uid for person in (*picked, *found)])
    picked = [person for person in picked if person.uid not in hidden]
    hidden |= {person.uid for person in picked}
    more = len(found) >= FOUND
    found = [person for person in found if person.uid not in hidden]
    return {"q": q, "picked": picked, "found": found, "more": more}


def picked_people() -> list[Person]:
    """The people whose boxes are ticked: the form's fields `members`. Raises Invalid for more than
    MOST_PICKED."""
    if len(request.values.getlist("members")) > MOST_PICKED:
        raise Invalid(f"You can pick {MOST_PICKED} people at once. Pick the others afterwards.")
    return _ticked()


def _ticked() -> list[Person]:
    people = chat().store.people.several(request.values.getlist("members")[:MOST_PICKED])
    return [person for person in people if not person.off]


def is_search() -> bool:
    """True when Enter was pressed in the search field of a form, and not its button."""
    return bool(request.form.get("q")) and "do" not in request.form
