"""The websocket that a `@sock.route` function gets as `ws`, for synchronous code on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from greenback import await_
from simple_websocket import ConnectionClosed

from .connection_handler import ConnectionHandler, Detached
from .frames import BroadcastMessage
from .pings import PINGS, Pings
from .send_queue import SendQueue
from .websocket_output import TRANSPORT, WebSocketOutput
from .wsgi import Receive, Send, spawn

MAX_UNSENT_BYTES = 1 << 20
"""Pushed to a websocket and not sent yet. With more it is closed with 1013."""

FINAL_SEND_SECONDS = 1.0
"""How long a client has, before its websocket is closed, to receive what was pushed until then."""

CLOSE_SECONDS = 5.0
"""How long `WebSocket.close` waits for what was pushed before, and for the close itself."""


@dataclass(eq=False, repr=False, slots=True)
class WebSocket:
    """What a `@sock.route` function gets as `ws`; replaces `simple_websocket.Server`.

    environ: the WSGI environ of the handshake.
    _registry: contains this websocket while it is open.
    _on_slow_reader: called when it is closed because its client reads too slowly.
    max_unsent_bytes: what may have been pushed and not sent yet, 1 MiB by default. With more the
        websocket is closed with 1013.
    """

    mode = "asgi"

    environ: dict[str, Any]
    _receive: Receive
    _send: Send
    _registry: set[WebSocket]
    _on_slow_reader: Callable[[], object] = lambda: None
    accepted: bool = False
    max_unsent_bytes: int = MAX_UNSENT_BYTES
    _transport: WebSocketOutput | None = None
    _deflates: bool = False
    _close: tuple[int, str] | None = None
    _closing: asyncio.Future[Any] | None = None
    _pings: Pings | None = None
    _send_queue: SendQueue | None = None  # used where there is no transport

    @property
    def connected(self) -> bool:
        """True if messages can be sent, as far as is known here."""
        return self.accepted and self._close is None

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message and return it, or None after `timeout` seconds (None: never).

        Raises `ConnectionClosed`, with the close code as `reason` and its text as `message`,
        when the connection has been closed by either side.
        """
        message = await_(self.next_message() if timeout is None else self._next_within(timeout))
        if self._close is not None:
            raise ConnectionClosed(*self._close)
        return message

    def send(self, data: str | bytes) -> None:
        """Send a message, after what was pushed before. Waits while the client is not reading.

        Raises `ConnectionClosed` when the connection has been closed by either side.
        """
        if self._close is None:
            await_(self._send_message(data))
        if self._close is not None:
            raise ConnectionClosed(*self._close)

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close with the code `reason` (default 1000) and the text `message`. May be repeated."""
        if self._close is None and self._send_queue is not None:
            await_(self._send_queue.flush(CLOSE_SECONDS))
        self.close_nowait(1000 if reason is None else reason, message or "")

    def push(self, message: BroadcastMessage) -> bool:
        """Send a message without waiting, from any code on the loop. Where the server offers a
        direct way to the connection, its finished frame is written; otherwise its text is queued.

        Returns False if the connection is closed, or has just been closed with 1013 because the
        client reads too slowly.
        """
        if self._close is not None or not self.accepted:
            return False
        if self._transport is None:
            unsent = self._enqueue(message.text)
        elif self._deflates:
            unsent = self._transport.write(message.deflated)
        else:
            unsent = self._transport.write(message.plain)
        if unsent < 0:
            # The route's `receive` reports why, after the messages that came before.
            return False
        if unsent > self.max_unsent_bytes:
            self._on_slow_reader()
            self.close_nowait(1013, "too slow")
            return False
        return True

    def direct_writer(
        self, on_lost: Callable[[], None]
    ) -> tuple[Callable[[bytes], object], bool] | None:
        """Return a function that writes frames without looking at the connection, and whether they
        may be compressed. None if there is no such function.

        Its user must call `push` now and then, which closes the connection of a slow reader, and
        must stop when `on_lost` is called.
        """
        if self._transport is None or not self.connected:
            return None
        write = self._transport.direct_writer(on_lost)
        return write and (write, self._deflates)

    def ping(self, on_pong: Callable[[], object]) -> bool:
        """Ask the client to confirm what was pushed until now. `on_pong` is called on the loop when
        it has. Returns False if that is not possible: the connection is closed, the client has not
        answered for a while, or the server offers no pings."""
        if self._pings is None or not self.connected:
            return False
        queue = self._send_queue
        if queue is not None and queue.call_after(partial(self._pings.ask, on_pong)):
            return True
        return self._pings.ask(on_pong)

    def close_nowait(self, code: int, reason: str = "") -> None:
        """Close without waiting, from any code on the loop. The route's `receive` then raises."""
        if not self.connected:
            return
        self._closed(code, reason)
        if self._transport is not None:
            self._transport.close(code, reason)
            return
        if self._send_queue is not None and self._send_queue.chars > self.max_unsent_bytes:
            self._send_queue.drop()
        self._closing = spawn(self._send_close(code, reason))

    async def _send_close(self, code: int, reason: str) -> None:
        """Close after everything that was pushed before, if the client receives that in time."""
        if self._send_queue is not None:
            await self._send_queue.flush(FINAL_SEND_SECONDS)
            self._send_queue.drop()
        with suppress(OSError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def detach(self, handler: ConnectionHandler) -> NoReturn:
        """End the route and Flask's request, but not the connection, which `handler` handles from
        now on. An idle connection then holds neither a greenlet with its stacks nor anything of the
        request."""
        raise Detached(handler)

    async def wait_closed(self) -> None:
        """Wait until the close message has been handed over, for at most CLOSE_SECONDS."""
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=CLOSE_SECONDS)
        self._send_queue = None  # it refers back to this object

    def accept(self) -> None:
        """Answer the handshake. Flask-Sock does this when the route is entered."""
        await_(self._send({"type": "websocket.accept"}))
        self.accepted = True
        extensions = self.environ["asgi.scope"]["extensions"]
        self._transport = extensions.get(TRANSPORT)
        self._pings = extensions.get(PINGS)
        self._deflates = self._transport is not None and self._transport.deflates
        self._registry.add(self)

    def _closed(self, code: int, reason: str = "") -> None:
        if self._close is None:
            self._close = code, reason
        self._registry.discard(self)

    async def next_message(self) -> str | bytes | None:
        """Return the next message, or None when the connection is closed."""
        if self._close is not None:
            return None
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed(message.get("code") or 1005, message.get("reason") or "")
            return None
        data: str | bytes | None = message.get("text")
        return message.get("bytes") if data is None else data

    async def _next_within(self, timeout: float) -> str | bytes | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await self.next_message()
        return None

    async def _send_message(self, data: str | bytes) -> None:
        if self._send_queue is not None:
            await self._send_queue.flush(None)
        key = "text" if isinstance(data, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", key: data})
        except OSError:
            await self._find_close_code()

    async def _find_close_code(self) -> None:
        """The connection is closed: read on to learn why. Messages that were not read are lost."""
        try:
            async with asyncio.timeout(1.0):
                while self._close is None:
                    await self.next_message()
        except TimeoutError:
            self._closed(1006)

    def _enqueue(self, text: str) -> int:
        """Queue a message and return how many characters wait in the queue."""
        if self._send_queue is None:
            self._send_queue = SendQueue(self._send, partial(self.close_nowait, 1011))
        self._send_queue.put(text)
        return self._send_queue.chars
