"""A websocket on Hypercorn, as a server on the internet must have it.

`WebSocketStream` replaces Hypercorn's `WSStream` (chat.bridge.patches puts it there). It ends a
connection whose message is too large or whose frames are wrong and keeps none of its bytes; agrees
to compression only where no connection holds any (chat.bridge.permessage_deflate); tells the
application the client's real close code; notices dead peers; never waits for an application that
has stopped reading; and offers itself as a direct way to the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h2.errors
import h2.exceptions
from hypercorn.asyncio.task_group import _handle
from hypercorn.config import Config
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Request, Response, StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState as State
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.handshake import WEBSOCKET_VERSION
from wsproto.utilities import LocalProtocolError

from .config import ServerSettings
from .frames import whole_pong, whole_text
from .handshake import switching_protocols
from .pings import PINGS, Pings
from .receive_queue import ReceiveQueue
from .websocket import TRANSPORT
from .wsgi import spawn

CONNECTED = State.CONNECTED
"""By a name of the module: to look it up in its class is a fifth of what a write costs here."""

TURN = 100
"""Frames of one client handled before the others have their turn."""

ANSWERS = 10
"""Turns of the loop that the application has to answer what came before a frame that is wrong."""


class Disconnected(OSError):
    """Raised from an application's `send` when the connection has been closed, as ASGI 2.4 asks."""


