"""The network between two of those who talk here: passed on, slow, cut, or half-open."""

import asyncio
from collections.abc import Callable
from typing import Any


class Proxy:
    """Passes TCP from a port of this machine, on the address `here`, on to port `target` of
    `there`; the port may change.

    `latency` is what bytes take each way, in seconds.
    """

    def __init__(self, target: int, there: str = "127.0.0.1", here: str = "127.0.0.1") -> None:
        self.target = target
        self.there, self.here = there, here
        self.latency = 0.0
        self.away = False
        self.port = 0
        self.ends: set[End] = set()

    async def start(self) -> "Proxy":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Near(self), self.here, 0, backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def cut(self) -> None:
        """Break every connection and let no new one through, until `heal`."""
        self.away = True
        self.drop()

    def drop(self) -> None:
        """Break every connection that there is; new ones are let through."""
        for end in list(self.ends):
            end.transport.abort()

    def stall(self) -> None:
        """Half-open: from now on nothing gets through on the connections that there are, and
        nobody is told. New ones are let through."""
        for end in list(self.ends):
            end.stalled = True

    def heal(self) -> None:
        """Let everything through; what was half-open is known to be broken."""
        self.away, self.latency = False, 0.0
        for end in list(self.ends):
            if end.stalled:
                end.transport.abort()

    def close(self) -> None:
        self.server.close()
        self.cut()

    def delay(self, end: "End", data: bytes) -> float:
        """What these bytes take on their way from `end` to the other one, in seconds."""
        return self.latency


class End(asyncio.Protocol):
    """One end of a connection; what it gets goes to `other`."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.transport: Any = None
        self.other: End | None = None
        self.early: list[bytes] = []
        self.stalled = False
        self.waiting = 0  # what is on its way to the other end
        self.due = 0.0  # when the last of it is there

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.proxy.ends.add(self)

    def data_received(self, data: bytes) -> None:
        if self.stalled:
            return
        if self.other is None:
            self.early.append(data)
        else:
            self._later(self.proxy.delay(self, data), self.other.write, data)

    def _later(self, wait: float, act: Callable[..., None], *args: Any) -> None:
        """In order, however the waits differ."""
        loop = asyncio.get_running_loop()
        if wait or self.waiting:
            self.waiting += 1
            self.due = max(self.due + 1e-6, loop.time() + wait)
            loop.call_at(self.due, self._now, act, *args)
        else:
            act(*args)

    def _now(self, act: Callable[..., None], *args: Any) -> None:
        self.waiting -= 1
        if not self.stalled:
            act(*args)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.ends.discard(self)
        if self.other is not None and not self.stalled:
            self._later(0.0, self.other.transport.close)

    # Who does not read is not read for.

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class Near(End):
    """The end of who has asked for the connection."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.proxy.away:
            transport.abort()
        else:
            self.opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(
                lambda: End(self.proxy), self.proxy.there, self.proxy.target
            )
        except OSError:
            self.transport.abort()
            return
        if self.transport.is_closing() or self.proxy.away:
            far.transport.abort()
            self.transport.abort()
            return
        self.other, far.other = far, self
        early, self.early = self.early, []
        for data in early:
            self.data_received(data)
