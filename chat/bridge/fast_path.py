"""Fast path for a GET that arrived in one read: parsed and answered without h11.

Nearly every request is such a GET. With h11 in between, a page costs 10 % more CPU time and a small
response 45 % more. The request is read by the same function that checks it for h11
(chat.bridge.strict_h11.parse_request), so both paths understand a request in the same way. Anything
unusual is left to h11 before the response begins: a request that has a body or asks something about
the connection, one that arrives in pieces or with another one after it, a response without a
length.
"""

from __future__ import annotations

import h11

from .strict_h11 import parse_request
from .wsgi import Headers

MAX_REQUEST_BYTES = 1 << 14
"""The largest request that is read here."""

_LEFT_TO_H11 = {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings"}
_HEAD_END = b"\r\n\r\n"


def read_get(data: bytes) -> tuple[bytes, Headers] | None:
    """Return the target and the headers (names in lower case) of the request in `data`. None for
    anything but exactly one complete, simple GET."""
    if len(data) > MAX_REQUEST_BYTES or not data.startswith(b"GET /"):
        return None
    if data.find(_HEAD_END) != len(data) - len(_HEAD_END):
        return None
    try:
        request = parse_request(data[: -len(_HEAD_END)].split(b"\r\n"))
    except h11.LocalProtocolError:
        return None
    for name, value in request.headers:
        if name in _LEFT_TO_H11 or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
    return (request.target, request.headers) if request.minor_version == b"1" else None


class FastPathConnection:
    """Takes the place of a connection's h11.Connection while the request in `data` is answered.

    h11_connection: does not know the request, unless `to_h11` passes it on.
    """

    they_are_waiting_for_100_continue = False
    their_state = h11.DONE
    trailing_data = (b"", False)

    def __init__(self, h11_connection: h11.Connection, data: bytes) -> None:
        self.h11_connection = h11_connection
        self.ended = False  # the connection ends: discard what still arrives
        self._data = data
        self._received = b""
        self._head = b""
        self._bytes_left = -1  # of the response's body; -1 before the response begins

    @property
    def our_state(self) -> type[h11.DONE] | type[h11.SEND_BODY]:
        return h11.SEND_BODY if self._bytes_left else h11.DONE

    def receive_data(self, data: bytes) -> None:
        """Keep what arrives before the response is complete."""
        self._received += data

    def next_event(self) -> type[h11.PAUSED] | type[h11.NEED_DATA]:
        return h11.PAUSED if self._received and not self.ended else h11.NEED_DATA

    def begin(self, status: int, headers: Headers) -> bool:
        """Begin the response. Returns False, and does nothing, if h11 has to write it."""
        names = [name for name, _ in headers]
        length = dict(headers).get(b"content-length", b"")
        if status < 200 or status in (204, 304) or b"connection" in names:
            return False
        if names.count(b"content-length") != 1 or not length.isdigit():
            return False
        lines = [b"HTTP/1.1 %d " % status, *(b"%b: %b" % header for header in headers), b"", b""]
        head = b"\r\n".join(lines)
        line_ends = len(lines) - 1
        if b"\0" in head or head.count(b"\r") != line_ends or head.count(b"\n") != line_ends:
            return False  # h11 reports what is wrong with it
        self._head, self._bytes_left = head, int(length)
        return True

    def body(self, data: bytes) -> bytes:
        """Return what to send for a part of the body; the first part comes with the head. Raises
        h11.LocalProtocolError if the body is longer than its Content-Length."""
        if len(data) > self._bytes_left:
            raise h11.LocalProtocolError("Too much data for declared Content-Length")
        self._bytes_left -= len(data)
        head, self._head = self._head, b""
        return head + data

    def end(self) -> bytes:
        """End the body and return what is still to be sent. Raises h11.LocalProtocolError if the
        body is shorter than its Content-Length."""
        if self._bytes_left:
            raise h11.LocalProtocolError("Too little data for declared Content-Length")
        return self.body(b"")

    def to_h11(self, with_request: bool) -> h11.Connection:
        """Return the h11 connection, for whatever follows.

        with_request: let h11 read the request, too, because it has to answer it.
        """
        if with_request:
            self.h11_connection.receive_data(self._data)
            self.h11_connection.next_event()  # the request
            self.h11_connection.next_event()  # and its end
        if self._received:
            self.h11_connection.receive_data(self._received)
        return self.h11_connection
