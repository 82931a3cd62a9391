"""The network between a browser and the chat: slow, or cut."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class Proxy:
    """Passes TCP on to a port of this machine.

    `latency` is what a websocket's bytes take each way, and `slow` what a request takes whose
    line holds a text, both in seconds.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.latency = 0.0
        self.slow: dict[bytes, float] = {}
        self.away = False
        self.open: set[asyncio.Transport] = set()
        self.quiet = asyncio.Event()  # nothing is open
        self.quiet.set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self._do(self._listen())
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection and let no new one through."""
        self._do(self._cut())

    def restore(self) -> None:
        self.away = False

    def close(self) -> None:
        self._do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await self.loop.create_server(lambda: Near(self), "127.0.0.1", 0)

    async def _cut(self) -> None:
        self.away = True
        for transport in list(self.open):
            transport.abort()

    async def _close(self) -> None:
        self.server.close()
        await self._cut()
        # What was aborted is closed in the next turns of the loop.
        await self.quiet.wait()


class End(asyncio.Protocol):
    """One end of a connection; what it gets goes to `other`, after a while."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.transport: asyncio.Transport
        self.other: End | None = None
        self.is_socket = False
        self.due = 0.0
        self.early: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.proxy.open.add(transport)
        self.proxy.quiet.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
            return
        if data.startswith(b"GET /live "):
            self.is_socket = self.other.is_socket = True
        wait = self.proxy.latency if self.is_socket else 0.0
        line = data.partition(b"\r\n")[0]
        wait = max([wait, *(time for text, time in self.proxy.slow.items() if text in line)])
        self._later(wait, lambda other=self.other: other.write(data))

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.open.discard(self.transport)
        if not self.proxy.open:
            self.proxy.quiet.set()
        if self.other is not None:
            self._later(0.0, self.other.transport.close)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _later(self, wait: float, act: Any) -> None:
        """In order, however the waits differ."""
        loop = self.proxy.loop
        self.due = max(self.due + 1e-6, loop.time() + wait)
        if self.due - loop.time() < 1e-4:
            loop.call_soon(act)
        else:
            loop.call_at(self.due, act)


class Near(End):
    """The browser's end, which opens the server's."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.proxy.away:
            transport.abort()
        else:
            self.opening = self.proxy.loop.create_task(self._open())

    async def _open(self) -> None:
        loop, target = self.proxy.loop, self.proxy.target
        try:
            _, far = await loop.create_connection(lambda: End(self.proxy), "127.0.0.1", target)
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
