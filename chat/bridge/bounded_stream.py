"""Connections on which only so many bytes are read, a few at a time.

What a byte costs to read is up to the sender: an answer may be ten thousand informational
responses, header lines, or chunks of one byte, and the HTTP parser goes through all that has
arrived without giving way. So it gets PIECE_BYTES at once, and others have their turn before the
next. The sum bounds everything that can be counted in an answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

PIECE_BYTES = 1024


class TooLong(Exception):
    """More came than is read."""


class BoundedBackend(httpcore.AsyncNetworkBackend):
    """Connects as httpcore does; all its connections together may be read for `left` bytes. Reading
    on raises TooLong."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: BoundedBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._backend.left <= 0:
            raise TooLong
        await asyncio.sleep(0)
        size = min(max_bytes, PIECE_BYTES, self._backend.left)
        data = await self._stream.read(size, timeout)
        self._backend.left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
