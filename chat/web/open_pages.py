"""Counting the pages that stay open (realtime.connection_limits)."""

from collections.abc import Callable
from functools import partial

from flask import g

from ..services.context import chat
from .security import network


def enter() -> Callable[[], None]:
    """Count the present request as an open page of the person who is signed in. Returns the
    function to call when the page closes. Raises TooOften."""
    limits, owner = chat().connection_limits, (g.person.uid, network())
    chat().limits.use("page", owner[1])
    limits.enter(*owner)
    return partial(limits.leave, *owner)
