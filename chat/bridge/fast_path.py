"""A GET that came whole and alone in one read, and its answer, without h11 between.

Nearly every request is one, and h11 takes a tenth of a page's time for it. What is in the least
unusual is left to h11, before the answer begins: a request with a body or a wish about the
connection, one that comes in pieces or with another behind it, an answer without a length.
RFC 9112 says what a request looks like; what is taken here is less than h11 takes.
"""

from __future__ import annotations

import re

import h11

from .strict_h11 import FIELD, TARGET
from .wsgi import Headers

LONGEST = 1 << 14  # bytes of a request that is looked at

_LINE = re.compile(rb"GET (/" + TARGET + rb"*) HTTP/1\.1")
_UNUSUAL = {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings"}
_END = b"\r\n\r\n"


def read_whole(data: bytes) -> tuple[bytes, Headers] | None:
    """Target and headers of the request that `data` is, names in lower case; None for anything
    but one whole GET that h11 would take too."""
    if len(data) > LONGEST or not data.startswith(b"GET ") or data.find(_END) != len(data) - 4:
        return None
    first, *lines = data[:-4].split(b"\r\n")
    line = _LINE.fullmatch(first)
    headers: Headers = []
    hosts = 0
    for text in lines:
        field = FIELD.fullmatch(text)
        if field is None:
            return None
        name, value = field[1].lower(), field[2].strip(b" \t")
        if name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        hosts += name == b"host"
        headers.append((name, value))
    return (line[1], headers) if line and hosts == 1 else None


class Whole:
    """In the place of a connection's h11.Connection, `kept`, while the request `data` is answered.
    `kept` knows nothing of that request, unless `give_back` has it told."""

    they_are_waiting_for_100_continue = False
    their_state = h11.DONE
    trailing_data = (b"", False)

    def __init__(self, kept: h11.Connection, data: bytes) -> None:
        self.kept = kept
        self.over = False  # the connection ends: what still comes is for nobody
        self._data = data
        self._more = b""
        self._head = b""
        self._left = -1  # bytes of the answer that are missing; -1 before it begins

    @property
    def our_state(self) -> type[h11.DONE] | type[h11.SEND_BODY]:
        return h11.SEND_BODY if self._left else h11.DONE

    def receive_data(self, data: bytes) -> None:
        """What comes before the answer is there waits for its turn."""
        self._more += data

    def next_event(self) -> type[h11.PAUSED] | type[h11.NEED_DATA]:
        return h11.PAUSED if self._more and not self.over else h11.NEED_DATA

    def begin(self, status: int, headers: Headers) -> bool:
        """Begin the answer; False, and nothing is done, for one that is left to h11."""
        names = [name for name, _ in headers]
        length = dict(headers).get(b"content-length", b"")
        if status < 200 or status in (204, 304) or b"connection" in names:
            return False
        if names.count(b"content-length") != 1 or not length.isdigit():
            return False
        lines = [b"HTTP/1.1 %d " % status, *(b"%b: %b" % header for header in headers), b"", b""]
        head = b"\r\n".join(lines)
        ends = len(lines) - 1
        if b"\0" in head or head.count(b"\r") != ends or head.count(b"\n") != ends:
            return False  # h11 says what is wrong with it
        self._head, self._left = head, int(length)
        return True

    def body(self, data: bytes) -> bytes:
        """What is to be sent for some more of the body: the head goes along with the first. Raises
        h11.LocalProtocolError for more than was said."""
        if len(data) > self._left:
            raise h11.LocalProtocolError("Too much data for declared Content-Length")
        self._left -= len(data)
        head, self._head = self._head, b""
        return head + data

    def end(self) -> bytes:
        """The body has ended; what is still to be sent. Raises h11.LocalProtocolError for less than
        was said."""
        if self._left:
            raise h11.LocalProtocolError("Too little data for declared Content-Length")
        return self.body(b"")

    def give_back(self, told: bool) -> h11.Connection:
        """h11's connection, for what follows; `told`: after it has read this request too, to answer
        it."""
        if told:
            self.kept.receive_data(self._data)
            self.kept.next_event()  # the request
            self.kept.next_event()  # and its end
        if self._more:
            self.kept.receive_data(self._more)
        return self.kept
