"""How a websocket begins: what is agreed with the client, and the answer that says so."""

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
"""What a key is made of (RFC 6455, section 4.1)."""

# Hypercorn and wsproto take the last of a field that comes twice, and fail on one that is not
# ASCII, over HTTP/2 together with all streams of the connection.
_ONCE = {b"sec-websocket-key", b"sec-websocket-version"}
_READ = _ONCE | {b"connection", b"upgrade", b"sec-websocket-extensions", b"sec-websocket-protocol"}


class Upgrade(Handshake):
    """A handshake that agrees to compression over HTTP/1.1, where frames are written directly,
    and only as `Deflate` does it. limit: bytes of a message."""

    limit = 0
    deflate: Deflate | None = None

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], http_version: str) -> None:
        super().__init__(_usable([*headers]), http_version)

    def is_valid(self) -> bool:
        """False for what is answered with 400, or with 426 for another version."""
        return super().is_valid() and (self.http_version != "1.1" or _is_key(self.key))

    def accept(self, subprotocol: str | None, additional_headers: Any) -> Any:
        offers, self.extensions = self.extensions or [], None
        deflate = Deflate(self.limit)
        agreed = server_extensions_handshake(offers, [deflate])
        if self.http_version != "1.1" or agreed is None:
            return super().accept(subprotocol, additional_headers)
        self.deflate = deflate
        headers = [*additional_headers, (b"sec-websocket-extensions", agreed)]
        status, headers, _ = super().accept(subprotocol, headers)
        return status, headers, Connection(ConnectionType.SERVER, [deflate])


def _usable(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers without those fields of a handshake that say nothing that is certain."""
    times = Counter(name.lower() for name, _ in headers)
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _READ
        or (value.isascii() and not (name.lower() in _ONCE and times[name.lower()] > 1))
    ]


def _is_key(key: bytes | None) -> bool:
    try:
        return len(base64.b64decode(key or b"", validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


def switching(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The answer that ends a handshake (RFC 6455, section 4.2.2)."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % b"".join(lines)
