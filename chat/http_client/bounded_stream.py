"""Limits how many bytes an HTTP client reads from its connections, and reads them in small pieces.

The sender decides how expensive each byte is to parse: a response may consist of ten thousand
informational responses, header lines, or one-byte chunks, and the HTTP parser handles everything it
has been given without yielding to the event loop. The parser therefore gets at most PIECE_BYTES at
a time, and other tasks run between two pieces. The limit on the total bounds everything else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpcore

PIECE_BYTES = 1024
"""The most bytes that the parser gets at a time."""


class ResponseTooLarge(Exception):
    """The response is larger than the limit."""


class BoundedBackend(httpcore.AsyncNetworkBackend):
    """A network backend for httpcore that reads at most `max_bytes` from all its connections
    together. Reading more raises ResponseTooLarge."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes_left = max_bytes
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **options), self)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: BoundedBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._backend.bytes_left <= 0:
            raise ResponseTooLarge
        await asyncio.sleep(0)
        size = min(max_bytes, PIECE_BYTES, self._backend.bytes_left)
        data = await self._stream.read(size, timeout)
        self._backend.bytes_left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(*args, **options), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
