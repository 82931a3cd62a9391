"""A websocket on Hypercorn that is fit for a server on the internet.

`WebSocketStream` replaces Hypercorn's `WSStream` (chat.bridge.patches puts it there). A message
that is too large or a frame that is invalid ends the connection, and nothing of it is kept.
Compression is agreed to only in a way that needs no memory on either side
(chat.bridge.permessage_deflate). The application gets the client's real close code. Dead peers are
noticed. An application that has stopped reading does not block the connection. Over HTTP/1.1 the
application can write to the transport directly.
"""

from __future__ import annotations

from typing import Any

from hypercorn.asyncio.task_group import _handle
from hypercorn.protocol.events import Body, Data, EndBody, Request, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState as State
from wsproto.events import BytesMessage, TextMessage

from .handshake import switching_protocols
from .pings import PINGS
from .websocket_input import WebSocketInput
from .websocket_output import TRANSPORT


class WebSocketStream(WebSocketInput):
    """One websocket connection, between Hypercorn and the application."""

    # Called by Hypercorn.

    async def handle(self, event: Any) -> None:
        if isinstance(event, Request):
            await self._open(event)
        elif isinstance(event, (Body, Data)):
            await self.receive_data(event.data)
        elif isinstance(event, EndBody):
            await self._end_of_input()
        elif isinstance(event, StreamClosed):
            self._connection_ended()

    async def _open(self, request: Request) -> None:
        task_group = self.task_group
        # Hypercorn starts the application through it, with a queue of its own. That would stay as
        # long as the connection, next to ours.
        self.task_group = _AppStarter(self, task_group)  # type: ignore[assignment]
        await super().handle(request)
        self.task_group = task_group
        if self.app_put is None:
            # The handshake was refused, and Hypercorn would now keep the connection forever.
            self.closed = False
            self.state = State.HTTPCLOSED
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

    def _connection_ended(self) -> None:
        """The connection has ended, on either side."""
        self.closed = True
        self._ending = True
        self._break_cycles()
        self.buffer.clear()
        if self.state is State.CONNECTED:
            self.state = State.CLOSED
        self._disconnect(1006)
        if self._transport is not None and self._transport.get_write_buffer_size():
            # Hypercorn waits until everything is written; the client may never read it.
            self._start_timer(self.config.websocket_linger, self.abort)
        else:
            self._stop_timer()

    # Called by the application.

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
            raise ConnectionResetError("the connection is closed")  # an OSError, as ASGI 2.4 asks
        data = message.get("bytes")
        if data is not None:
            await self._send_wsproto_event(BytesMessage(data=data))
        else:
            await self._send_wsproto_event(TextMessage(data=message["text"]))

    async def _accept(self, message: Any) -> None:
        handshake: Any = self.handshake
        handshake.max_message_bytes = self.config.websocket_max_message_size
        self._last_received = self._loop.time()
        if self._writer is None:
            await super()._accept(message)
            return
        # Hypercorn would have h11 build a response that is always the same, and start a task. The
        # bridge adds no headers.
        _, headers, self.connection = self.handshake.accept(message.get("subprotocol"), [])
        self.state = State.CONNECTED
        self._put(switching_protocols([*headers, *self.config.handshake_headers]))
        # Nobody needs the rest of the handshake, which is a tenth of an idle connection.
        self.send.__self__.connection.h11_connection = None  # type: ignore[attr-defined]
        if self.config.websocket_ping_interval is not None:
            self._check_silence()


class _AppStarter:
    """Starts the application with a stream's own queue; replaces Hypercorn's task group."""

    def __init__(self, stream: WebSocketStream, task_group: Any) -> None:
        self.stream = stream
        self.task_group = task_group

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        stream = self.stream
        if stream._writer is not None and stream.config.direct_writes:
            scope["extensions"][TRANSPORT] = stream
        scope["extensions"][PINGS] = stream._pings
        queue = stream._receive_queue
        self.task_group.spawn(_handle, app, config, scope, queue.get, send, None, None)
        return queue.put
