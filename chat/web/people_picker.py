"""The results of the people picker as one types; `people_form` has the rest of it."""

from typing import Any

from flask import Blueprint, g, render_template, request

from ..services.context import chat
from .auth import require_person
from .people_form import people_fields

bp = Blueprint("people_picker", __name__)
bp.before_request(require_person)


@bp.get("/people/picker")
def found() -> Any:
    """The checkboxes for the search `q`, as a fragment for htmx. The members of the room `room` are
    left out."""
    rid = request.args.get("room", "")
    is_inside = bool(rid) and chat().store.rooms.is_member(rid, g.person.uid)
    return render_template("rooms/picker.html", **people_fields(rid if is_inside else ""))
