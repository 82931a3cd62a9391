"""The receiving half of a websocket on Hypercorn: frames, messages, and silent clients."""

from __future__ import annotations

import asyncio
from typing import Any

from hypercorn.protocol.ws_stream import ASGIWebsocketState as State
from hypercorn.protocol.ws_stream import FrameTooLargeError
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping, Pong

from .frames import whole_pong, whole_text
from .websocket_output import WebSocketOutput
from .wsgi import spawn

FRAMES_PER_TURN = 100
"""Frames of one client that are handled before other tasks run."""

ANSWER_TURNS = 10
"""Turns of the loop that the application has, after an invalid frame, to answer the messages that
came before it."""


class WebSocketInput(WebSocketOutput):
    """What one websocket receives. Nearly all frames are a whole text message or a pong, and are
    read here; wsproto reads the others, which takes about fifteen times as long."""

    _last_received = 0.0  # time of the loop
    _pong: asyncio.Future[Any] | None = None  # HTTP/2: the answer to a Ping that is being sent

    async def receive_data(self, data: bytes) -> None:
        """Handle what the client sent."""
        if self._failed or self._ending or self.closed:
            return
        if not self.handshake.accepted:
            await self._refuse(400)
            return
        self._last_received = self._loop.time()
        text = self._whole_text(data)
        if text is not None:
            await self._receive_queue.put({"type": "websocket.receive", "text": text})
        elif not self._take_pong(data):
            self.connection.receive_data(data)
            await self._handle_events()

    def _take_pong(self, data: bytes) -> bool:
        """Handle `data` if it is exactly one Pong."""
        decoder = self.connection._proto._frame_decoder
        payload = None
        if decoder.header is None and not decoder.buffer.buffer:
            payload = whole_pong(data)
        if payload is None:
            return False
        self._pings.answered(payload)
        return True

    def _whole_text(self, data: bytes) -> str | None:
        """Return the message in `data` if that is exactly one whole text frame; None leaves it to
        wsproto."""
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
            if i % FRAMES_PER_TURN == 0:
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
                # updates that the application may be waiting for.
                self._fail(1013)
            else:
                await self._receive_queue.put(message)

    async def _answer(self, ping: Ping) -> None:
        if self._h2 is None:
            await self._send_wsproto_event(ping.response())
        elif self._pong is None or self._pong.done():
            # As above, this task must not wait for the client. One pong at a time is enough.
            self._pong = spawn(self._send_wsproto_event(ping.response()))

    async def _closing(self, event: CloseConnection) -> None:
        """Handle a Close frame. wsproto also reports one for frames that it cannot read."""
        state = self.connection.state
        if state is ConnectionState.OPEN:
            for _ in range(ANSWER_TURNS):
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

    async def _send_pings(self) -> None:
        """Start to watch for silence. A timer costs a tenth of the task that Hypercorn starts."""
        self._check_silence()

    def _check_silence(self) -> None:
        """Ping a client that has been silent, and cut one that does not answer."""
        interval = self.config.websocket_ping_interval
        limit = interval + self.config.websocket_pong_timeout
        silent = self._loop.time() - self._last_received
        if self.state is not State.CONNECTED:
            return
        if self._receive_queue.full:
            # It is we who are not reading. If the client is gone, it does not acknowledge the ping,
            # and TCP_USER_TIMEOUT ends the connection.
            silent = interval
        if silent >= limit:
            self.abort()
            return
        if silent >= interval:
            self._put(self.connection.send(Ping()))
            delay = limit - silent
        else:
            delay = interval - silent
        self._start_timer(delay, self._check_silence)
