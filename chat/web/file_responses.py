"""Responses with the files of messages.

No uploaded file can run or appear as a page of this site. Images, audio and video have a type from
our own table, every other file is an attachment, and the content security policy of each response
allows nothing. Players request parts of a file (RFC 9110, section 14).

A browser may cache a file, but must ask each time before it shows it again (`no-cache`, RFC 9111,
section 5.2.2.4). A file id never changes its content, so the answer is 304 (RFC 9110, section
13.1.2), which does not read the file. A person who may no longer see the file, because the
message was deleted or they left the room, gets 404, and the cached file is not shown.
"""

import io
from typing import Any

from flask import Response, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from ..domain.events import File
from ..services.context import chat

INLINE_KINDS = ("image", "audio", "video")  # the others are attachments
POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"


def file_response(rid: str, file: File) -> Response:
    """The response with a file of room `rid`, or with the requested part of it. Raises NotFound and
    FilesAway."""
    if request.if_none_match.contains_weak(file.fid):
        return _with_headers(Response(status=304), file)
    small = file.is_image and "small" in request.args
    size, pieces = chat().attachments.read(rid, file.fid, small)
    response = send_file(
        io.BytesIO(),  # the body follows below, when the requested part is known
        mimetype=file.type,
        as_attachment=file.type.partition("/")[0] not in INLINE_KINDS,
        download_name=file.name,
        conditional=False,
        etag=False,
    )
    response.direct_passthrough = False
    response.content_type = "image/webp" if small else file.type  # without a charset
    response.content_length = size
    _with_headers(response, file)
    try:
        response.make_conditional(_environ(), accept_ranges=True, complete_length=size)
    except RequestedRangeNotSatisfiable:
        return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    part = response.content_range
    if response.status_code == 206 and part.start is not None and part.stop is not None:
        _, pieces = chat().attachments.read(rid, file.fid, small, (part.start, part.stop))
    response.response = pieces
    return response


def _environ() -> Any:
    """The request, without a Range in another unit, with several parts, or with an error. Werkzeug
    would refuse it; we respond with the whole file."""
    asked = request.range
    if asked and asked.units == "bytes" and len(asked.ranges) == 1:
        return request.environ
    return {name: value for name, value in request.environ.items() if name != "HTTP_RANGE"}


def _with_headers(response: Response, file: File) -> Response:
    response.set_etag(file.fid)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    disposition = response.headers.get("Content-Disposition", "")
    if "filename*" in disposition:
        # Some browsers end the plain name at a quotation mark, even if it is escaped. The name in
        # `filename*` (RFC 6266) is complete.
        plain = disposition.replace(r"\\", "_").replace(r"\"", "_")
        response.headers["Content-Disposition"] = plain
    return response
