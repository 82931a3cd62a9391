"""How much work a form is, besides its bytes: fields, and what parts of a form say of themselves.

Werkzeug reads forms on the event loop. It splits the parameters of a part's header one by one, each
time with a copy of the rest, so that one header of 480 KB held up everybody for half a second; and
it counts the parts of a multipart form only, not the fields of other forms and of addresses.

Werkzeug has no setting for the class of its decoder, so `Decoder` is put in its place.
tests/integration/test_forms.py fails when Werkzeug looks for it elsewhere.
"""

import io
from typing import IO, Any

import flask
from werkzeug import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge
from werkzeug.sansio.multipart import Event, Field, File, MultipartDecoder

MAX_FIELDS = 1000  # of a form, or of an address; Werkzeug's own limit for the parts of a form
MAX_PART_HEAD_BYTES = 4096  # before the content of a part; the longest name of a file fits


class Decoder(MultipartDecoder):
    """Raises RequestEntityTooLarge for a part with a long header, and ValueError, which makes the
    form an empty one, for a part without a name: HTML has none, and Flask-WTF fails on it."""

    def next_event(self) -> Event:
        event = super().next_event()
        if isinstance(event, Field | File) and not isinstance(event.name, str):
            raise ValueError("a part without a name")
        return event

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > MAX_PART_HEAD_BYTES:
            raise RequestEntityTooLarge
        return super()._parse_headers(data)


class Forms(formparser.FormDataParser):
    """Raises RequestEntityTooLarge for more than MAX_FIELDS in any form."""

    def _parse_urlencoded(self, stream: IO[bytes], *more: Any) -> Any:
        body = stream.read()
        if body.count(b"&") >= MAX_FIELDS:
            raise RequestEntityTooLarge
        return super()._parse_urlencoded(io.BytesIO(body), *more)


class Request(flask.Request):
    """A request whose form is bounded."""

    form_data_parser_class = Forms


def bound() -> None:
    """Bound the parts of multipart forms, in the whole process."""
    formparser.MultipartDecoder = Decoder  # type: ignore[attr-defined, misc]


def bound_address(asked: flask.Request) -> None:
    """Raise RequestURITooLarge for an address with more fields than a form may have."""
    if asked.query_string.count(b"&") >= MAX_FIELDS:
        raise RequestURITooLarge
