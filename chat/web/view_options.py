"""What views declare about themselves: that they accept files, and how they show errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from flask import current_app, request

from ..domain.errors import Busy, ChatError, FilesAway, Invalid, TooOften
from ..services.context import Parts, chat
from .htmx import is_htmx

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class FileLimit:
    """The files that a request may contain.

    max_bytes: the size of all files together.
    too_large: the text of the error for a larger request; "" for the default text.
    is_body: the file is the body of the request, and the view itself counts it
        (upload_limits.begin), because only the view knows who sends it.
    """

    max_bytes: int
    too_large: str = ""
    is_body: bool = False


def accepts_files(limit: Callable[[Parts], FileLimit]) -> Callable[[View], View]:
    """Decorate a view that accepts files; `limit` gets the parts of the application."""
    return _option("file_limit", limit)


def shows_refusals(fragment: Callable[..., str]) -> Callable[[View], View]:
    """Decorate a view whose errors htmx puts into the page. `fragment` turns the text of an error
    and the arguments of the view into HTML."""
    return _option("refusal", fragment)


def shows_errors_on(page: Callable[..., Any], *more: type[ChatError]) -> Callable[[View], View]:
    """Decorate the view of a form. If it raises Invalid, TooOften, Busy, FilesAway or one of
    `more`, the response is `page`, with the text of the error and with what was typed. `page` gets
    the arguments of the view, and `error`. A view that `shows_refusals` does so for htmx."""
    errors: tuple[type[ChatError], ...] = (Invalid, TooOften, Busy, FilesAway, *more)

    def declare(view: View) -> View:
        @wraps(view)
        def form(**arguments: Any) -> Any:
            try:
                return view(**arguments)
            except errors as error:
                if is_htmx() and _declared(request.endpoint, "refusal"):
                    raise
                return page(**arguments, error=error.text), error.status, error.headers

        return cast(View, form)

    return declare


def file_limit(endpoint: str | None) -> FileLimit | None:
    """The limit of the view, None for one that does not accept files."""
    limit = _declared(endpoint, "file_limit")
    return limit(chat()) if limit else None


def refusal(text: str) -> str:
    """The HTML that htmx puts into the page for an error of the present view, "" if the view has
    none of its own."""
    fragment = _declared(request.endpoint, "refusal")
    return fragment(text, **(request.view_args or {})) if fragment else ""


def _option(name: str, value: Any) -> Callable[[View], View]:
    def declare(view: View) -> View:
        setattr(view, name, value)
        return view

    return declare


def _declared(endpoint: str | None, name: str) -> Any:
    return getattr(current_app.view_functions.get(endpoint or ""), name, None)
