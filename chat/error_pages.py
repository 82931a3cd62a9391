"""Responses to errors that a view raises: pages, and JSON under /api."""

import logging
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from typing import Any

from flask import Flask, render_template, request
from flask_wtf.csrf import CSRFError
from redis.exceptions import DataError, RedisError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .api import endpoints
from .domain.errors import ChatError, FilesAway, Invalid, StoreAway, TooOften
from .observability.redaction import redacted
from .web.htmx import is_htmx
from .web.view_options import file_limit, refusal

log = logging.getLogger(__name__)

_TEXTS = {
    400: ("That did not work", "The browser sent something that the chat does not understand."),
    404: ("Not found", "There is no such page."),
    405: ("Not found", "This address is not a page."),
    413: ("Too long", "This is larger than the chat accepts."),
    414: ("Too long", "The address is longer than the chat accepts."),
}


def register(app: Flask) -> None:
    """Handle the errors of an application."""
    app.register_error_handler(ChatError, _refused)
    app.register_error_handler(RedisError, _store_away)
    app.register_error_handler(DataError, _cannot_be_stored)
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _page(status: int, title: str, text: str) -> Any:
    """A page that says what went wrong and contains the typed text; JSON under /api."""
    if request.path.startswith("/api/"):
        return endpoints.error_json(status, title, text)
    if is_htmx() and (fragment := refusal(text)):
        return fragment, status
    if status == TooOften.status and is_htmx():
        # Only a notice, not a new page, because the person may be typing.
        page = render_template("too_often.html", text=text)
        return page, status, {"HX-Reswap": "none"}
    typed = ""
    if status != 413 and request.method == "POST":
        with suppress(OSError, HTTPException):  # the rest of the request could not be read
            typed = request.form.get("body", "")
    return render_template("error.html", title=title, text=text, kept=typed), status


def _refused(error: ChatError) -> Any:
    page, status, *more = _page(error.status, error.title, error.text)
    return page, status, {**error.headers, **(more[0] if more else {})}


def _store_away(error: RedisError) -> Any:
    log.warning("Redis: %s", error)
    return _refused(StoreAway())


def _cannot_be_stored(error: DataError) -> Any:
    """Redis was given a value that it cannot store, so a check is missing."""
    log.error("in %s %r: %s", request.method, request.path, error)
    return _refused(Invalid("This contains something that the chat cannot store."))


def _expired_form(error: CSRFError) -> Any:
    return _page(
        400,
        "This form has expired",
        "You have signed in again since the page was loaded. Go back, reload it, and send the "
        "form again.",
    )


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    if request.path.startswith("/api/"):
        page = endpoints.error_json(error.code, error.name, error.description or "")
        methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
        return *page, {"Allow": ", ".join(methods)} if methods else {}
    title, text = _TEXTS.get(error.code, (error.name, "The chat cannot do that."))
    limit = file_limit(request.endpoint)
    if error.code == 413 and limit and request.mimetype == "multipart/form-data":
        text = limit.too_large or text
    return _page(error.code, title, text)


def _unexpected(error: Exception) -> Any:
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return _refused(FilesAway())  # no space for the temporary file of an upload
    # Quoted, because a path may contain line breaks.
    log.error("in %s %r", request.method, redacted(request.path), exc_info=error)
    return _page(500, "Something went wrong", "The error was logged. Please try again.")
