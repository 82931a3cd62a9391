"""What a `@sock.route` function gets as `ws`: a websocket for synchronous code on the loop."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, Protocol

from greenback import await_, with_portal_run_sync
from simple_websocket import ConnectionClosed

from .frames import BroadcastMessage
from .pings import PINGS, Pings
from .wsgi import Message, Receive, Send, spawn

log = logging.getLogger(__name__)

TRANSPORT = "websocket.transport"
"""Name of the entry in `scope["extensions"]` by which a server offers a `Transport`."""

MAX_UNSENT = 1 << 20
"""Bytes pushed to a websocket and not sent yet; more closes it with 1013."""

LAST_WORDS = 1.0
"""Seconds a client has to take, before it is closed, what was pushed to it until then."""

CLOSE_TIMEOUT = 5.0
"""Seconds `WebSocket.close` waits for what was pushed before."""


TALK = 10.0
"""Seconds without a message after which an heir's greenlet is let go."""


class Transport(Protocol):
    """The direct way to a websocket's connection; every method returns at once."""

    @property
    def deflates(self) -> bool:
        """True when the client reads compressed frames."""

    def write(self, frames: bytes, /) -> int:
        """Write frames as they are; returns the bytes that are still waiting to leave, or -1
        when the connection is closing and nothing was written."""

    def direct(self, lost: Callable[[], None], /) -> Callable[[bytes], object] | None:
        """The bare write of the connection, which looks at nothing and raises anything; None when
        it is closing. `lost` is called when nothing must be written by it any more."""

    def shut(self, code: int, reason: str, /) -> None:
        """Send a Close frame; nothing can follow it."""

    def abort(self) -> None:
        """Cut the connection."""


class HandedOver(BaseException):
    """Ends a route whose connection goes on. No `Exception`: neither Flask nor Flask-Sock is to
    make an answer of it; what `teardown_request` does is done."""


class Heir(Protocol):
    """Who goes on with a connection when its route has ended. The calls are made in a greenlet,
    one after the other."""

    def open(self) -> None:
        """The route has ended."""

    def hear(self, message: str | bytes, /) -> bool:
        """A message has come. Returns True where more is to be expected within seconds: then the
        greenlet is kept for it, because a new one costs some 20 µs."""

    def close(self) -> None:
        """The connection is closed, by whomever, or one of the others raised; the last call."""


