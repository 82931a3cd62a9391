"""What differs per viewer: a small style sheet of one's own, so that fragments need not."""

from typing import Any

from flask import Blueprint, make_response, render_template

from .session import current_person

bp = Blueprint("people", __name__)


@bp.get("/me.css")
def me() -> Any:
    """Rules for what the viewer wrote. The page names the user id in the address, so a browser
    may keep it for an hour."""
    person = current_person()
    response = make_response(render_template("me.css", uid=person.uid) if person else "")
    response.mimetype = "text/css"
    response.headers["Cache-Control"] = "private, max-age=3600" if person else "no-store"
    return response
