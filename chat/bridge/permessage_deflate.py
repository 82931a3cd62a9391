"""permessage-deflate (RFC 7692) without context takeover.

Neither side may refer to earlier messages (`server_no_context_takeover`,
`client_no_context_takeover`). So one compressed frame fits every connection (chat.bridge.frames),
no connection holds a compressor or a window, and no message is inflated beyond the size limit.
"""

from __future__ import annotations

import zlib
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

_TAIL = b"\x00\x00\xff\xff"  # of each message; the sender leaves it out (section 7.2.2)
_PARAMETERS = {
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
}


class Deflate(Extension):
    """The extension on one connection. limit: bytes of an inflated message; more is 1009."""

    name = "permessage-deflate"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._agreed = False
        self._compressed = False  # the message that is being received
        self._control = False  # the frame that is being received
        self._inflater: Any = None
        self._sent = self._inflated = 0  # bytes of the message so far

    def enabled(self) -> bool:
        return self._agreed

    def offer(self) -> bool:
        return False

    def accept(self, offer: str) -> str | None:
        """Return the answer to a client's offer, or None to decline it. Declined are a second
        offer, an invalid one, and one that demands a smaller window than ours, the largest."""
        given: dict[str, str | None] = {}
        for part in offer.split(";")[1:]:
            name, equals, value = (word.strip() for word in part.partition("="))
            if name not in _PARAMETERS or name in given:
                return None
            given[name] = value.strip('"') if equals else None
        if self._agreed or not _is_plain(given):
            return None
        self._agreed = True
        return "server_no_context_takeover; client_no_context_takeover"

    def whole(self, payload: bytes) -> bytes | None:
        """Return a whole message inflated; None if it is invalid or too large."""
        self._inflater, self._sent, self._inflated = None, 0, 0
        text = self._inflate(payload + _TAIL)
        self._inflater = None
        return text if isinstance(text, bytes) else None

    # Called by wsproto while a message arrives. wsproto does not compress what we send.

    def frame_inbound_header(
        self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._control = opcode.iscontrol()
        if rsv.rsv1 and (self._control or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        if not self._control and opcode is not Opcode.CONTINUATION:
            self._compressed, self._sent, self._inflated = rsv.rsv1, 0, 0
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:
        if self._control or not self._compressed:
            return data
        return self._inflate(data)

    def frame_inbound_complete(self, proto: Any, fin: bool) -> bytes | CloseReason | None:
        if self._control or not self._compressed or not fin:
            return None
        rest = self._inflate(_TAIL)
        self._inflater = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than allowed shows that it is too large; the rest is not inflated.
            text: bytes = self._inflater.decompress(data, self._limit - self._inflated + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._inflated += len(text)
        self._sent += len(data)  # a long message may inflate to nothing
        if self._inflated > self._limit or self._sent > self._limit + len(_TAIL):
            return CloseReason.MESSAGE_TOO_BIG
        return text


def _is_plain(given: dict[str, str | None]) -> bool:
    flags = given.get("server_no_context_takeover"), given.get("client_no_context_takeover")
    client = given.get("client_max_window_bits")
    return (
        flags == (None, None)
        and (client is None or client in map(str, range(8, 16)))
        and given.get("server_max_window_bits", "15") == "15"
    )
