"""The opening handshake of a websocket: what is agreed with the client, and the response."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypercorn.protocol.ws_stream import Handshake
from wsproto.connection import Connection, ConnectionType
from wsproto.handshake import server_extensions_handshake

from .permessage_deflate import Deflate

KEY_BYTES = 16
"""Size of the decoded Sec-WebSocket-Key (RFC 6455, section 4.1)."""

# Hypercorn and wsproto use the last field where one is repeated. A field that is not ASCII makes
# them fail, which over HTTP/2 ends all streams of the connection.
_ONCE = {b"sec-websocket-key", b"sec-websocket-version"}
_USED = _ONCE | {b"connection", b"upgrade", b"sec-websocket-extensions", b"sec-websocket-protocol"}


class WebSocketHandshake(Handshake):
    """A websocket handshake.

    max_message_bytes: the limit of a message, set by our `WebSocketStream`. Then compression is
        agreed to only over HTTP/1.1, where frames are written directly, and only as `Deflate` does
        it. None (for Hypercorn's own `WSStream`) leaves compression to Hypercorn.
    """

    max_message_bytes: int | None = None
    deflate: Deflate | None = None

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], http_version: str) -> None:
        super().__init__(_usable([*headers]), http_version)

    def is_valid(self) -> bool:
        """Return True if the handshake can go on. If not, the response is 400, or 426 for another
        protocol version."""
        return super().is_valid() and (self.http_version != "1.1" or _is_key(self.key))

    def accept(self, subprotocol: str | None, additional_headers: Any) -> Any:
        if self.max_message_bytes is None:
            return super().accept(subprotocol, additional_headers)
        offers, self.extensions = self.extensions or [], None
        deflate = Deflate(self.max_message_bytes)
        agreed = server_extensions_handshake(offers, [deflate])
        if self.http_version != "1.1" or agreed is None:
            return super().accept(subprotocol, additional_headers)
        self.deflate = deflate
        headers = [*additional_headers, (b"sec-websocket-extensions", agreed)]
        status, headers, _ = super().accept(subprotocol, headers)
        return status, headers, Connection(ConnectionType.SERVER, [deflate])


def _usable(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers without handshake fields that are repeated or not ASCII."""
    counts = Counter(name.lower() for name, _ in headers)
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _USED
        or (value.isascii() and not (name.lower() in _ONCE and counts[name.lower()] > 1))
    ]


def _is_key(key: bytes | None) -> bool:
    try:
        return len(base64.b64decode(key or b"", validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


def switching_protocols(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the response that ends the handshake (RFC 6455, section 4.2.2)."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % b"".join(lines)
