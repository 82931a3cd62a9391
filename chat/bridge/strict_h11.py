"""An h11 connection that rejects what RFC 9112 allows a server to tolerate.

h11 accepts a bare LF as a line end, joins folded lines, drops a repeated Content-Length, and reads
a body that has both a length and a transfer coding. Each of these lets a proxy and this server see
different requests in the same bytes (request smuggling). Here each such request gets 400, and h11
reads nothing more from that connection.

`StrictBuffer` replaces h11's receive buffer, which is where h11 looks for line ends;
`tests/unit/test_patches.py` fails when h11 changes that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import h11
from h11._receivebuffer import ReceiveBuffer

_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
"""A header field (RFC 9110, section 5.5): no fold, no space before the colon, no control bytes."""

_TARGET_BYTE = rb"[\x21\x22\x24-\x7e]"
"""Not `#`: it would begin a fragment, which some parsers cut off."""

MAX_CHUNK_EXTENSION_BYTES = 256
"""The longest extension of a chunk. RFC 9112, section 7.1.1, asks servers to limit it."""

_REQUEST_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Z]+) (" + _TARGET_BYTE + rb"+) HTTP/1\.([01])")
_ABSOLUTE = re.compile(rb"https?://([^/?@\\]+)(?:[/?].*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")  # as many digits as every parser's integer can hold
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_CHUNK = rb"[0-9A-Fa-f]{1,15}(?:;[\t\x20-\x7e\x80-\xff]{0,%d})?" % MAX_CHUNK_EXTENSION_BYTES
_CHUNK_LINE = re.compile(_CHUNK + rb"\r\n")
_CHUNK_LINE_BEGUN = re.compile(rb"(?:" + _CHUNK + rb"\r?)?")
_HEAD_END = b"\r\n\r\n"
_PREFACE = [b"PRI * HTTP/2.0"]
_FRAMING = {b"content-length", b"transfer-encoding", b"host"}


class StrictConnection(h11.Connection):
    """The server's side of a connection.

    max_head_bytes: the largest request line and headers together.
    h2c: whether the first request may be the HTTP/2 preface.
    """

    def __init__(self, max_head_bytes: int, h2c: bool = False) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head_bytes)
        self._receive_buffer: StrictBuffer = StrictBuffer(h2c)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        self._receive_buffer.is_head = self.their_state is h11.IDLE
        return super().next_event()


class StrictBuffer(ReceiveBuffer):
    """Raises h11.LocalProtocolError at the first invalid byte, and h11 makes it a 400. It does not
    wait for the rest of an invalid request."""

    def __init__(self, h2c: bool = False) -> None:
        super().__init__()
        self.is_head = True  # next come a request's lines, not the trailers of a body
        self._h2c = h2c

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines up to the blank line, or None while that has not arrived."""
        data = self._data
        if data.startswith(b"\r\n"):
            self._extract(2)
            return []
        searched = self._multiple_lines_search
        end = data.find(_HEAD_END, max(0, searched - 3))
        stop = len(data) if end < 0 else end + len(_HEAD_END)
        if _BARE_LINE_END.search(data, max(0, searched - 1), stop):
            raise h11.LocalProtocolError("a line that does not end with CRLF")
        if end < 0:
            self._multiple_lines_search = stop
            return None
        lines = self._extract(stop)[:end].split(b"\r\n")
        if not self.is_head:
            _check_trailers(lines)
        elif not (self._h2c and lines == _PREFACE):
            parse_request(lines)
        self._h2c = False
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """Return the line before a chunk, or None while it has not arrived."""
        line = super().maybe_extract_next_line()
        begun = _CHUNK_LINE_BEGUN.fullmatch(self._data) if line is None else None
        if not (begun or (line and _CHUNK_LINE.fullmatch(line))):
            raise h11.LocalProtocolError("illegal chunk header")
        return line


class RequestHead(NamedTuple):
    """The first line and the headers of a request; names of headers in lower case."""

    method: bytes
    target: bytes
    minor_version: bytes
    headers: list[tuple[bytes, bytes]]


def parse_request(lines: Sequence[bytes | bytearray]) -> RequestHead:
    """Parse the lines of a request up to the blank line. Raises h11.LocalProtocolError for a
    request that two parsers could understand differently."""
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise h11.LocalProtocolError("illegal request line")
    method, target, minor = line.groups()
    headers = [_field(text) for text in lines[1:]]
    values: dict[bytes, list[bytes]] = defaultdict(list)
    for name, value in headers:
        values[name].append(value)
    lengths, codings = values[b"content-length"], values[b"transfer-encoding"]
    _check_host(method, target, minor, values[b"host"])
    _check_framing(minor, lengths, codings)
    upgrade = b",".join(values[b"upgrade"]).lower()
    if b"websocket" in upgrade and (codings or lengths not in ([], [b"0"])):
        # A proxy would treat the body as a body, and we would read it as frames.
        raise h11.LocalProtocolError("a handshake with a body")
    return RequestHead(method, target, minor, headers)


def _check_trailers(lines: list[bytearray]) -> None:
    """RFC 9110, section 6.5.1: trailers must not say where a message ends or who gets it."""
    for text in lines:
        if _field(text)[0] in _FRAMING:
            raise h11.LocalProtocolError("illegal trailer")


def _check_host(method: bytes, target: bytes, minor: bytes, hosts: list[bytes]) -> None:
    """RFC 9112, sections 3.2 and 3.3: there is one Host, and the target names no other."""
    if len(hosts) > 1 or (minor == b"1" and not hosts):
        raise h11.LocalProtocolError("one Host header is needed")
    if target.startswith(b"/") or (method == b"OPTIONS" and target == b"*"):
        is_here = True
    else:
        absolute = _ABSOLUTE.fullmatch(target)
        is_here = absolute is not None and absolute[1].lower() in map(bytes.lower, hosts)
    if not is_here or method == b"CONNECT":
        raise h11.LocalProtocolError("illegal request target")


def _check_framing(minor: bytes, lengths: list[bytes], codings: list[bytes]) -> None:
    """RFC 9112, section 6.3: the end of the body is given once, and in one way."""
    if len(lengths) + len(codings) > 1:
        raise h11.LocalProtocolError("more than one length or transfer coding")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise h11.LocalProtocolError("illegal Content-Length")
    if codings and (minor == b"0" or codings[0].lower() != b"chunked"):
        raise h11.LocalProtocolError("illegal Transfer-Encoding")


def _field(text: bytes | bytearray) -> tuple[bytes, bytes]:
    """Return the name in lower case, and the value."""
    field = _FIELD.fullmatch(text)
    if field is None:
        raise h11.LocalProtocolError("illegal header line")
    return field[1].lower(), field[2].strip(b" \t")
