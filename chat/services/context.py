"""The parts of the application that serves the present request."""

from typing import TYPE_CHECKING, cast

from flask import Request, current_app, request

if TYPE_CHECKING:
    from ..app import Chat


def chat() -> "Chat":
    """The present application, with its settings, store, hub and fragments."""
    return cast("Chat", current_app)


def app() -> "Chat":
    """The same to be kept, by what goes on when the request is over."""
    return cast("Chat", current_app._get_current_object())  # type: ignore[attr-defined]


def present() -> Request:
    """The present request itself. `request` is a proxy of it, which looks it up for each of its
    attributes; hooks that run with every request read a dozen of them."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]


def is_htmx() -> bool:
    """True where a part of a page is asked for, not a whole one."""
    return bool(request.headers.get("HX-Request"))
