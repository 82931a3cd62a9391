"""The websocket that a `@sock.route` function gets as `ws`, for synchronous code on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, Protocol

from greenback import await_, with_portal_run_sync
from simple_websocket import ConnectionClosed

from .frames import BroadcastMessage
from .idle_receiver import IdleReceiver
from .pings import PINGS, Pings
from .send_queue import SendQueue
from .wsgi import Message, Receive, Send, spawn

TRANSPORT = "websocket.transport"
"""Name of the entry in `scope["extensions"]` by which a server offers a `Transport`."""

MAX_UNSENT_BYTES = 1 << 20
"""Pushed to a websocket and not sent yet. With more it is closed with 1013."""

FINAL_SEND_SECONDS = 1.0
"""How long a client has, before its websocket is closed, to receive what was pushed until then."""

CLOSE_SECONDS = 5.0
"""How long `WebSocket.close` waits for what was pushed before, and for the close itself."""

HANDLER_IDLE_SECONDS = 10.0
"""Without a message for so long, the greenlet of a `ConnectionHandler` ends."""


class Transport(Protocol):
    """The direct way to a websocket's connection. Every method returns at once."""

    @property
    def deflates(self) -> bool:
        """True if the client accepts compressed frames."""

    def write(self, frames: bytes, /) -> int:
        """Write frames as they are. Returns the bytes that have not left yet, or -1 if nothing was
        written because the connection is closing."""

    def direct_writer(self, on_lost: Callable[[], None], /) -> Callable[[bytes], object] | None:
        """Return the connection's own write function, which checks nothing and may raise anything.
        None if the connection is closing.

        on_lost: called when the function must not be used any more.
        """

    def close(self, code: int, reason: str, /) -> None:
        """Send a Close frame; nothing can follow it."""

    def abort(self) -> None:
        """Cut the connection."""


class Detached(BaseException):
    """Ends a route whose connection goes on. It is not an `Exception`, so that neither Flask nor
    Flask-Sock turns it into a response. `teardown_request` functions run as usual."""


class ConnectionHandler(Protocol):
    """Handles a connection after its route has ended. Each method is called in a greenlet, one
    after the other."""

    def on_open(self) -> None:
        """The route has ended."""

    def on_message(self, message: str | bytes, /) -> bool:
        """A message has arrived. Return True if more are likely within seconds: then the greenlet
        is kept for them, because a new one takes about 20 µs."""

    def on_close(self) -> None:
        """The connection is closed, or another method has raised. This is the last call."""


class WebSocket:
    """What a `@sock.route` function gets as `ws`; replaces `simple_websocket.Server`.

    environ: the WSGI environ of the handshake.
    registry: contains this websocket while it is open.
    on_slow_reader: called when it is closed because its client reads too slowly.

    max_unsent_bytes: what may have been pushed and not sent yet, 1 MiB by default. With more the
        websocket is closed with 1013.
    """

    mode = "asgi"

    __slots__ = (
        "_close",
        "_closing",
        "_deflates",
        "_handler",
        "_on_slow_reader",
        "_pings",
        "_receive",
        "_registry",
        "_send",
        "_send_queue",
        "_transport",
        "accepted",
        "environ",
        "max_unsent_bytes",
    )

    def __init__(
        self,
        environ: dict[str, Any],
        receive: Receive,
        send: Send,
        registry: set[WebSocket],
        on_slow_reader: Callable[[], object] = lambda: None,
    ) -> None:
        self.environ = environ
        self.accepted = False
        self.max_unsent_bytes = MAX_UNSENT_BYTES
        self._receive = receive
        self._send = send
        self._registry = registry
        self._on_slow_reader = on_slow_reader
        self._transport: Transport | None = None
        self._deflates = False
        self._close: tuple[int, str] | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._handler: ConnectionHandler | None = None
        self._pings: Pings | None = None
        self._send_queue: SendQueue | None = None  # used where there is no transport

    @property
    def connected(self) -> bool:
        """True if messages can be sent, as far as is known here."""
        return self.accepted and self._close is None

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message and return it, or None after `timeout` seconds (None: never).

        Raises `ConnectionClosed`, with the close code as `reason` and its text as `message`,
        when the connection has been closed by either side.
        """
        if self._close is None:
            wait = self._receive if timeout is None else partial(self._receive_for, timeout)
            message = await_(self._next(wait))
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
        `Transport`, its finished frame is written; otherwise its text is queued.

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
        self._handler = handler
        raise Detached

    async def run_handler(self) -> None:
        """Call the handler until the connection is closed. Raises what the handler raises."""
        handler, self._handler = self._handler, None
        assert handler is not None
        try:
            await with_portal_run_sync(handler.on_open)
            while self._close is None:
                message = await self._next(self._receive)
                if message is not None:
                    await with_portal_run_sync(self._handle_messages, handler, message)
        finally:
            await with_portal_run_sync(handler.on_close)

    def _handle_messages(self, handler: ConnectionHandler, message: str | bytes | None) -> None:
        """Pass on a message and those that follow it closely."""
        receiver = IdleReceiver(self._receive, HANDLER_IDLE_SECONDS)
        try:
            while message is not None and handler.on_message(message) and self._close is None:
                message = await_(self._next(receiver.receive))
        finally:
            receiver.close()

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

    async def _next(self, receive: Receive) -> str | bytes | None:
        """Return the next message. None if `receive` times out or the connection is closed."""
        try:
            message = await receive()
        except TimeoutError:
            return None
        if message["type"] == "websocket.disconnect":
            self._closed(message.get("code") or 1005, message.get("reason") or "")
            return None
        data: str | bytes | None = message.get("text")
        return message.get("bytes") if data is None else data

    async def _receive_for(self, timeout: float) -> Message:
        async with asyncio.timeout(timeout):
            return await self._receive()

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
                    await self._next(self._receive)
        except TimeoutError:
            self._closed(1006)

    def _enqueue(self, text: str) -> int:
        """Queue a message and return how many characters wait in the queue."""
        if self._send_queue is None:
            self._send_queue = SendQueue(self._send, partial(self.close_nowait, 1011))
        self._send_queue.put(text)
        return self._send_queue.chars
