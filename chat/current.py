"""The parts of the application that serves the present request."""

from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from .app import Chat


def chat() -> "Chat":
    """The present application, with its settings, store, hub and fragments."""
    return cast("Chat", current_app)