class WebSocketStream(WSStream):
    """One websocket connection over HTTP/1.1 or HTTP/2.

    Over HTTP/1.1 it is also the direct path the application finds in its scope: `write`, `unsent`,
    `close` and `abort` may be called from any code on the loop and never block.
    """

    config: ServerSettings

    def __init__(
        self,
        app: Any,
        config: Config,
        context: Any,
        task_group: Any,
        ssl: bool,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
        send: Callable[..., Awaitable[None]],
        stream_id: int,
    ) -> None:
        super().__init__(app, config, context, task_group, ssl, client, server, send, stream_id)
        self._receive_queue = ReceiveQueue(config.max_app_queue_size)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._failed = False  # a client that broke the rules: discard what it sends
        self._ending = False  # both sides are done: only the connection is still to end
        self._peer_ended = False  # HTTP/2: the client has ended its half of the stream
        self._pong: asyncio.Future[Any] | None = None
        self._on_lost: Callable[[], None] | None = None  # told when `direct_writer` ends
        self._pings = Pings(self._ping)
        protocol: Any = send.__self__  # type: ignore[attr-defined]
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
        """True when the client reads compressed frames."""
        return self.handshake.deflate is not None  # type: ignore[attr-defined]

    def write(self, frames: bytes) -> int:
        """Write frames as they are; returns the bytes the kernel has not taken yet, or -1, and
        nothing is written, once the connection closes."""
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

    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Send a Close frame, the last frame there is; the client has five seconds to answer."""
        self._put(self._close_frame(code, reason))

    def abort(self) -> None:
        """Cut the connection (over HTTP/2 reset the stream) without a word."""
        self._stop_timer()
        if self.state is State.CONNECTED:
            self.state = State.CLOSED
        self._disconnect(1006)
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            spawn(self._reset())

    # What Hypercorn tells us.

    async def handle(self, event: Any) -> None:
        if isinstance(event, Request):
            await self._open(event)
        elif isinstance(event, (Body, Data)):
            await self.receive_data(event.data)
        elif isinstance(event, EndBody):
            await self._end_of_input()
        elif isinstance(event, StreamClosed):
            self._over()

    async def _open(self, request: Request) -> None:
        tasks = self.task_group
        # Hypercorn starts the application through it, with a queue that would stay as long as
        # the connection beside our own.
        self.task_group = _Starter(self, tasks)  # type: ignore[assignment]
        await super().handle(request)
        self.task_group = tasks
        if self.app_put is None:
            # Refused. Hypercorn would now keep the connection for ever.
            self.closed = False
            self.state = State.HTTPCLOSED
            await self._finish()

    async def receive_data(self, data: bytes) -> None:
        if self._failed or self._ending or self.closed:
            return
        if not self.handshake.accepted:
            await self._refuse(400)
            return
        self._heard = self._loop.time()
        text = self._whole_text(data)
        if text is not None:
            await self._receive_queue.put({"type": "websocket.receive", "text": text})
        elif not self._take_pong(data):
            self.connection.receive_data(data)
            await self._handle_events()

    def _take_pong(self, data: bytes) -> bool:
        """Handle `data` if it is nothing but one Pong, for a tenth of what wsproto takes."""
        decoder = self.connection._proto._frame_decoder
        payload = None
        if decoder.header is None and not decoder.buffer.buffer:
            payload = whole_pong(data)
        if payload is None:
            return False
        self._pings.answered(payload)
        return True

    def _ping(self, frame: bytes) -> bool:
        """Write a Ping; False once the connection closes."""
        if self.state is not CONNECTED:
            return False
        self._put(frame)
        return True

    def _whole_text(self, data: bytes) -> str | None:
        """The message in `data`, where that is nothing but one whole text frame, as nearly all
        are; None leaves it to wsproto, which takes fifteen times as long."""
        decoder = self.connection._proto._frame_decoder
        between = decoder.header is None and not decoder.buffer.buffer and self.buffer.value is None
        if not between or self._h2 is not None or self.state is not State.CONNECTED:
            return None
        frame = whole_text(data)
        if frame is None:
            return None
        payload: bytes | None = frame[0]
        if frame[1]:
            deflate = self.handshake.deflate  # type: ignore[attr-defined]
            payload = deflate.whole(payload) if deflate else None
        if payload is None or len(payload) > self.config.websocket_max_message_size:
            return None
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return None

    async def _handle_events(self) -> None:
        for i, event in enumerate(self.connection.events(), 1):
            if i % TURN == 0:
                await asyncio.sleep(0)
            if isinstance(event, Message):
                await self._message(event)
            elif isinstance(event, Ping):
                await self._answer(event)
            elif isinstance(event, Pong):
                self._pings.answered(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                await self._closing(event)
            if self._failed or self._ending:
                break

    async def _message(self, event: Message[Any]) -> None:
        if self.state is not State.CONNECTED:
            return
        # The buffer counts characters; the limit is in bytes.
        if isinstance(event.data, str) and not event.data.isascii():
            self.buffer.length += len(event.data.encode()) - len(event.data)
        try:
            self.buffer.extend(event)
        except FrameTooLargeError:
            self._fail(1009)
            return
        if event.message_finished:
            message = self.buffer.to_message()
            self.buffer.clear()
            if self._h2 is not None and self._receive_queue.full:
                # Waiting here would hold up every stream of the connection, and the window
                # updates the application may be waiting for.
                self._fail(1013)
            else:
                await self._receive_queue.put(message)

    async def _answer(self, ping: Ping) -> None:
        if self._h2 is None:
            await self._send_wsproto_event(ping.response())
        elif self._pong is None or self._pong.done():
            # As above: this task must not wait for the client. One pong at a time is enough.
            self._pong = spawn(self._send_wsproto_event(ping.response()))

    async def _closing(self, event: CloseConnection) -> None:
        """Handle a Close frame; wsproto makes one up for frames it cannot read."""
        state = self.connection.state
        if state is ConnectionState.OPEN:
            for _ in range(ANSWERS):
                await asyncio.sleep(0)
            self._fail(event.code, event.reason or "")
        elif state is ConnectionState.LOCAL_CLOSING:
            self._failed = True
        else:
            if state is ConnectionState.REMOTE_CLOSING:
                self._disconnect(event.code, event.reason or "")
                self.state = State.CLOSED
                self._put(self.connection.send(event.response()))
            await self._finish()

    async def _end_of_input(self) -> None:
        """HTTP/2: the client has ended its half of the stream."""
        self._peer_ended = True
        if self._ending:
            await self.send(StreamClosed(stream_id=self.stream_id))
        elif self.state in {State.CONNECTED, State.CLOSED}:
            self.state = State.CLOSED
            self._disconnect(1006)
            await self._finish()

    def _over(self) -> None:
        """The connection is at its end, whoever ended it."""
        self.closed = True
        self._ending = True
        self._let_go()
        self.buffer.clear()
        if self.state is State.CONNECTED:
            self.state = State.CLOSED
        self._disconnect(1006)
        if self.unsent():
            # Hypercorn waits until everything is written; the client may never read it.
            self._start_timer(self.config.websocket_linger, self.abort)
        else:
            self._stop_timer()

    # What the application tells us.

    async def app_send(self, message: Any) -> None:
        if message is None:
            await self._app_ended()
        elif message["type"] == "websocket.send":
            await self._send_message(message)
        elif message["type"] == "websocket.close" and self.state is not State.HANDSHAKE:
            self.close(int(message.get("code") or 1000), message.get("reason") or "")
        else:
            await super().app_send(message)

    async def _app_ended(self) -> None:
        if self.closed:
            return
        self._disconnect(1006)
        if self.state is State.HANDSHAKE:
            await self._refuse(500)
        elif self.state is State.CONNECTED:
            self.close(1011)
        elif self.state is not State.CLOSED:
            await self._finish()

    async def _send_message(self, message: dict[str, Any]) -> None:
        if self.state is not State.CONNECTED:
            raise Disconnected("the connection is closed")
        data = message.get("bytes")
        if data is not None:
            await self._send_wsproto_event(BytesMessage(data=data))
        else:
            await self._send_wsproto_event(TextMessage(data=message["text"]))

    async def _accept(self, message: Any) -> None:
        handshake: Any = self.handshake
        handshake.max_message_bytes = self.config.websocket_max_message_size
        self._heard = self._loop.time()
        if self._writer is None:
            await super()._accept(message)
            return
        # Hypercorn would have h11 make an answer of what is always the same, and start a task.
        # The bridge adds no headers.
        _, headers, self.connection = self.handshake.accept(message.get("subprotocol"), [])
        self.state = State.CONNECTED
        self._put(switching_protocols([*headers, *self.config.handshake_headers]))
        # What is left of the handshake is read by nobody, and is a tenth of an idle connection.
        self.send.__self__.connection.h11_connection = None  # type: ignore[attr-defined]
        if self.config.websocket_ping_interval is not None:
            self._beat()

    async def _send_rejection(self, message: Any) -> None:
        if self.state is State.HANDSHAKE and self._h2 is None:
            # Hypercorn cannot use a connection again that has asked for a websocket.
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
        # Hypercorn would wait for a lock between framing and writing, and a Close frame written
        # meanwhile would come first.
        self._put(data)
        try:
            await self._writer.drain()
        except OSError:
            self._disconnect(1006)

    async def _send_pings(self) -> None:
        """Start watching the peer: a timer handle costs a tenth of the task Hypercorn starts."""
        self._beat()

    def _beat(self) -> None:
        interval = self.config.websocket_ping_interval
        limit = interval + self.config.websocket_pong_timeout
        silent = self._loop.time() - self._heard
        if self.state is not State.CONNECTED:
            return
        if self._receive_queue.full:
            # It is we who are not reading. A peer that is gone does not acknowledge the ping
            # and TCP_USER_TIMEOUT ends it.
            silent = interval
        if silent >= limit:
            self.abort()
            return
        if silent >= interval:
            self._put(self.connection.send(Ping()))
            delay = limit - silent
        else:
            delay = interval - silent
        self._start_timer(delay, self._beat)

    # Ways to end.

    def _fail(self, code: int, reason: str = "") -> None:
        """Close, and discard whatever the client goes on to send (RFC 6455, section 7.1.7)."""
        self._failed = True
        self.buffer.clear()
        self._put(self._close_frame(code, reason))
        self._let_go()
        del self.connection
        self._start_timer(self.config.websocket_linger, self.abort)
        if self._writer is None:
            spawn(self.send(EndData(stream_id=self.stream_id)))
        elif self._writer.can_write_eof():
            # The client learns at once that nothing follows; reading on, instead of closing,
            # spares it the reset that would swallow our Close frame.
            with suppress(OSError, RuntimeError):
                self._writer.write_eof()

    def _let_go(self) -> None:
        """Part what holds itself, and would stay until somebody looks for cyclic garbage: the scope
        has this stream, and wsproto's parser a generator that has the parser."""
        scope: Any = getattr(self, "scope", {})
        for name in (TRANSPORT, PINGS):
            scope.get("extensions", {}).pop(name, None)
        connection: Any = getattr(self, "connection", None)
        if connection is not None:
            connection._proto._parse_more.close()

    async def _refuse(self, status: int) -> None:
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
            # the client has ended its half too.
            spawn(self._finish_h2())

    async def _finish_h2(self) -> None:
        if self.state is not State.HTTPCLOSED:
            await self.send(EndData(stream_id=self.stream_id))
        if self._peer_ended:
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _reset(self) -> None:
        """Reset the HTTP/2 stream, and do what Hypercorn does when the client resets it."""
        with suppress(h2.exceptions.ProtocolError):
            self._h2.connection.reset_stream(self.stream_id, h2.errors.ErrorCodes.CANCEL)
        await self._h2._close_stream(self.stream_id)
        with suppress(KeyError):
            await self._h2._window_updated(self.stream_id)
        await self._h2._flush()

    def _close_frame(self, code: int, reason: str) -> bytes:
        """Go to the closing state; the frame that says so, or nothing if that has happened."""
        if self.state is not State.CONNECTED:
            return b""
        self.state = State.CLOSED
        self._disconnect(code, reason)
        self._start_timer(self.config.websocket_close_timeout, self.abort)
        return self.connection.send(CloseConnection(code=code, reason=reason or None))

    def _disconnect(self, code: int, reason: str = "") -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()
        self._pings.close()
        self._receive_queue.finish(
            {"type": "websocket.disconnect", "code": int(code), "reason": reason or ""}
        )

    def _put(self, frame: bytes) -> None:
        """Write a frame without waiting: at once, or over HTTP/2 in a task of its own."""
        if not frame:
            return
        if self._writer is None:
            spawn(self.send(Data(stream_id=self.stream_id, data=frame)))
        elif not self._writer.transport.is_closing():
            with suppress(RuntimeError):  # after write_eof
                self._writer.transport.write(frame)

    def _start_timer(self, delay: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(delay, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Starter:
    """Starts the application on a stream's own intake; stands in for Hypercorn's task group."""

    def __init__(self, stream: WebSocketStream, tasks: Any) -> None:
        self.stream = stream
        self.tasks = tasks

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        stream = self.stream
        if stream._writer is not None and stream.config.direct_writes:
            scope["extensions"][TRANSPORT] = stream
        scope["extensions"][PINGS] = stream._pings
        self.tasks.spawn(_handle, app, config, scope, stream._receive_queue.get, send, None, None)
        return stream._receive_queue.put
