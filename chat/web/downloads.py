"""Downloads of the files of messages."""

from typing import Any

from flask import Blueprint, g

from ..services.context import chat
from .file_responses import file_response

bp = Blueprint("downloads", __name__)


@bp.get("/rooms/<rid>/files/<fid>/<name>")
def download(rid: str, fid: str, name: str) -> Any:
    """A file, for members of its room. With `?small`, the preview of an image. The name in the
    address is for people only: the response has the stored name."""
    return file_response(rid, chat().store.messages.file(rid, g.person.uid, fid))
