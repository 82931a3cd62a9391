"""The reason why a page cannot connect."""

from typing import Any

from flask import Blueprint, g
from markupsafe import escape

from ..domain.errors import TooOften
from ..services.context import chat
from .auth import current_person
from .security import network

bp = Blueprint("connections", __name__)


@bp.get("/connection")
def connection() -> Any:
    """Return the reason why a page cannot connect, for the page to show; "" if it can connect
    now."""
    try:
        if current_person():
            chat().limits.check("page", network())
            chat().connection_limits.check(g.person.uid, network())
    except TooOften as error:
        return escape(error.text)
    return ""
