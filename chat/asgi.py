"""Run a Flask application, with Flask-Sock, as an ASGI application: each request in a greenlet.

Flask and Flask-Sock are synchronous. Every request, websocket and streamed response here runs the
ordinary WSGI application in a greenlet on the event loop, where `await_` turns anything awaitable
into a call that looks blocking and costs no thread:

    app = Flask(__name__)
    sock = Sock(app)

    @sock.route("/echo")
    def echo(ws):
        while True:
            ws.send(ws.receive())

    application = Bridge(app)

What really blocks (CPU, files, sockets) blocks every connection: `await_(asyncio.to_thread(...))`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import flask_sock
from greenback import await_, with_portal_run_sync
from simple_websocket import ConnectionClosed
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, RequestTimeout
from werkzeug.wsgi import FileWrapper

__all__ = ["TRANSPORT", "Bridge", "ConnectionClosed", "Transport", "WebSocket", "await_"]

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Hook = Callable[[], Awaitable[Any]]

TRANSPORT = "websocket.transport"
"""Name of the entry in `scope["extensions"]` by which a server offers a `Transport`."""

MAX_HEADERS = 8192
"""Names and values of all request headers together, in bytes; more is answered with 431."""

MAX_UNSENT = 1 << 20
"""Bytes pushed to a websocket and not sent yet; more closes it with 1013."""

BODY_TIMEOUT = 60.0
"""Seconds a request body may take to arrive."""

CLOSE_TIMEOUT = 5.0
"""Seconds `WebSocket.close` waits for what was pushed before."""

DISCARD_TIMEOUT = 2.0
"""Seconds spent on a body nobody read, so that its sender gets to see the answer."""

DRAIN_TIMEOUT = 2.0
"""Seconds `Bridge.drain` waits for requests and routes to end before it cancels them."""

FILE_CHUNK = 1 << 16
WEBSOCKET = "asgi.websocket"
# What only the server can say. (Flask dates the files it sends, and so does Hypercorn.)
NOT_OURS = {
    b"connection",
    b"date",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}

_tasks: set[asyncio.Future[Any]] = set()


class Transport(Protocol):
    """The direct way to a websocket's connection; every method returns at once."""

    def write(self, frames: bytes, /) -> bool:
        """Write frames as they are; False once the connection is closing."""

    def unsent(self) -> int:
        """Bytes written that are still waiting."""

    def shut(self, code: int, reason: str, /) -> None:
        """Send a Close frame; nothing can follow it."""

    def abort(self) -> None:
        """Cut the connection."""


