"""Limits on the work that a form causes: the number of its fields, and the headers of its parts.

Werkzeug reads forms on the event loop. It splits the parameters of a part's header one by one, and
copies the rest each time, so a header of 480 KB would block the loop for half a second. It counts
the parts of multipart forms only, not the fields of other forms and of addresses.

Werkzeug has no setting for the class of its decoder, so `install` replaces it with `Decoder`.
tests/integration/test_forms.py fails if Werkzeug looks for it elsewhere.
"""

import io
from typing import IO, Any

import flask
from werkzeug import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge
from werkzeug.sansio.multipart import Event, Field, File, MultipartDecoder

MAX_FIELDS = 1000  # in a form or an address, as Werkzeug's limit for the parts of a form
MAX_PART_HEAD_BYTES = 4096  # of a part; the longest name of a file fits


class Decoder(MultipartDecoder):
    """Raises RequestEntityTooLarge for a part whose header is too long. Raises ValueError, which
    makes the form empty, for a part without a name: no HTML form has one, and Flask-WTF fails on
    it."""

    def next_event(self) -> Event:
        event = super().next_event()
        if isinstance(event, Field | File) and not isinstance(event.name, str):
            raise ValueError("a part without a name")
        return event

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > MAX_PART_HEAD_BYTES:
            raise RequestEntityTooLarge
        return super()._parse_headers(data)


class FormParser(formparser.FormDataParser):
    """Raises RequestEntityTooLarge for a form with more than MAX_FIELDS fields."""

    def _parse_urlencoded(self, stream: IO[bytes], *more: Any) -> Any:
        body = stream.read()
        if body.count(b"&") >= MAX_FIELDS:
            raise RequestEntityTooLarge
        return super()._parse_urlencoded(io.BytesIO(body), *more)


class Request(flask.Request):
    """A request whose form is limited."""

    form_data_parser_class = FormParser


def install() -> None:
    """Limit the parts of multipart forms, in the whole process."""
    formparser.MultipartDecoder = Decoder  # type: ignore[attr-defined, misc]


def check_address(asked: flask.Request) -> None:
    """Raise RequestURITooLarge for an address with more fields than a form may have."""
    if asked.query_string.count(b"&") >= MAX_FIELDS:
        raise RequestURITooLarge
