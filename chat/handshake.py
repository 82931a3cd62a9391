"""How a websocket begins: what is agreed with the client, and the answer that says so."""

from __future__ import annotations

from typing import Any

from hypercorn.protocol.ws_stream import Handshake
from wsproto.connection import Connection, ConnectionType
from wsproto.handshake import server_extensions_handshake

from .deflate import Deflate
from .security_headers import plain_answer_headers

_SECURITY_HEADERS = plain_answer_headers(https_only=False)


class Upgrade(Handshake):
    """A handshake that agrees to compression over HTTP/1.1, where frames are written directly,
    and only as `Deflate` does it. limit: bytes of a message."""

    limit = 0
    deflate: Deflate | None = None

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


def switching(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The answer that ends a handshake (RFC 6455, section 4.2.2)."""
    lines = [b"%s: %s\r\n" % header for header in [*headers, *_SECURITY_HEADERS]]
    return b"HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % b"".join(lines)
