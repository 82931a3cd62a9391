"""What kind of response the browser asks for: htmx replaces parts of a page, a form loads one."""

from flask import request


def is_htmx() -> bool:
    """True if htmx made the request, to replace a part of the page."""
    return bool(request.headers.get("HX-Request"))


def is_panel() -> bool:
    """True if htmx replaces the panel beside the list of rooms. Going back in the history asks for
    the whole page, although htmx makes that request too."""
    return is_htmx() and not request.headers.get("HX-History-Restore-Request")