class Lull:
    """Takes from `receive` what comes closely, in the task that makes it: with one timer for all of
    it, where `asyncio.timeout` sets one each time, 6 µs."""

    __slots__ = ("_due", "_loop", "_over", "_receive", "_seconds", "_task", "_timer", "_waits")

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._waits = self._over = False

    async def next(self) -> Message:
        """The next message; raises TimeoutError when none comes for `seconds`."""
        self._due = self._loop.time() + self._seconds
        self._waits = True
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._over and self._task is not None and self._task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._waits = False

    def close(self) -> None:
        """Nothing more is taken."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._due - self._loop.time()
        self._timer = None
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._waits and self._task is not None:
            self._over = True
            self._task.cancel()


class WebSocket:
    """What a `@sock.route` function gets as `ws`; it stands in for `simple_websocket.Server`.

    environ: the WSGI environ of the handshake.
    max_unsent: bytes pushed and not sent yet, default 1 MiB; more closes with 1013.
    """

    mode = "asgi"

    __slots__ = (
        "_close",
        "_closing",
        "_deflates",
        "_heir",
        "_on_slow_reader",
        "_outbox",
        "_pings",
        "_pump_task",
        "_queued",
        "_receive",
        "_registry",
        "_send",
        "_transport",
        "accepted",
        "environ",
        "max_unsent",
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
        self.max_unsent = MAX_UNSENT
        self._receive = receive
        self._send = send
        self._registry = registry
        self._on_slow_reader = on_slow_reader
        self._transport: Transport | None = None
        self._deflates = False
        self._close: tuple[int, str] | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._heir: Heir | None = None
        self._pings: Pings | None = None
        # What waits to be sent, and what is to be called or set when all before it was.
        self._outbox: deque[str | Callable[[], object] | asyncio.Future[None]] | None = None
        self._queued = 0
        self._pump_task: asyncio.Future[Any] | None = None

    @property
    def connected(self) -> bool:
        """Whether messages can be sent, as far as is known here."""
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
        """Send a message, after what was pushed before; waits while the client is not reading.

        Raises `ConnectionClosed` when the connection has been closed by either side.
        """
        if self._close is None:
            await_(self._send_message(data))
        if self._close is not None:
            raise ConnectionClosed(*self._close)

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close with the code `reason` (default 1000) and the text `message`. May be repeated."""
        if self._close is None and self._pump_task is not None:
            await_(self._flush(CLOSE_TIMEOUT))
        self.kick(1000 if reason is None else reason, message or "")

    def push(self, message: BroadcastMessage) -> bool:
        """Send a message without waiting, from any code on the loop: its frame as it is where
        the server offers the direct path, else its text.

        Returns False if the connection is closed, or has just been closed with 1013 because the
        client reads too slowly.
        """
        if self._close is not None or not self.accepted:
            return False
        if self._transport is None:
            self._enqueue(message.text)
            unsent = self._queued
        elif self._deflates:
            unsent = self._transport.write(message.deflated)
        else:
            unsent = self._transport.write(message.plain)
        if unsent < 0:
            # The route's `receive` finds out why, after what the client has sent before.
            return False
        if unsent > self.max_unsent:
            self._on_slow_reader()
            self.kick(1013, "too slow")
            return False
        return True

    def direct(self, lost: Callable[[], None]) -> tuple[Callable[[bytes], object], bool] | None:
        """What writes frames without a look at the connection, and whether they may be compressed;
        None where there is no such way. Who uses it calls `push` now and then, which closes who
        reads too slowly, and stops when `lost` is called."""
        write = self._transport.direct(lost) if self._transport and self.connected else None
        return write and (write, self._deflates)

    def ask(self, confirmed: Callable[[], object]) -> bool:
        """Have the client confirm, by a pong, what was pushed until now. `confirmed` is called on
        the loop when it has. Returns False when that cannot be asked: the connection is closed, the
        client has not answered for a while, or the server offers no pings."""
        if self._pings is None or not self.connected:
            return False
        if self._outbox is None:
            return self._pings.ask(confirmed)
        self._outbox.append(partial(self._pings.ask, confirmed))
        return True

    def kick(self, code: int, reason: str = "") -> None:
        """Close without waiting, from any code on the loop; the route's `receive` then raises."""
        if not self.connected:
            return
        self._gone(code, reason)
        if self._transport is not None:
            self._transport.shut(code, reason)
            return
        if self._queued > self.max_unsent:
            self._outbox = None
        self._closing = spawn(self._send_close(code, reason))

    async def _send_close(self, code: int, reason: str) -> None:
        """Close, behind what was pushed before where the client reads it in time."""
        await self._flush(LAST_WORDS)
        self._outbox = None
        with suppress(OSError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def hand_over(self, heir: Heir) -> NoReturn:
        """End the route and Flask's request, but not the connection: what comes is the `heir`'s
        from here on. A connection on which nothing is said then holds neither a greenlet with its
        stacks nor anything of the request."""
        self._heir = heir
        raise HandedOver

    async def serve(self) -> None:
        """Bring the heir what comes until the connection is closed; raises what it raises."""
        heir, self._heir = self._heir, None
        assert heir is not None
        try:
            await with_portal_run_sync(heir.open)
            while self._close is None:
                message = await self._next(self._receive)
                if message is not None:
                    await with_portal_run_sync(self._talk, heir, message)
        finally:
            await with_portal_run_sync(heir.close)

    def _talk(self, heir: Heir, message: str | bytes | None) -> None:
        """Bring the heir a message, and those that follow it closely."""
        lull = Lull(self._receive, TALK)
        try:
            while message is not None and heir.hear(message) and self._close is None:
                message = await_(self._next(lull.next))
        finally:
            lull.close()

    async def closed(self) -> None:
        """Wait until the close message has been handed over, for at most five seconds."""
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=CLOSE_TIMEOUT)

    def accept(self) -> None:
        """Answer the handshake. Flask-Sock does this when the route is entered."""
        await_(self._send({"type": "websocket.accept"}))
        self.accepted = True
        extensions = self.environ["asgi.scope"]["extensions"]
        self._transport = extensions.get(TRANSPORT)
        self._pings = extensions.get(PINGS)
        self._deflates = self._transport is not None and self._transport.deflates
        self._registry.add(self)

    def _gone(self, code: int, reason: str = "") -> None:
        if self._close is None:
            self._close = code, reason
        self._registry.discard(self)

    async def _next(self, receive: Receive) -> str | bytes | None:
        try:
            message = await receive()
        except TimeoutError:
            return None
        if message["type"] == "websocket.disconnect":
            self._gone(message.get("code") or 1005, message.get("reason") or "")
            return None
        data: str | bytes | None = message.get("text")
        return message.get("bytes") if data is None else data

    async def _receive_for(self, timeout: float) -> Message:
        async with asyncio.timeout(timeout):
            return await self._receive()

    async def _send_message(self, data: str | bytes) -> None:
        if self._pump_task is not None:
            await self._flush(None)
        key = "text" if isinstance(data, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", key: data})
        except OSError:
            await self._find_close()

    async def _find_close(self) -> None:
        """The connection is closed: find out how, at the cost of messages not received yet."""
        try:
            async with asyncio.timeout(1.0):
                while self._close is None:
                    await self._next(self._receive)
        except TimeoutError:
            self._gone(1006)

    def _enqueue(self, text: str) -> None:
        if self._outbox is None:
            self._outbox = deque()
        self._outbox.append(text)
        self._queued += len(text)
        if self._pump_task is None:
            self._pump_task = spawn(self._pump())

    async def _pump(self) -> None:
        try:
            while self._outbox:
                item = self._outbox.popleft()
                if isinstance(item, str):
                    await self._send({"type": "websocket.send", "text": item})
                    self._queued -= len(item)
                elif not isinstance(item, asyncio.Future):
                    item()
                elif not item.done():
                    item.set_result(None)
        except OSError:
            log.debug("closed before everything pushed was sent")
        except Exception as error:
            # What follows must not be sent after a hole: the client comes back.
            log.error("cannot send what was pushed: %s", _without_text(error))
            self._outbox = None
            self.kick(1011)
        finally:
            self._outbox = None
            self._queued = 0
            self._pump_task = None

    async def _flush(self, timeout: float | None) -> None:
        """Wait until what has been pushed is sent, or the connection is gone."""
        if self._outbox is None or self._pump_task is None:
            return
        sent = asyncio.get_running_loop().create_future()
        self._outbox.append(sent)
        # Whoever drops the outbox ends the pump.
        await asyncio.wait(
            {sent, self._pump_task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )


def _without_text(error: BaseException) -> str:
    """The type of the error and where it was raised. Its text may quote the message."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
