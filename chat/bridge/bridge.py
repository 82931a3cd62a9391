"""Runs a Flask application, with Flask-Sock, as an ASGI application: each request in a greenlet.

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

Work that really blocks (CPU, files, sockets) blocks every connection. Do it in a thread:
`await_(asyncio.to_thread(...))`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import flask_sock
import simple_websocket
from greenback import with_portal_run_sync

from .connection_handler import Detached, run_handler
from .http import HTTPExchange, Response
from .websocket import WebSocket
from .wsgi import Headers, Receive, Scope, Send, all_done, headers_size, make_environ, plain_headers

log = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[Any]]

MAX_HEADERS_BYTES = 8192
"""Names and values of all request headers together. With more, the response is 431."""

END_SECONDS = 2.0
"""How long `Bridge.end` waits for requests and routes before it cancels them."""

RESTART_SECONDS = 10
"""After which a page reloads that got no answer because the process was ending."""

WEBSOCKET = "asgi.websocket"


class Bridge:
    """The ASGI application that runs a WSGI application.

    app: the WSGI callable; if it has a `config` without `MAX_CONTENT_LENGTH`, that is set.
    startup, shutdown: async callables run before the first and after the last request;
        if `startup` raises, the server does not start.
    on_slow_reader: called when a websocket is closed because its client reads too slowly.
    max_body: the largest request body in bytes (default 1 MiB), unless `app` has its own limit.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        startup: Hook | None = None,
        shutdown: Hook | None = None,
        on_slow_reader: Callable[[], object] = lambda: None,
        max_body: int = 1 << 20,
    ) -> None:
        self._app = app
        self._startup = startup
        self._shutdown = shutdown
        self._on_slow_reader = on_slow_reader
        self._max_body = _set_max_body(app, max_body)
        self._draining: bool | None = None  # set by `drain`: whether another process has taken over
        self._ended = False
        self._requests: set[asyncio.Task[Any]] = set()
        self._streams: set[HTTPExchange] = set()
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

    async def drain(self, seconds: float, replaced: bool = False) -> None:
        """End streamed responses and websockets.

        Requests are answered as before, and each connection ends with its next response. New
        websockets get 503. Streamed responses end, and websockets are closed with 1012, evenly over
        `seconds`, so that their clients do not all reconnect at once.

        replaced: whether another process serves the same address from now on.
        """
        self._draining = replaced
        ends = [partial(stream.drain, replaced) for stream in self._streams]
        ends += [partial(ws.close_nowait, 1012, "restart") for ws in self._sockets]
        random.shuffle(ends)  # otherwise all streams would end before the first websocket
        await _spread(ends, seconds)

    async def end(self) -> None:
        """Stop answering. Everything that has not ended after END_SECONDS is cancelled."""
        self._ended = True
        if not await all_done(self._requests, END_SECONDS):
            for task in list(self._requests):
                task.cancel()
            await all_done(self._requests, 1.0)

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
        exchange = HTTPExchange(
            scope, receive, send, self._max_body, self._streams, lambda: self._draining
        )
        if self._ended:
            await exchange.refuse(503, "Restarting", _retry_headers(scope))
        elif headers_size(scope) > MAX_HEADERS_BYTES:
            await exchange.refuse(431, "Request Header Fields Too Large")
        else:
            await exchange.run(self._app)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if self._draining is not None:
            await _reject(scope, send, 503, [(b"retry-after", b"1")], b"Restarting")
            return
        if headers_size(scope) > MAX_HEADERS_BYTES:
            await _reject(scope, send, 431, [], b"Request Header Fields Too Large")
            return
        ws = WebSocket(make_environ(scope), receive, send, self._sockets, self._on_slow_reader)
        try:
            await self._route(scope, send, ws)
        finally:
            # Flask-Sock closes it when the route returns. If it is open, the route has raised.
            ws.close_nowait(1011)
            await ws.wait_closed()
            self._sockets.discard(ws)

    async def _route(self, scope: Scope, send: Send, ws: WebSocket) -> None:
        """Run the route, and then the handler to which the route leaves the connection."""
        environ, response = ws.environ, Response()
        environ[WEBSOCKET] = ws
        environ["wsgi.input"] = io.BytesIO()
        try:
            body = await with_portal_run_sync(_run_to_end, self._app, environ, response)
            if not ws.accepted:
                await _reject(scope, send, response.status, response.headers, body)
            return
        except Detached as detached:
            detached.__traceback__ = None  # its frames hold it and the whole request
            (handler,) = detached.args
        except Exception:
            log.exception("websocket route failed")
            if not ws.accepted:
                await _reject(scope, send, 500, [], b"Internal Server Error")
            return
        finally:
            # An exception's traceback may keep the environ alive, but must not keep the websocket.
            environ.pop(WEBSOCKET, None)
        # Nothing of the handshake is needed any more. An idle connection must not hold it.
        environ.clear()
        scope.clear()
        del environ, response
        try:
            await run_handler(handler, ws.next_message)
        except Exception:
            log.exception("websocket handler failed")


def _retry_headers(scope: Scope) -> Headers:
    """Headers of the response to a request while the process ends. A program may try again after a
    second. A browser reloads the page by itself (HTML, "The `Refresh` header"), and later, because
    the next process may have to start first."""
    headers = [(b"retry-after", b"1")]
    if scope["method"] == "GET":
        headers.append((b"refresh", b"%d" % RESTART_SECONDS))
    return headers


async def _spread(calls: Sequence[Callable[[], None]], seconds: float) -> None:
    """Call the functions one by one, evenly over `seconds`."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for i, call in enumerate(calls):
        delay = start + seconds * i / len(calls) - loop.time()
        if delay > 0.001:
            await asyncio.sleep(delay)
        call()


def _accept(environ: dict[str, Any], **options: Any) -> Any:
    """Accept a websocket for Flask-Sock, which calls this instead of `simple_websocket.Server`."""
    ws: WebSocket | None = environ.get(WEBSOCKET)
    if ws is None:  # another server runs this application
        return simple_websocket.Server(environ, **options)
    ws.accept()
    return ws


def _run_to_end(
    app: Callable[..., Iterable[bytes]], environ: dict[str, Any], response: Response
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
        headers = [*headers, *plain_headers(body)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _set_max_body(app: Any, max_body: int) -> int:
    config = getattr(app, "config", None)
    if config is None:
        return max_body
    if config.get("MAX_CONTENT_LENGTH") is None:
        config["MAX_CONTENT_LENGTH"] = max_body
    return int(config["MAX_CONTENT_LENGTH"])
