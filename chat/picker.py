"""Picking people in a form: a search with checkboxes that keeps what was ticked before."""

from typing import Any

from flask import Blueprint, g, render_template, request

from .current import chat
from .session import require_person
from .store import Person

bp = Blueprint("picker", __name__)
bp.before_request(require_person)


@bp.get("/people/picker")
def found() -> Any:
    """The boxes for the search `q`, with those that are ticked; a fragment for htmx. `room`
    names a room whose members are not offered."""
    rid = request.args.get("room", "")
    return render_template("rooms/picker.html", **picking(_members(rid)))


def picking(but: list[Person] | None = None) -> dict[str, Any]:
    """What the macro `picker` shows, from the form as it came: `q`, the people `picked` and
    those `found`, without those in `but` and oneself."""
    q, hidden = request.values.get("q", ""), {g.person.uid, *(person.uid for person in but or [])}
    picked = [person for person in picked_people() if person.uid not in hidden]
    hidden |= {person.uid for person in picked}
    found = [person for person in chat().store.people.find(q) if person.uid not in hidden]
    return {"q": q, "picked": picked, "found": found}


def picked_people() -> list[Person]:
    """The people whose boxes are ticked: the form's fields `members`."""
    people = chat().store.people.several(request.values.getlist("members")[:1000])
    return [person for person in people if not person.off]


def is_search() -> bool:
    """True when Enter was pressed in the search field of a form, and not its button."""
    return bool(request.form.get("q")) and "do" not in request.form


def _members(rid: str) -> list[Person]:
    rooms = chat().store.rooms
    return rooms.members(rid) if rid and rooms.is_member(rid, g.person.uid) else []
