"""The route of the socket that every open page has."""

from typing import Any

from flask import Blueprint, Response, g
from flask_sock import Sock

from ..bridge import WebSocket
from ..domain.errors import TooOften
from .auth import current_person
from .page_connection import PageConnection
from .request_limits import enter_page
from .security import is_own_origin

bp = Blueprint("live", __name__)
sock = Sock()


@bp.before_request
def only_own_pages() -> Response | None:
    """Refuse a handshake from another site (403), without a session (401), or above the limit
    (429). htmx tries again, after ever longer pauses, until a socket opens."""
    if not is_own_origin():
        return Response("This socket is for the chat's own pages.\n", 403, mimetype="text/plain")
    if current_person() is None:
        return Response("Sign in first.\n", 401, mimetype="text/plain")
    try:
        g.leave = enter_page()
    except TooOften as error:
        return Response(error.text, 429, error.headers, mimetype="text/plain")
    return None


@bp.teardown_request
def leave(_: Any) -> None:
    if "leave" in g:
        g.leave()


@sock.route("/live", bp=bp)  # type: ignore[untyped-decorator]
def live(ws: WebSocket) -> None:
    """Detach the socket from the request, which ends here. The page's connection goes on."""
    ws.detach(PageConnection(ws, g.person, g.pop("leave")))
