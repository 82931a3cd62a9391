"""Counting the pages that visitors open, and telling a page why it cannot connect."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, g
from markupsafe import escape

from ..domain.errors import TooOften
from ..services.context import chat
from .auth import current_person
from .security import network

bp = Blueprint("crowd", __name__)


def enter() -> Callable[[], None]:
    """Count the present request as an open page of the person who is signed in. Returns the
    function to call when the page closes. Raises TooOften."""
    limits, owner = chat().connection_limits, (g.person.uid, network())
    chat().limits.use("page", owner[1])
    limits.enter(*owner)
    return partial(limits.leave, *owner)


@bp.get("/connection")
def connection() -> Any:
    """The reason why a page cannot connect, for the page to show; empty if it could now."""
    try:
        if current_person():
            chat().limits.check("page", network())
            chat().connection_limits.check(g.person.uid, network())
    except TooOften as error:
        return escape(error.text)
    return ""
