"""Picking people in a form: a search with checkboxes that keeps the people already ticked."""

from typing import Any

from flask import g, request

from ..domain.errors import Invalid
from ..services.context import chat
from ..store import Person
from ..store.people import PAGE_SIZE

MAX_PICKED_PEOPLE = 200  # at once


def people_fields(rid: str = "") -> dict[str, Any]:
    """The variables of the macro `picker`: the search `q`, the people `picked` and those `found`;
    `more` if the search has more results. The person themselves and the members of the room `rid`
    are left out."""
    q, store = request.values.get("q", ""), chat().store
    picked, found = _ticked(), store.people.find(q)
    hidden = {g.person.uid}
    if rid:
        hidden |= store.rooms.inside(rid, [person.uid for person in (*picked, *found)])
    picked = [person for person in picked if person.uid not in hidden]
    hidden |= {person.uid for person in picked}
    more = len(found) >= PAGE_SIZE
    found = [person for person in found if person.uid not in hidden]
    return {"q": q, "picked": picked, "found": found, "more": more}


def picked_people() -> list[Person]:
    """The people whose boxes are ticked (the form's fields `members`). Raises Invalid for more than
    MAX_PICKED_PEOPLE."""
    if len(request.values.getlist("members")) > MAX_PICKED_PEOPLE:
        raise Invalid(f"You can add {MAX_PICKED_PEOPLE} people at once. Add the others afterwards.")
    return _ticked()


def is_search() -> bool:
    """True if Enter was pressed in the search field of a form, instead of its button."""
    return bool(request.form.get("q")) and "do" not in request.form


def _ticked() -> list[Person]:
    people = chat().store.people.several(request.values.getlist("members")[:MAX_PICKED_PEOPLE])
    return [person for person in people if not person.deactivated]
