"""Files of messages as their readers get them.

Nothing that somebody sent is run or shown as a page of this site: pictures, sound and film are
what our own table says they are, everything else is for saving, and all of it comes with a policy
that would take any page's rights away. Parts of a file are given to who asks for them (RFC 9110,
section 14): players do, to jump.

A browser may keep a file, but must ask each time before it shows it again (`no-cache`, RFC 9111,
section 5.2.2.4). The question costs no byte of the file: an id is given to one content only, so it
is answered with 304 (RFC 9110, section 13.1.2). Whoever may not have the file any more, because
the message was deleted or the person is out of the room, gets 404, and what the cache holds stays
there unseen.
"""

import unicodedata
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, request

from ..domain.events import File
from ..services.context import chat
from .auth import require_person

bp = Blueprint("downloads", __name__)
bp.before_request(require_person)

SHOWN = ("image", "audio", "video")  # kinds that a browser may show
POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"


@bp.get("/rooms/<rid>/files/<fid>/<name>")
def download(rid: str, fid: str, name: str) -> Any:
    """A file, for members of its room; with `?small` the small one of an image. The name in the
    address is for people: what counts is the one that is kept."""
    return answer(rid, chat().store.messages.file(rid, g.person.uid, fid))


def answer(rid: str, file: File) -> Response:
    """The response with a file of room `rid`, or the part that was asked for. Raises NotFound and
    FilesAway."""
    small = file.is_image and "small" in request.args
    if request.if_none_match.contains_weak(file.fid):
        return _with_headers(Response(status=304), file)
    size, pieces = chat().attachments.read(rid, file.fid, small)
    asked = request.range if _is_same(file) else None
    if asked and (asked.units != "bytes" or len(asked.ranges) > 1):
        asked = None  # the whole is an answer to these, too
    part = asked.range_for_length(size) if asked else None
    if asked and part is None:
        return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    if part:
        _, pieces = chat().attachments.read(rid, file.fid, small, part)
    response = Response(pieces, 206 if part else 200)
    if part:
        response.headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
    response.content_length = part[1] - part[0] if part else size
    response.content_type = "image/webp" if small else file.type
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Disposition"] = _disposition(file)
    return _with_headers(response, file)


def _with_headers(response: Response, file: File) -> Response:
    response.headers["ETag"] = f'"{file.fid}"'
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _is_same(file: File) -> bool:
    """Whether a part may be added to what the client has: If-Range names this file, or nothing."""
    return request.headers.get("If-Range", f'"{file.fid}"') == f'"{file.fid}"'


def _disposition(file: File) -> str:
    """How to treat it and what to call it (RFC 6266)."""
    how = "inline" if file.type.partition("/")[0] in SHOWN else "attachment"
    plain = unicodedata.normalize("NFKD", file.name).encode("ascii", "ignore").decode()
    plain = plain.replace("\\", "_").replace('"', "_")
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
