"""Websocket messages built once for everyone (RFC 6455, section 5.2; RFC 7692).

A server's frames are not masked, so the same bytes fit every connection, and a message is framed
once however many clients get it. The same holds for a compressed message, because each is a stream
of its own and refers to nothing that was sent before. Frames may be built in one thread only: they
share a compressor.
"""

import zlib

TEXT = 0x81  # FIN and opcode 1: a whole text message in one frame
PING, PONG = 0x89, 0x8A  # FIN and opcodes 9 and 10
COMPRESSED = 0x40  # RSV1: the payload is deflated (RFC 7692, section 6)
MIN_COMPRESSED_CHARS = 128  # a shorter message is not worth compressing
COMPRESSION_LEVEL = 1  # zlib's fastest: the others save few bytes of such short texts

_TAIL = b"\x00\x00\xff\xff"  # of a flushed block; the receiver adds it (RFC 7692, section 7.2.1)
# A full flush makes the compressor forget everything before. So one compressor serves all messages,
# without allocating and clearing memory for each.
_compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


class BroadcastMessage:
    """A text message, framed once for all the connections that it is sent to."""

    __slots__ = ("_deflated", "plain", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.plain = text_frame(text)
        """The whole message as one uncompressed frame."""
        self._deflated = b""

    @property
    def deflated(self) -> bytes:
        """The compressed frame, made when the first connection needs it, or the plain one if that
        is not larger."""
        if not self._deflated:
            self._deflated = self.plain
            if len(self.text) >= MIN_COMPRESSED_CHARS:
                packed = deflated_frame(self.text)
                if len(packed) < len(self.plain):
                    self._deflated = packed
        return self._deflated


def text_frame(text: str) -> bytes:
    """One unmasked, uncompressed text frame, ready for the wire."""
    return _frame(TEXT, text.encode(errors="replace"))  # a lone surrogate has no bytes


def deflated_frame(text: str) -> bytes:
    """One unmasked text frame that any connection with permessage-deflate can read."""
    data = text.encode(errors="replace")
    packed = _compressor.compress(data) + _compressor.flush(zlib.Z_FULL_FLUSH)
    return _frame(TEXT | COMPRESSED, packed.removesuffix(_TAIL))


def whole_text(data: bytes) -> tuple[bytes, bool] | None:
    """Return the payload of a client's text frame, and whether it is compressed. None unless `data`
    is exactly one masked frame with a whole message; anything else is left to a full parser."""
    if len(data) < 6 or data[0] & ~COMPRESSED != TEXT or data[1] < 128:
        return None
    size, start = data[1] & 127, 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
        if size < 126:
            return None
    if size == 127 or len(data) != start + 4 + size:
        return None
    mask = data[start : start + 4] * (size // 4 + 1)
    masked = int.from_bytes(data[start + 4 :], "big")
    payload = masked ^ int.from_bytes(mask[:size], "big")
    return payload.to_bytes(size, "big"), data[0] != TEXT


def ping_frame(payload: bytes) -> bytes:
    """A Ping frame. Its payload of at most 125 bytes comes back in the Pong (RFC 6455, 5.5.2)."""
    return _frame(PING, payload)


def whole_pong(data: bytes) -> bytes | None:
    """Return the payload of a client's Pong. None unless `data` is exactly one masked Pong."""
    if len(data) < 6 or data[0] != PONG or data[1] < 128 or len(data) != 6 + data[1] - 128:
        return None
    return bytes(byte ^ data[2 + n % 4] for n, byte in enumerate(data[6:]))


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65536:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload
