"""The one seam into Hypercorn: subclasses of its parts, put in their place.

Hypercorn documents no way to a connection's transport and leaves several things open that a server
on the internet must settle. `install` replaces six names inside Hypercorn:

- `Stream` (for `WSStream`): see chat.bridge.websocket_stream; `Upgrade` (for `Handshake`): see
  chat.bridge.handshake.
- `HTTP1` (for `H11Protocol`) reads with chat.bridge.strict_h11, answers plain GETs without h11
  (chat.bridge.fast_path), and begins HTTP/2 only where a setting says so.
- `HTTP2` and `Buffer` (for `H2Protocol` and `StreamBuffer`): see chat.bridge.http2.

`Connection`, a `TCPServer` with which chat.bridge.server begins each connection, keeps the list of
those that are open, so that stopping can end them, and has a timer for those that are idle.

Written against Hypercorn 0.18; `tests/unit/test_seam.py` fails when the seam moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h11
import hypercorn.protocol
import hypercorn.protocol.h2
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from .config import ServerSettings
from .fast_path import Whole, read_whole
from .handshake import Upgrade
from .http2 import HTTP2, Buffer
from .strict_h11 import StrictConnection
from .websocket_stream import Stream
from .wsgi import Headers, spawn

connections: set[Connection] = set()
"""Every open TCP connection of this process."""


class HTTP1(H11Protocol):
    """HTTP/1.1 that refuses requests with a second meaning, and answers a GET that came whole
    without h11. `Upgrade: h2c` is ignored: it would slip past the rules of a proxy."""

    config: ServerSettings

    def __init__(
        self,
        app: Any,
        config: Any,
        context: Any,
        task_group: Any,
        connection_state: Any,
        ssl: bool,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
        send: Callable[..., Awaitable[None]],
    ) -> None:
        super().__init__(
            app, config, context, task_group, connection_state, ssl, client, server, send
        )
        # Over TLS, HTTP/2 is agreed to in the handshake (RFC 9113, section 3.2).
        h2c = config.h2c and not ssl
        self.connection = StrictConnection(config.h11_max_incomplete_size, h2c)

    async def handle(self, event: Any) -> None:
        stream = self.stream
        if isinstance(event, RawData) and isinstance(stream, Stream) and stream.handshake.accepted:
            # Nothing but the websocket reads this connection any more.
            await stream._feed(event.data)
        elif isinstance(event, RawData) and self._rests() and (whole := read_whole(event.data)):
            self.connection = Whole(self.connection, event.data)  # type: ignore[arg-type, assignment]
            await self._begin(*whole)
        else:
            await super().handle(event)

    async def stream_send(self, event: Any) -> None:
        whole: Any = self.connection
        if isinstance(event, Response):
            headers = [*event.headers, *self.config.added_headers(event.headers)]
            event = Response(event.stream_id, headers, event.status_code)
        if isinstance(whole, Whole):
            if isinstance(event, Response):
                headers = [*event.headers, *self.config.response_headers("h11")]
                is_last = self.keep_alive_requests >= self.config.keep_alive_max_requests
                if not is_last and whole.begin(event.status_code, headers):
                    return
                self.connection = whole.give_back(told=True)
            elif isinstance(event, Body):
                await self.send(RawData(whole.body(event.data)))
                return
            elif isinstance(event, EndBody):
                if data := whole.end():
                    await self.send(RawData(data))
                return
        await super().stream_send(event)

    async def _create_stream(self, request: h11.Request) -> None:
        await super()._create_stream(_with_one_connection_field(request))

    def _rests(self) -> bool:
        """True between two requests, when h11 has nothing of the next one yet."""
        h11_s: Any = self.connection
        return (
            self.stream is None
            and isinstance(h11_s, h11.Connection)
            and h11_s.our_state is h11.IDLE
            and h11_s.trailing_data == (b"", False)
        )

    async def _begin(self, target: bytes, headers: Headers) -> None:
        """As `_create_stream`, for a request that is no handshake and has no body."""
        await self.send(Updated(idle=False))
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(STREAM_ID, headers, "1.1", "GET", target, self.connection_state)
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()
        await self.stream.handle(EndBody(STREAM_ID))

    async def _maybe_recycle(self) -> None:
        whole: Any = self.connection
        if not isinstance(whole, Whole):
            await super()._maybe_recycle()
        elif whole.our_state is h11.DONE and not self.context.terminated.is_set():
            await self._close_stream()
            self.connection = whole.give_back(told=False)
            await self.can_read.set()
            await self.send(Updated(idle=True))
        else:
            whole.over = True
            await super()._maybe_recycle()

    async def _check_protocol(self, event: Any) -> None:
        if event.http_version == b"2.0":  # which StrictConnection takes of the preface alone
            await super()._check_protocol(event)

    async def _send_error_response(self, status_code: int) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        headers += self.config.added_headers(headers)
        headers += self.config.response_headers("h11")
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())


def _with_one_connection_field(request: h11.Request) -> h11.Request:
    """The request with its `Connection` fields as the one list that they are (RFC 9110, section
    5.3): Hypercorn looks at the last one."""
    said = [value for name, value in request.headers if name == b"connection"]
    if len(said) < 2:
        return request
    headers = [header for header in request.headers if header[0] != b"connection"]
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[*headers, (b"connection", b", ".join(filter(None, said)))],
        http_version=request.http_version,
    )


class Idle:
    """Ends a connection that has nothing to do: a timer, where Hypercorn makes a task before each
    request and cancels it again. `end` is called when the time is up."""

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


class Gone:
    """In the place of what a connection had that is over: nothing matters to it."""

    async def handle(self, event: Any) -> None:
        pass

    async def restart(self, tasks: Any, action: Any) -> None:
        pass

    async def stop(self) -> None:
        pass


GONE: Any = Gone()


class Connection(TCPServer):
    """A TCP connection that is listed while it is open and dies quietly of any network error."""

    def end(self) -> None:
        """End the connection, on which nothing is under way."""
        spawn(self._initiate_server_close())

    async def run(self) -> None:
        self.idle_task = Idle(self.end, self.config.keep_alive_timeout)  # type: ignore[assignment]
        connections.add(self)
        try:
            await super().run()
        finally:
            connections.discard(self)
            # They lead back here: what this holds, buffers included, would stay until somebody
            # looks for cyclic garbage.
            self.protocol = self.idle_task = GONE

    async def _read_data(self) -> None:
        # As Hypercorn's, without a timer for each read: silence is the stream's business.
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        # Nobody empties the buffers of an HTTP/2 connection any more: let go who waits for them.
        for buffer in getattr(self.protocol.protocol, "stream_buffers", {}).values():
            await buffer.close()

    async def protocol_send(self, event: Any) -> None:
        if isinstance(event, RawData) and not event.data:
            return  # the end of an answer whose length was said
        try:
            await super().protocol_send(event)
        except OSError:
            # Hypercorn expects ConnectionError only; TCP_USER_TIMEOUT is a TimeoutError.
            await self.protocol.handle(Closed())

    async def _close(self) -> None:
        with suppress(OSError):
            await super()._close()


def install() -> None:
    """Put our classes in the place of Hypercorn's. May be called again."""
    hypercorn.protocol.ws_stream.Handshake = Upgrade  # type: ignore[misc]
    hypercorn.protocol.h11.WSStream = Stream  # type: ignore[attr-defined, misc]
    hypercorn.protocol.h2.WSStream = Stream  # type: ignore[attr-defined, misc]
    hypercorn.protocol.H11Protocol = HTTP1  # type: ignore[attr-defined, misc]
    hypercorn.protocol.H2Protocol = HTTP2  # type: ignore[attr-defined, misc]
    hypercorn.protocol.h2.StreamBuffer = Buffer  # type: ignore[misc]


def end_idle() -> None:
    """End every connection that is open and idle."""
    for connection in list(connections):
        if connection.idle_task.timer is not None:  # type: ignore[attr-defined]
            connection.end()


def abort_connections() -> None:
    """Cut every connection that is still open."""
    for connection in list(connections):
        connection.writer.transport.abort()
