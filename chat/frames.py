"""Websocket frames built once for everyone (RFC 6455, section 5.2).

A server's frames are not masked, so the same bytes fit every connection: a message is framed
once per event, however many people look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TEXT = 0x81  # FIN and opcode 1: a whole text message in one frame


def text_frame(text: str) -> bytes:
    """One unmasked, uncompressed text frame, ready for the wire."""
    payload = text.encode(errors="replace")  # a lone surrogate has no bytes
    size = len(payload)
    if size < 126:
        return bytes((TEXT, size)) + payload
    if size < 65536:
        return bytes((TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((TEXT, 127)) + size.to_bytes(8, "big") + payload


@dataclass(frozen=True, slots=True)
class Frame:
    """A fragment ready to send: its room's event number, its text and its bytes."""

    seq: int
    text: str
    wire: bytes

    @classmethod
    def of(cls, seq: int, text: str) -> "Frame":
        # hx-ws parses a frame as JSON first and drops what is; a fragment is always markup.
        assert text.startswith("<"), text
        return cls(seq, text, text_frame(text))


def join(frames: Sequence[Frame]) -> tuple[bytes, list[str]]:
    """The bytes of several frames as one write, and their texts for where bytes cannot go."""
    return b"".join(frame.wire for frame in frames), [frame.text for frame in frames]
