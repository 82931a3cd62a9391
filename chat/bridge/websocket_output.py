"""The sending half of a websocket on Hypercorn: frames, the direct path, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypercorn.protocol.events import Data, EndBody, EndData, Response, StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState as State
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import CloseConnection
from wsproto.handshake import WEBSOCKET_VERSION
from wsproto.utilities import LocalProtocolError

from .config import ServerSettings
from .pings import PINGS, Pings
from .receive_queue import ReceiveQueue
from .wsgi import spawn

TRANSPORT = "websocket.transport"
"""Name of the entry in `scope["extensions"]` by which a server offers a `WebSocketOutput`."""

CONNECTED = State.CONNECTED
"""A name in this module: looking it up in its class takes a fifth of the time of a write."""


class WebSocketOutput(WSStream):
    """What one websocket sends, over HTTP/1.1 or HTTP/2.

    Over HTTP/1.1 the application finds it in its scope (TRANSPORT): `write`, `direct_writer`,
    `close` and `abort` may be called from any code on the loop and never block.
    """

    config: ServerSettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._receive_queue = ReceiveQueue(self.config.max_app_queue_size)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False  # the client broke the rules: discard what it sends
        self._ending = False  # both sides are done: only the connection is still to end
        self._peer_ended = False  # HTTP/2: the client has ended its half of the stream
        self._on_lost: Callable[[], None] | None = None  # called when `direct_writer` is over
        self._pings = Pings(self._ping)
        protocol: Any = self.send.__self__  # type: ignore[attr-defined]
        self._h2: Any = None
        self._writer: asyncio.StreamWriter | None = None
        self._transport: Any = None
        if isinstance(protocol, H2Protocol):
            self._h2 = protocol
        else:
            self._writer = protocol.send.__self__.writer
            self._transport = self._writer.transport

    # The direct path.

    @property
    def deflates(self) -> bool:
        """True if the client accepts compressed frames."""
        return self.handshake.deflate is not None  # type: ignore[attr-defined]

    def write(self, frames: bytes) -> int:
        """Write frames as they are. Returns the bytes that the kernel has not taken yet, or -1 if
        nothing was written because the connection is closing."""
        transport = self._transport
        if self.state is not CONNECTED or transport is None or transport.is_closing():
            return -1
        transport.write(frames)
        unsent: int = transport.get_write_buffer_size()
        return unsent

    def direct_writer(self, on_lost: Callable[[], None]) -> Callable[[bytes], object] | None:
        """Return the transport's own `write`, or None once the connection closes. `on_lost` is
        called before anything is written that must be the last."""
        transport = self._transport
        if self.state is not CONNECTED or transport is None or transport.is_closing():
            return None
        self._on_lost = on_lost
        write: Callable[[bytes], object] = transport.write
        return write

    def close(self, code: int, reason: str = "") -> None:
        """Send a Close frame, after which nothing is sent. The client has
        `websocket_close_timeout` to answer it."""
        self._put(self._close_frame(code, reason))

    def abort(self) -> None:
        """Cut the connection (over HTTP/2 reset the stream) without a Close frame."""
        self._stop_timer()
        if self.state is State.CONNECTED:
            self.state = State.CLOSED
        self._disconnect(1006)
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._h2.cancel(self.stream_id)

    # Frames and responses.

    def _ping(self, frame: bytes) -> bool:
        """Write a Ping. Returns False once the connection closes."""
        if self.state is not CONNECTED:
            return False
        self._put(frame)
        return True

    def _put(self, frame: bytes) -> None:
        """Write a frame without waiting: at once, or over HTTP/2 in a task of its own."""
        if not frame:
            return
        if self._writer is None:
            spawn(self.send(Data(stream_id=self.stream_id, data=frame)))
        elif not self._writer.transport.is_closing():
            with suppress(RuntimeError):  # after write_eof
                self._writer.transport.write(frame)

    async def _send_wsproto_event(self, event: Any) -> None:
        if self._failed:
            return
        try:
            data = self.connection.send(event)
        except LocalProtocolError:
            return
        if self._writer is None:
            await self.send(Data(stream_id=self.stream_id, data=data))
            return
        # Hypercorn would wait for a lock between building the frame and writing it. A Close frame
        # written meanwhile would come first.
        self._put(data)
        try:
            await self._writer.drain()
        except OSError:
            self._disconnect(1006)

    async def _send_rejection(self, message: Any) -> None:
        if self.state is State.HANDSHAKE and self._h2 is None:
            # Hypercorn cannot use a connection again on which a websocket was requested.
            headers = [*self.response["headers"], (b"connection", b"close")]
            self.response = {**self.response, "headers": headers}
        await super()._send_rejection(message)

    async def _send_error_response(self, status_code: int) -> None:
        headers = [(b"content-length", b"0")]
        if status_code == 400 and self.handshake.version != WEBSOCKET_VERSION:
            status_code = 426
            headers.append((b"sec-websocket-version", WEBSOCKET_VERSION))
        if self._h2 is None:
            headers.append((b"connection", b"close"))
        await self.send(
            Response(stream_id=self.stream_id, status_code=status_code, headers=headers)
        )
        await self.send(EndBody(stream_id=self.stream_id))

    # Ways to end.

    def _close_frame(self, code: int, reason: str) -> bytes:
        """Enter the closing state and return its Close frame; nothing if that has happened."""
        if self.state is not State.CONNECTED:
            return b""
        self.state = State.CLOSED
        self._disconnect(code, reason)
        self._start_timer(self.config.websocket_close_timeout, self.abort)
        return self.connection.send(CloseConnection(code=code, reason=reason or None))

    def _fail(self, code: int, reason: str = "") -> None:
        """Close, and discard what the client goes on to send (RFC 6455, section 7.1.7)."""
        self._failed = True
        self.buffer.clear()
        self._put(self._close_frame(code, reason))
        self._break_cycles()
        del self.connection
        self._start_timer(self.config.websocket_linger, self.abort)
        if self._writer is None:
            spawn(self.send(EndData(stream_id=self.stream_id)))
        elif self._writer.can_write_eof():
            # The client learns at once that nothing follows. We read on instead of closing, because
            # a reset could discard our Close frame before the client has read it.
            with suppress(OSError, RuntimeError):
                self._writer.write_eof()

    async def _refuse(self, status: int) -> None:
        """Answer the handshake with an error."""
        await self._send_error_response(status)
        self.state = State.HTTPCLOSED
        self._disconnect(1006)
        await self._finish()

    async def _finish(self) -> None:
        """End the connection (over HTTP/2 the stream), at the latest after the linger time."""
        if self._ending:
            return
        self._ending = True
        self._start_timer(self.config.websocket_linger, self.abort)
        if self._h2 is None:
            await self.send(StreamClosed(stream_id=self.stream_id))
        else:
            # Hypercorn fails on data for a stream it has forgotten, so this one stays until
            # the client has ended its half, too.
            spawn(self._finish_h2())

    async def _finish_h2(self) -> None:
        if self.state is not State.HTTPCLOSED:
            await self.send(EndData(stream_id=self.stream_id))
        if self._peer_ended:
            await self.send(StreamClosed(stream_id=self.stream_id))

    def _disconnect(self, code: int, reason: str = "") -> None:
        """Tell the application, and everybody who writes, that the connection is closed."""
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()
        self._pings.close()
        self._receive_queue.finish(
            {"type": "websocket.disconnect", "code": int(code), "reason": reason or ""}
        )

    def _break_cycles(self) -> None:
        """Undo references that lead back here: the scope has this stream, and wsproto's parser has
        a generator that has the parser. They would stay until the garbage collector runs."""
        scope: Any = getattr(self, "scope", {})
        for name in (TRANSPORT, PINGS):
            scope.get("extensions", {}).pop(name, None)
        connection: Any = getattr(self, "connection", None)
        if connection is not None:
            connection._proto._parse_more.close()

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after some time; replaces what was to be called before."""
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
