"""Websocket frames (RFC 6455) and compressed messages (RFC 7692), as a client sees them."""

import os
import struct
import zlib

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
PACKED = 64  # RSV1: a compressed message
OFFER = "permessage-deflate; client_max_window_bits"  # as Chromium offers it
_TAIL = b"\x00\x00\xff\xff"


def frame(opcode, payload):
    """Return a masked websocket frame, as clients must send it; the payload is under 64 KiB."""
    key = os.urandom(4)
    mask = int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)])
    masked = (int.from_bytes(payload) ^ mask).to_bytes(len(payload))
    size = len(payload)
    if size > 125:
        head = struct.pack("!BBH", 128 | opcode, 128 | 126, size)
    else:
        head = struct.pack("!BB", 128 | opcode, 128 | size)
    return head + key + masked


def read_frames(data):
    """Return the complete frames at the beginning of the data, as (opcode with PACKED, payload),
    and the rest."""
    frames, at, end = [], 0, len(data)
    while end - at >= 2:
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if start + size > end:
            break
        frames.append((data[at] & 0x4F, data[start : start + size]))
        at = start + size
    return frames, data[at:]


class Inflater:
    """Decompresses the messages of a room's viewers, each distinct one once.

    If every message is a stream of its own, the last one is cached. If messages refer to earlier
    ones, all viewers who connected before the first message get the same stream, so one stream is
    decompressed for all, and the others are only compared with it.
    """

    def __init__(self):
        self.takeover = True
        self._last = (b"", b"")
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._read = []

    def text(self, position, payload):
        """Return the text of a viewer's compressed message number `position`, counted from 0.
        Raises ValueError if it differs from what others got."""
        if not self.takeover:
            if payload != self._last[0]:
                stream = zlib.decompressobj(-zlib.MAX_WBITS)
                self._last = payload, stream.decompress(payload + _TAIL)
            return self._last[1]
        if position == len(self._read):
            self._read.append((payload, self._stream.decompress(payload + _TAIL)))
        known, text = self._read[position]
        if known != payload:
            raise ValueError("viewers of one room were sent different compressed streams")
        return text
