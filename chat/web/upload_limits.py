"""Requests with files while they are received (services.uploads)."""

from flask import Request, g

from ..services.context import chat
from .security import network


def begin(asked: Request, uid: str, most: int) -> None:
    """Count the request of a person, which may have `most` bytes, until it ends. Raises as
    `Uploads.begin` does."""
    size = most if asked.content_length is None else min(asked.content_length, most)
    g.end_upload = chat().uploads.begin(uid, network(), size)


def end(_: object = None) -> None:
    """The request has ended, however it did."""
    if "end_upload" in g:
        g.pop("end_upload")()
