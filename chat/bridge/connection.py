"""A TCP connection of the server: extends Hypercorn's `TCPServer`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData

from .wsgi import spawn


class IdleTimer:
    """Calls `end` when a connection has been idle for `seconds`. Hypercorn's own timer is a task
    that it starts and cancels for each request."""

    def __init__(self, end: Callable[[], None], seconds: float) -> None:
        self._end = end
        self._seconds = seconds
        self.timer: asyncio.TimerHandle | None = None

    async def restart(self, tasks: Any, action: Any) -> None:
        await self.stop()
        self.timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    async def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class ClosedPart:
    """Replaces the parts of a connection that has ended; every call does nothing."""

    async def handle(self, event: Any) -> None:
        pass

    async def restart(self, tasks: Any, action: Any) -> None:
        pass

    async def stop(self) -> None:
        pass


CLOSED: Any = ClosedPart()


class Connection(TCPServer):
    """One TCP connection. Network errors end it and are not reported.

    registry: the open connections of the same server; contains this one while it is open.
    """

    def __init__(self, *args: Any, registry: set[Connection]) -> None:
        super().__init__(*args)
        self._registry = registry

    def end_if_idle(self) -> None:
        """End the connection unless a request or a websocket is using it."""
        if self.idle_task.timer is not None:  # type: ignore[attr-defined]
            self.end()

    def end(self) -> None:
        """End the connection. Nothing may be in progress on it."""
        spawn(self._initiate_server_close())

    async def run(self) -> None:
        self.idle_task = IdleTimer(self.end, self.config.keep_alive_timeout)  # type: ignore[assignment]
        self._registry.add(self)
        try:
            await super().run()
        finally:
            self._registry.discard(self)
            # Both refer to this object. Without this, it and its buffers would be kept until the
            # garbage collector looks for cycles.
            self.protocol = self.idle_task = CLOSED

    async def _read_data(self) -> None:
        # Like Hypercorn's method, but without a timer for each read: the stream watches for
        # silence.
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        # The buffers of an HTTP/2 connection are not emptied any more: wake the tasks that wait.
        for buffer in getattr(self.protocol.protocol, "stream_buffers", {}).values():
            await buffer.close()

    async def protocol_send(self, event: Any) -> None:
        if isinstance(event, RawData) and not event.data:
            return  # the end of a response that has a Content-Length
        try:
            await super().protocol_send(event)
        except OSError:
            # Hypercorn catches only ConnectionError; TCP_USER_TIMEOUT raises TimeoutError.
            await self.protocol.handle(Closed())

    async def _close(self) -> None:
        with suppress(OSError):
            await super()._close()
