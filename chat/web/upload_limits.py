"""Limits the size and the number of uploads in progress (services.uploads)."""

from flask import Request, g

from ..services.context import chat
from .auth import current_person
from .security import network
from .view_options import file_limit

MAX_FORM_BYTES = 64 * 1024  # of a request's body without files


def limit_size(asked: Request) -> None:
    """Limit the body of a request by what its view accepts. Only signed-in people may send files.
    Must be called before the form is read."""
    asked.max_content_length = MAX_FORM_BYTES
    files = file_limit(asked.endpoint)
    if files is None:
        return
    if files.is_body:
        asked.max_content_length += files.max_bytes
        return
    if asked.method != "POST" or asked.mimetype != "multipart/form-data":
        return
    size = asked.content_length
    if (size is None or size > MAX_FORM_BYTES) and (person := current_person()):
        begin(asked, person.uid, MAX_FORM_BYTES + files.max_bytes)
        asked.max_content_length += files.max_bytes


def begin(asked: Request, uid: str, max_bytes: int) -> None:
    """Count the request of a person, which may have `max_bytes`, until it ends. Raises as
    `Uploads.begin` does."""
    size = max_bytes if asked.content_length is None else min(asked.content_length, max_bytes)
    g.end_upload = chat().uploads.begin(uid, network(), size)


def end(_: object = None) -> None:
    """Stop counting the request; it has ended, with or without an error."""
    if "end_upload" in g:
        g.pop("end_upload")()
