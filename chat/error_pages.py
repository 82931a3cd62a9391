"""The pages, and the answers of the API, for errors that a view raises."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from typing import Any

from flask import Flask, render_template, request
from flask_wtf.csrf import CSRFError
from redis.exceptions import DataError, RedisError
from werkzeug.exceptions import HTTPException

from .api import endpoints
from .domain.errors import ChatError, FilesAway, Invalid, StoreAway, TooOften
from .observability.redaction import redacted
from .web.htmx import is_htmx
from .web.view_options import FileLimit

log = logging.getLogger(__name__)

_TEXTS = {
    400: ("That did not work", "The browser sent something the chat does not understand."),
    404: ("Not found", "There is no such page."),
    405: ("Not found", "This address is not a page."),
    413: ("Too long", "This is larger than the chat accepts."),
    414: ("Too long", "The address is longer than the chat accepts."),
}


class ErrorPages:
    """Makes a response of an error.

    file_limits: of the views that accept files, by endpoint.
    refusal_templates: of the views whose errors htmx puts into the page, by endpoint.
    """

    def __init__(
        self, file_limits: Mapping[str, FileLimit], refusal_templates: Mapping[str, str]
    ) -> None:
        self._file_limits = file_limits
        self._refusal_templates = refusal_templates

    def register(self, app: Flask) -> None:
        """Handle the errors of an application."""
        app.register_error_handler(ChatError, self._refused)
        app.register_error_handler(RedisError, self._store_away)
        app.register_error_handler(DataError, self._cannot_be_stored)
        app.register_error_handler(CSRFError, self._expired_form)
        app.register_error_handler(HTTPException, self._http_error)
        app.register_error_handler(Exception, self._unexpected)

    def _page(self, status: int, title: str, text: str) -> Any:
        """A page that says what went wrong and keeps the typed text; JSON under /api."""
        if request.path.startswith("/api/"):
            return endpoints.error_json(status, title, text)
        template = self._refusal_templates.get(request.endpoint or "")
        if template and is_htmx():
            return render_template(template, text=text), status
        if status == TooOften.status and is_htmx():
            # Next to what the person used, where they may be typing.
            page = render_template("too_often.html", text=text)
            return page, status, {"HX-Reswap": "none"}
        typed = ""
        if status != 413 and request.method == "POST":
            with suppress(OSError, HTTPException):  # the request could not be read to its end
                typed = request.form.get("body", "")
        return render_template("error.html", title=title, text=text, kept=typed), status

    def _refused(self, error: ChatError) -> Any:
        page, status, *more = self._page(error.status, error.title, error.text)
        return page, status, {**error.headers, **(more[0] if more else {})}

    def _store_away(self, error: RedisError) -> Any:
        log.warning("Redis: %s", error)
        return self._refused(StoreAway())

    def _cannot_be_stored(self, error: DataError) -> Any:
        """Redis is available, but no check has refused a value that it cannot store."""
        log.error("in %s %r: %s", request.method, request.path, error)
        return self._refused(Invalid("This contains something that the chat cannot store."))

    def _expired_form(self, error: CSRFError) -> Any:
        return self._page(
            400,
            "This form has expired",
            "You have signed in again since the page was loaded. Go back, reload it, and send the "
            "form again.",
        )

    def _http_error(self, error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error
        if request.path.startswith("/api/"):
            return endpoints.http_error(error)
        title, text = _TEXTS.get(error.code, (error.name, "The chat cannot do that."))
        limit = self._file_limits.get(request.endpoint or "")
        if error.code == 413 and limit and request.mimetype == "multipart/form-data":
            text = limit.too_large or text
        return self._page(error.code, title, text)

    def _unexpected(self, error: Exception) -> Any:
        if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
            return self._refused(FilesAway())  # the temporary file of an upload did not fit
        # Quoted: a path may contain anything, line ends too.
        log.error("in %s %r", request.method, redacted(request.path), exc_info=error)
        return self._page(500, "Something went wrong", "The error was logged. Please try again.")
