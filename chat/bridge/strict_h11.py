"""An h11 connection that refuses what RFC 9112 lets a server forgive.

h11 takes a bare LF as the end of a line, joins folded lines, drops a repeated Content-Length and
reads a body that has both a length and a transfer coding. Each of these lets a proxy and this
server see different requests in the same bytes (request smuggling). Here every such request is
answered with 400, and h11 reads nothing more from that connection.

`StrictBuffer` stands in for h11's receive buffer, which is where h11 looks for line ends;
`tests/unit/test_seam.py` fails when h11 moves it.
"""

from __future__ import annotations

import re

import h11
from h11._receivebuffer import ReceiveBuffer

FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
"""A header field (RFC 9110, section 5.5): no fold, no blank before the colon, no control bytes."""

TARGET = rb"[\x21\x22\x24-\x7e]"
"""A byte of a request target. A `#` would begin a fragment, which some parsers cut off."""

MAX_CHUNK_EXTENSION_BYTES = 256
"""The extension of one chunk. RFC 9112, section 7.1.1, asks servers to limit them."""

_REQUEST_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Z]+) (" + TARGET + rb"+) HTTP/1\.([01])")
_ABSOLUTE = re.compile(rb"https?://([^/?@\\]+)(?:[/?].*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")  # as many digits as fit every parser's integer
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_CHUNK = rb"[0-9A-Fa-f]{1,15}(?:;[\t\x20-\x7e\x80-\xff]{0,%d})?" % MAX_CHUNK_EXTENSION_BYTES
_CHUNK_LINE = re.compile(_CHUNK + rb"\r\n")
_CHUNK_LINE_BEGUN = re.compile(rb"(?:" + _CHUNK + rb"\r?)?")
_HEAD_END = b"\r\n\r\n"
_PREFACE = [b"PRI * HTTP/2.0"]
_FRAMING = {b"content-length", b"transfer-encoding", b"host"}


class StrictConnection(h11.Connection):
    """The server's side of a connection. h2c: the first request may be the HTTP/2 preface."""

    def __init__(self, max_head_bytes: int, h2c: bool = False) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head_bytes)
        self._receive_buffer: StrictBuffer = StrictBuffer(h2c)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        self._receive_buffer.is_head = self.their_state is h11.IDLE
        return super().next_event()


class StrictBuffer(ReceiveBuffer):
    """Raises h11.LocalProtocolError, which h11 turns into a 400, at the first byte that is wrong:
    a request that never gets its blank line is not waited for."""

    def __init__(self, h2c: bool = False) -> None:
        super().__init__()
        self.is_head = True  # what is read next are a request's lines, not a body's trailers
        self._h2c = h2c

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines up to the blank line; None while it has not arrived."""
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
            _check_request(lines)
        self._h2c = False
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk; None while it has not arrived."""
        line = super().maybe_extract_next_line()
        begun = _CHUNK_LINE_BEGUN.fullmatch(self._data) if line is None else None
        if not (begun or (line and _CHUNK_LINE.fullmatch(line))):
            raise h11.LocalProtocolError("illegal chunk header")
        return line


def _check_request(lines: list[bytearray]) -> None:
    """Raise h11.LocalProtocolError for a request that two parsers could read differently."""
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise h11.LocalProtocolError("illegal request line")
    method, target, minor = line.groups()
    values: dict[bytes, list[bytes]] = {b"host": [], b"content-length": []}
    for text in lines[1:]:
        name, value = _field(text)
        values.setdefault(name, []).append(value)
    _check_host(method, target, minor, values[b"host"])
    lengths, codings = values[b"content-length"], values.get(b"transfer-encoding", [])
    _check_framing(minor, lengths, codings)
    upgrades = b",".join(values.get(b"upgrade", [])).lower()
    if b"websocket" in upgrades and (codings or lengths not in ([], [b"0"])):
        # What a proxy takes for the body would be read as frames.
        raise h11.LocalProtocolError("a handshake with a body")


def _check_trailers(lines: list[bytearray]) -> None:
    """RFC 9110, section 6.5.1: a trailer does not say where a message ends or goes."""
    for text in lines:
        if _field(text)[0] in _FRAMING:
            raise h11.LocalProtocolError("illegal trailer")


def _check_host(method: bytes, target: bytes, minor: bytes, hosts: list[bytes]) -> None:
    """RFC 9112, sections 3.2 and 3.3: one Host, and no target that names another one."""
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
    """RFC 9112, section 6.3: where the body ends is said once, and in one way."""
    if len(lengths) + len(codings) > 1:
        raise h11.LocalProtocolError("more than one length or transfer coding")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise h11.LocalProtocolError("illegal Content-Length")
    if codings and (minor == b"0" or codings[0].lower() != b"chunked"):
        raise h11.LocalProtocolError("illegal Transfer-Encoding")


def _field(text: bytearray) -> tuple[bytes, bytes]:
    """Name in lower case, and value."""
    field = FIELD.fullmatch(text)
    if field is None:
        raise h11.LocalProtocolError("illegal header line")
    return field[1].lower(), field[2].strip(b" \t")
