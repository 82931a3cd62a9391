"""Limits how many useless frames an HTTP/2 client may send.

A frame costs its sender nine bytes, and the server far more work. A client gains nothing from
opening and resetting streams (CVE-2023-44487), from making the server reset them (CVE-2025-8671),
or from a flood of PING, SETTINGS, PRIORITY, CONTINUATION, WINDOW_UPDATE or empty DATA frames. These
frames are counted. Each response that the client gets allows it some more, so a client that makes
real requests never reaches the limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

BURST_FRAMES = 200
"""Useless frames that a connection may send at once. All 100 streams may be reset twice."""

FRAMES_PER_SECOND = 50
"""Useless frames that it may send permanently."""

EARNED_FRAMES = 2
"""What each HEADERS or DATA frame that it gets allows: a browser opens two windows for it."""

SMALL_DATA_BYTES = 64
"""A smaller DATA frame counts as useless, unless it is the last of its stream."""

PREFACE_BYTES = 24
DATA, HEADERS, RST_STREAM = 0, 1, 3
_END_STREAM = 1
_HEAD_BYTES = 9


class FrameReader:
    """Reads the frame heads in a stream of bytes (RFC 9113, section 4.1), however it is cut.
    skip: bytes before the first frame."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._head = b""

    def read(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield length, type and flags of each frame whose head ends in `data`."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = _HEAD_BYTES - len(self._head)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == _HEAD_BYTES:
                head, self._head = self._head, b""
                self._skip = int.from_bytes(head[:3], "big")
                yield self._skip, head[3], head[4]


class FrameBudget:
    """Counts the frames of one connection, in both directions. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._received = FrameReader(PREFACE_BYTES)
        self._sent = FrameReader()
        self._left = float(BURST_FRAMES)
        self._since = clock()

    @property
    def is_spent(self) -> bool:
        return self._left < 0

    def received(self, data: bytes) -> None:
        """Count what the client sent."""
        now = self._clock()
        self._earn((now - self._since) * FRAMES_PER_SECOND)
        self._since = now
        self._left -= sum(_is_wasted(*frame) for frame in self._received.read(data))

    def sent(self, data: bytes) -> None:
        """Count what we send. A reset counts against the client."""
        for _, kind, _ in self._sent.read(data):
            if kind == RST_STREAM:
                self._left -= 1
            elif kind in (DATA, HEADERS):
                self._earn(EARNED_FRAMES)

    def _earn(self, frames: float) -> None:
        if not self.is_spent:
            self._left = min(self._left + frames, float(BURST_FRAMES))


def _is_wasted(length: int, kind: int, flags: int) -> bool:
    if kind == DATA:
        return length < SMALL_DATA_BYTES and not flags & _END_STREAM
    return kind != HEADERS
