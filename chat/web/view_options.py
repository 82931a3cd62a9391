"""What views declare about themselves: that they accept files, and how they show a refusal.

The application reads it once, when it is built (`file_limits`, `refusal_templates`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask

from ..services.context import Parts

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class FileLimit:
    """What a request may have besides a form.

    max_bytes: the size of all files together.
    too_large: the text for a request with more; "" for the text that all requests have.
    is_body: the file is the body of the request, and the view itself counts it
        (upload_limits.begin), because only the view knows who sends it.
    """

    max_bytes: int
    too_large: str = ""
    is_body: bool = False


def accepts_files(limit: Callable[[Parts], FileLimit]) -> Callable[[View], View]:
    """Decorate a view that accepts files; `limit` gets the parts of the application."""

    def mark(view: View) -> View:
        view.file_limit = limit  # type: ignore[attr-defined]
        return view

    return mark


def shows_refusals(template: str) -> Callable[[View], View]:
    """Decorate a view whose errors htmx puts into the page: `template` gets the `text`."""

    def mark(view: View) -> View:
        view.refusal_template = template  # type: ignore[attr-defined]
        return view

    return mark


def file_limits(app: Flask, parts: Parts) -> dict[str, FileLimit]:
    """The limits of the views that accept files, by endpoint."""
    marked = _marked(app, "file_limit")
    return {endpoint: limit(parts) for endpoint, limit in marked.items()}


def refusal_templates(app: Flask) -> dict[str, str]:
    """The templates of the views that have one for refusals, by endpoint."""
    return _marked(app, "refusal_template")


def _marked(app: Flask, name: str) -> dict[str, Any]:
    views = app.view_functions.items()
    return {endpoint: getattr(view, name) for endpoint, view in views if hasattr(view, name)}
