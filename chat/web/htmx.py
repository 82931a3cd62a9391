"""Tells responses for htmx, which replaces a part of the page, from whole pages."""

from flask import request


def is_htmx() -> bool:
    """True if htmx made the request, to replace a part of the page."""
    return bool(request.headers.get("HX-Request"))


def is_panel() -> bool:
    """True if htmx replaces the panel next to the room list. When the person goes back in the
    history, htmx requests the whole page."""
    return is_htmx() and not request.headers.get("HX-History-Restore-Request")
