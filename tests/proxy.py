"""A network connection between two programs: passed on, slow, cut, or half-open."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

HELD_BYTES = 32 * 1024  # in each buffer of the system on a narrow line, about
TURN = 0.02  # seconds of a narrow line's time that one connection has in one piece


class Proxy:
    """Passes TCP from a port of this machine, on the address `here`, on to port `target` of
    `there`; the port may change. `there` may be the path of a socket instead.

    `latency` is what bytes take each way, in seconds. `rate` is how many bytes a second all
    connections together pass on, each way; 0 for as many as there are. Of a proxy that is made with
    a rate the buffers are small, as those of a narrow line are: who sends more is held up.
    """

    def __init__(
        self, target: int, there: str = "127.0.0.1", here: str = "127.0.0.1", rate: float = 0.0
    ) -> None:
        self.target = target
        self.there, self.here = there, here
        self.latency = 0.0
        self.rate = rate
        self.is_narrow = bool(rate)
        self._busy = {True: 0.0, False: 0.0}  # until when the line is, by direction
        self.away = False
        self.port = 0
        self.ends: set[End] = set()

    async def start(self) -> "Proxy":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Near(self), self.here, 0, backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]
        if self.is_narrow:  # those that are accepted inherit it
            for listening in self.server.sockets:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD_BYTES)
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
        if not self.rate:
            return self.latency
        now, way = asyncio.get_running_loop().time(), isinstance(end, Near)
        self._busy[way] = max(self._busy[way], now) + len(data) / self.rate
        return self.latency + self._busy[way] - now

    def pieces(self, data: bytes) -> list[bytes]:
        """These bytes as they are passed on: on a narrow line a little at a time."""
        size = max(1, int(self.rate * TURN)) if self.rate else len(data)
        return [data[n : n + size] for n in range(0, len(data), size)]


class End(asyncio.Protocol):
    """One end of a connection; what it gets goes to `other`."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.transport: Any = None
        self.other: End | None = None
        self.early: list[bytes] = []
        self.stalled = False
        self.held = False  # it is not read from until what came has passed
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
            for piece in self.proxy.pieces(data):
                self._later(self.proxy.delay(self, piece), self.other.write, piece)
            if self.proxy.rate and not self.transport.is_closing():
                self.held = True
                self.transport.pause_reading()  # until that has passed

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
        if self.held and not self.waiting:
            self.held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

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
                lambda: End(self.proxy), sock=await self._connect()
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

    async def _connect(self) -> socket.socket:
        """A socket that is connected to where the proxy leads."""
        there = self.proxy.there
        is_path = there.startswith("/")
        made = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET)
        made.setblocking(False)
        if self.proxy.is_narrow:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD_BYTES)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(made, there if is_path else (there, self.proxy.target))
        except BaseException:
            made.close()
            raise
        return made