class Bridge:
    """The ASGI application that runs a WSGI application.

    app: the WSGI callable; if it has a `config` without `MAX_CONTENT_LENGTH`, that is set.
    startup, shutdown: async callables run before the first and after the last request;
        if `startup` raises, the server does not start.
    max_body: the largest request body in bytes (default 1 MiB), unless `app` has its own limit.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        startup: Hook | None = None,
        shutdown: Hook | None = None,
        max_body: int = 1 << 20,
    ) -> None:
        self._app = app
        self._startup = startup
        self._shutdown = shutdown
        self._max_body = _set_max_body(app, max_body)
        self._draining = False
        self._requests: set[asyncio.Task[Any]] = set()
        self._streams: set[_Exchange] = set()
        self._sockets: set[WebSocket] = set()
        flask_sock.Server = _accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        try:
            if scope["type"] == "websocket":
                await self._websocket(scope, receive, send)
            else:
                await self._http(scope, receive, send)
        finally:
            self._requests.discard(task)

    async def drain(self, seconds: float) -> None:
        """Send everyone away.

        New requests get 503, streamed responses end, and the sockets are closed with 1012, evenly
        over `seconds`, so that their clients do not all come back at once. What has not ended two
        seconds later is cancelled.
        """
        self._draining = True
        for stream in list(self._streams):
            stream.end()
        await self._close_sockets(seconds)
        if not await _all_done(self._requests, DRAIN_TIMEOUT):
            for task in list(self._requests):
                task.cancel()
            await _all_done(self._requests, 1.0)

    async def _close_sockets(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        sockets = list(self._sockets)
        for i, ws in enumerate(sockets):
            delay = start + seconds * i / len(sockets) - loop.time()
            if delay > 0.001:
                await asyncio.sleep(delay)
            ws.kick(1012, "restart")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            event = message["type"]
            hook = self._startup if event == "lifespan.startup" else self._shutdown
            try:
                if hook is not None:
                    await hook()
            except Exception as error:
                log.exception("%s failed", event)
                await send({"type": f"{event}.failed", "message": str(error)})
                return
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(self, scope, receive, send)
        if self._draining:
            await exchange.refuse(503, "Restarting", [(b"retry-after", b"1")])
        elif _headers_size(scope) > MAX_HEADERS:
            await exchange.refuse(431, "Request Header Fields Too Large")
        else:
            await exchange.run(self._app)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if self._draining:
            await _reject(scope, send, 503, [(b"retry-after", b"1")], b"Restarting")
            return
        if _headers_size(scope) > MAX_HEADERS:
            await _reject(scope, send, 431, [], b"Request Header Fields Too Large")
            return
        environ = _environ(scope)
        ws = WebSocket(environ, receive, send, self._sockets)
        environ[WEBSOCKET] = ws
        environ["wsgi.input"] = io.BytesIO()
        response = _Response()
        try:
            body = await with_portal_run_sync(_run_to_end, self._app, environ, response)
            if not ws.accepted:
                await _reject(scope, send, response.status, response.headers, body)
        except Exception:
            log.exception("websocket route failed")
            if not ws.accepted:
                await _reject(scope, send, 500, [], b"Internal Server Error")
        finally:
            # Flask-Sock closes what returns; what is still open here has raised.
            ws.kick(1011)
            await ws.closed()
            self._sockets.discard(ws)
            # The exception's traceback may keep the environ: do not let it keep the socket too.
            environ.pop(WEBSOCKET, None)


class WebSocket:
    """What a `@sock.route` function gets as `ws`; it stands in for `simple_websocket.Server`.

    environ: the WSGI environ of the handshake.
    max_unsent: bytes pushed and not sent yet, default 1 MiB; more closes with 1013.
    """

    mode = "asgi"

    __slots__ = (
        "_close",
        "_closing",
        "_outbox",
        "_pump_task",
        "_queued",
        "_reading",
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
    ) -> None:
        self.environ = environ
        self.accepted = False
        self.max_unsent = MAX_UNSENT
        self._receive = receive
        self._send = send
        self._registry = registry
        self._transport: Transport | None = None
        self._close: tuple[int, str] | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._reading: asyncio.Timeout | None = None
        self._outbox: deque[str | asyncio.Future[None]] | None = None
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
            message = await_(self._next(timeout))
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

    def push(self, wire: bytes, texts: Sequence[str]) -> bool:
        """Send without waiting, from any code on the loop.

        wire: one or several complete frames; written as they are where the server offers the
            direct path.
        texts: the messages in those frames, sent one by one where it does not.
        Returns False if the connection is closed, or has just been closed with 1013 because the
        client reads too slowly.
        """
        if not self.connected:
            return False
        if self._transport is None:
            self._enqueue(texts)
            unsent = self._queued
        elif self._transport.write(wire):
            unsent = self._transport.unsent()
        else:
            # The route's `receive` finds out why, after what the client has sent before.
            return False
        if unsent > self.max_unsent:
            self.kick(1013, "too slow")
            return False
        return True

    def kick(self, code: int, reason: str = "") -> None:
        """Close without waiting, from any code on the loop; the route's `receive` then raises."""
        if not self.connected:
            return
        self._gone(code, reason)
        self._outbox = None
        if self._transport is not None:
            self._transport.shut(code, reason)
        else:
            message = {"type": "websocket.close", "code": code, "reason": reason}
            self._closing = _spawn(self._send(message))

    async def closed(self) -> None:
        """Wait until the close message has been handed over, for at most five seconds."""
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=CLOSE_TIMEOUT)

    def accept(self) -> None:
        """Answer the handshake. Flask-Sock does this when the route is entered."""
        await_(self._send({"type": "websocket.accept"}))
        self.accepted = True
        self._transport = self.environ["asgi.scope"]["extensions"].get(TRANSPORT)
        self._registry.add(self)

    def _gone(self, code: int, reason: str = "") -> None:
        if self._close is None:
            self._close = code, reason
        self._registry.discard(self)
        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(0)

    async def _next(self, timeout: float | None) -> str | bytes | None:
        try:
            async with asyncio.timeout(timeout) as self._reading:
                message = await self._receive()
        except TimeoutError:
            return None
        finally:
            self._reading = None
        if message["type"] == "websocket.disconnect":
            self._gone(message.get("code") or 1005, message.get("reason") or "")
            return None
        data: str | bytes | None = message.get("text")
        return message.get("bytes") if data is None else data

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
                    await self._next(None)
        except TimeoutError:
            self._gone(1006)

    def _enqueue(self, texts: Sequence[str]) -> None:
        if self._outbox is None:
            self._outbox = deque()
        self._outbox.extend(texts)
        self._queued += sum(map(len, texts))
        if self._pump_task is None:
            self._pump_task = _spawn(self._pump())

    async def _pump(self) -> None:
        try:
            while self._outbox:
                item = self._outbox.popleft()
                if isinstance(item, str):
                    await self._send({"type": "websocket.send", "text": item})
                    self._queued -= len(item)
                elif not item.done():
                    item.set_result(None)
        except OSError:
            log.debug("closed before everything pushed was sent")
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


