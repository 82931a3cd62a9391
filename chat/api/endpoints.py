"""Programs can do everything that the pages can: JSON under /api, with a token.

Each operation is declared once, at its handler (`operation`). Its route, its checks and the OpenAPI
document are made from this declaration, so they cannot disagree. The first line above is the
description in that document.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, jsonify

from ..domain.errors import NotFound, Refused, Unauthorized
from ..services.context import Parts, chat, present
from ..web.auth import log_failed_sign_in
from ..web.request_limits import charge
from ..web.view_options import FileLimit, accepts_files
from . import messages, people, rooms
from .openapi import document
from .operation import Operation
from .schemas import MAX_INTEGER

bp = Blueprint("api", __name__, url_prefix="/api")

OPERATIONS = [*people.operations, *rooms.operations, *messages.operations]


@bp.before_request
def authorize() -> None:
    """Find the person of the token, and count the request. Raises Unauthorized, TooOften."""
    asked = present()
    if asked.endpoint == "api.openapi":
        charge(asked, "")
        return
    kind, _, secret = asked.headers.get("Authorization", "").partition(" ")
    found = chat().store.tokens.person(secret) if kind.lower() == "bearer" else None
    charge(asked, found[0].uid if found else "")
    if found is None:
        if secret:
            log_failed_sign_in("unknown token")
        raise Unauthorized("Send a valid token: Authorization: Bearer chat_…")
    g.person, g.token = found


def _view(operation: Operation) -> Callable[..., Any]:
    def view(**path: Any) -> Any:
        if operation.scope not in g.token.scopes:
            raise Refused(f"This token may not {operation.scope}.")
        if path.get("seq", 0) > MAX_INTEGER:
            raise NotFound("There is no such message in this room.")
        answer = operation.handler(**path, **operation.arguments())
        if isinstance(answer, Response) and operation.scope == "read":
            return answer  # a file
        answer = operation.answer_for(g.token.scopes, answer)
        return (jsonify(answer), operation.status) if answer is not None else ("", 204)

    return accepts_files(_file_limit)(view) if operation.is_file else view


def _file_limit(parts: Parts) -> FileLimit:
    return FileLimit(parts.attachments.max_message_bytes, is_body=True)


def error_json(status: int, title: str, text: str) -> tuple[Response, int]:
    """Return the JSON of every error."""
    return jsonify(error={"status": status, "title": title, "text": text}), status


@bp.get("/openapi.json")
def openapi() -> Any:
    """The OpenAPI 3.1 document of all operations."""
    return jsonify(document(OPERATIONS, (__doc__ or "").partition("\n")[0]))


for _operation in OPERATIONS:
    bp.add_url_rule(_operation.path, _operation.id, _view(_operation), methods=[_operation.method])