class _Response:
    """What the WSGI application says about its response."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.written: list[bytes] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        self.status = int(status[:3])
        self.headers = []
        for name, value in headers:
            key = name.lower().encode("latin-1")
            if key not in NOT_OURS:
                self.headers.append((key, value.encode("latin-1")))
        return self.written.append

    def length(self) -> int | None:
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)
        return None


class _Exchange:
    """One HTTP request and its response."""

    def __init__(self, bridge: Bridge, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams = bridge._streams
        self._scope = scope
        self._receive = receive
        self._send = send
        self._body = _Body(receive, bridge._max_body, _may_have_body(scope))
        self._response = _Response()
        self._task: asyncio.Task[Any] | None = None
        self._started = False
        self._ended = False  # a streamed response that is to stop here
        self._left = False  # ... because nobody is there any more

    async def run(self, app: Callable[..., Iterable[bytes]]) -> None:
        """Run the application and send what it answers."""
        environ = _environ(self._scope)
        environ["wsgi.input"] = self._body
        try:
            body = await with_portal_run_sync(self._respond, app, environ)
        except Exception:
            log.exception("%s %s failed", self._scope["method"], self._scope["path"])
            if not self._started:
                await self.refuse(500, "Internal Server Error")
            else:
                # The connection ends without the last chunk, which tells the client.
                self._discard_rest()
            return
        if not self._left:
            await self._finish(body)

    async def refuse(self, status: int, text: str, headers: Headers | None = None) -> None:
        """Answer without running the application; the connection closes."""
        body = text.encode()
        self._response.status = status
        self._response.headers = [*(headers or ()), *_plain(body)]
        if self._scope["http_version"] < "2":
            self._response.headers.append((b"connection", b"close"))
        await self._finish(body)

    def end(self) -> None:
        """End a streamed response here, as if its generator had returned."""
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()

    def _respond(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> bytes:
        """Return the whole response body, or send it and return what is left: nothing."""
        chunks = app(environ, self._response.start)
        try:
            body = self._whole(chunks)
            if body is None:
                self._stream(iter(chunks))
                body = b""
            return body
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _whole(self, chunks: Iterable[bytes]) -> bytes | None:
        """The body if it is known without waiting, else None."""
        status = self._response.status
        if self._scope["method"] == "HEAD" or status in {204, 304}:
            return b""
        if isinstance(chunks, (list, tuple)):
            return b"".join([*self._response.written, *chunks])
        length = self._response.length()
        if length is None or self._response.written:
            return None
        if length > FILE_CHUNK:
            return None
        # A body of declared length is produced without waiting, or is a small file.
        return b"".join(chunks)

    def _stream(self, chunks: Iterator[bytes]) -> None:
        """Send each chunk as it comes, until the client leaves or `end` is called."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._streams.add(self)
        watcher = _spawn(self._watch())
        try:
            # The status is known once the first chunk is there.
            chunk = next(chunks, None)
            self._check_status()
            await_(self._start())
            for written in self._response.written:
                await_(self._send_chunk(written))
            while chunk is not None and not self._ended:
                if chunk:
                    await_(self._send_chunk(chunk))
                    # Sending waits only while the client is behind: let others have their turn.
                    await_(asyncio.sleep(0))
                chunk = None if self._ended else next(chunks, None)
        except asyncio.CancelledError:
            if not self._ended:
                raise
            self._task.uncancel()
        finally:
            watcher.cancel()
            self._streams.discard(self)

    async def _watch(self) -> None:
        """End the response when the client leaves. What was not read of its body is lost."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if not message.get("more_body"):
                self._body.ended = True
        self._left = True
        self.end()

    def _check_status(self) -> None:
        if not 200 <= self._response.status <= 999:
            raise ValueError("the application did not call start_response with a final status")

    async def _start(self) -> None:
        self._started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": self._response.status,
                "headers": self._response.headers,
            }
        )

    async def _send_chunk(self, chunk: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _finish(self, body: bytes) -> None:
        if not self._started:
            if not 200 <= self._response.status <= 999:
                self._response.status = 500
            await self._start()
        if self._body.ended:
            await self._send_chunk(body, more=False)
            return
        # Hypercorn closes a connection whose request has not arrived completely, and the reset
        # that follows may reach the client before it has read the answer.
        if body:
            await self._send_chunk(body)
        await self._body.discard()
        self._discard_rest()
        await self._send_chunk(b"", more=False)

    def _discard_rest(self) -> None:
        # Whatever still arrives must not fill the queue in which Hypercorn puts the end: it would
        # wait for room for ever.
        if not self._body.ended:
            _spawn(_discard_all(self._receive))


class _Body(io.RawIOBase):
    """A request body, read from the connection as the application asks for it.

    Raises `RequestEntityTooLarge` (413) past `limit` bytes, `RequestTimeout` (408) when it takes
    longer than a minute, `ClientDisconnected` (400) when the client leaves before the end.
    """

    def __init__(self, receive: Receive, limit: int, expected: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._chunk = b""
        self._deadline: float | None = None
        self.ended = not expected

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.peek()[: len(buffer)]
        buffer[: len(data)] = data
        self._chunk = self._chunk[len(data) :]
        return len(data)

    def peek(self, size: int = 0) -> bytes:
        """What can be read without waiting, waiting until there is something; empty at the end."""
        while not self._chunk and not self.ended:
            self._chunk = await_(self._next())
        return self._chunk

    async def _next(self) -> bytes:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT
        try:
            async with asyncio.timeout_at(self._deadline):
                data = await self._take()
                # Werkzeug stops at its limit, the same as ours, without looking for more, and
                # would take a body cut there for a whole one.
                while self._size == self._limit and not self.ended:
                    data += await self._take()
        except TimeoutError:
            raise RequestTimeout from None
        if self._size > self._limit:
            raise RequestEntityTooLarge
        return data

    async def _take(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise ClientDisconnected
        if not message.get("more_body"):
            self.ended = True
        data: bytes = message.get("body", b"")
        self._size += len(data)
        return data

    async def discard(self) -> None:
        """Read on, for at most two seconds and four times the limit."""
        self._chunk = b""
        try:
            async with asyncio.timeout(DISCARD_TIMEOUT):
                while not self.ended and self._size <= 4 * self._limit:
                    await self._take()
        except (TimeoutError, ClientDisconnected):
            pass


def _accept(environ: dict[str, Any], **options: Any) -> WebSocket:
    """What Flask-Sock calls in place of `simple_websocket.Server`."""
    ws: WebSocket = environ[WEBSOCKET]
    ws.accept()
    return ws


def _run_to_end(
    app: Callable[..., Iterable[bytes]], environ: dict[str, Any], response: _Response
) -> bytes:
    chunks = app(environ, response.start)
    try:
        return b"".join([*response.written, *chunks])
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


async def _reject(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer a handshake with an HTTP response."""
    if "websocket.http.response" not in scope["extensions"]:
        await send({"type": "websocket.close"})
        return
    if not 200 <= status <= 999:
        status, headers, body = 500, [], b"Internal Server Error"
    if not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, *_plain(body)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _plain(body: bytes) -> Headers:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]


def _headers_size(scope: Scope) -> int:
    return sum(len(name) + len(value) for name, value in scope["headers"])


def _may_have_body(scope: Scope) -> bool:
    """Whether a body can follow; over HTTP/2 only the end of the stream tells."""
    expected = bool(scope["http_version"] >= "2")
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
        if name == b"transfer-encoding":
            expected = True
    return expected


def _environ(scope: Scope) -> dict[str, Any]:
    """The WSGI environ of an ASGI scope, without `wsgi.input`.

    Names with an underscore are left out, for they would be taken for the name with a hyphen
    that a proxy sets; so is `Proxy` (httpoxy).
    """
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    root, path = _paths(scope)
    environ = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": root,
        "PATH_INFO": path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"]),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _file_wrapper,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        if b"_" in raw_name or name == "PROXY":
            continue
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        environ[key] = value
    if scope["type"] == "websocket" and scope["http_version"] >= "2":
        # The extended CONNECT of RFC 8441; Werkzeug knows websockets by these two.
        environ["HTTP_CONNECTION"] = "Upgrade"
        environ["HTTP_UPGRADE"] = "websocket"
    return environ


def _paths(scope: Scope) -> tuple[str, str]:
    """SCRIPT_NAME and PATH_INFO."""
    raw = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(b"/") and b"://" in raw:
        raw = b"/" + raw.split(b"://", 1)[1].partition(b"/")[2]
    path = unquote_to_bytes(raw).decode("latin-1")
    root = scope.get("root_path", "").encode().decode("latin-1")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return root, path


def _file_wrapper(file: Any, size: int = FILE_CHUNK) -> FileWrapper:
    # Flask asks for chunks of 8 KiB, each of which would be a turn of the loop.
    return FileWrapper(file, max(size, FILE_CHUNK))


def _set_max_body(app: Any, max_body: int) -> int:
    config = getattr(app, "config", None)
    if config is None:
        return max_body
    if config.get("MAX_CONTENT_LENGTH") is None:
        config["MAX_CONTENT_LENGTH"] = max_body
    return int(config["MAX_CONTENT_LENGTH"])


async def _discard_all(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _all_done(tasks: set[asyncio.Task[Any]], seconds: float) -> bool:
    """Wait until no request is running, for at most `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
        await asyncio.wait(tasks, timeout=left)
        await asyncio.sleep(0)
    return not tasks


def _spawn(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    task = asyncio.ensure_future(awaitable)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
