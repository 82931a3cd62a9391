"""One HTTP request to a WSGI application and its response, in a greenlet on the loop."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import InitVar, dataclass
from typing import Any

from greenback import await_, with_portal_run_sync
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, RequestTimeout

from .wsgi import (
    FILE_CHUNK_BYTES,
    Headers,
    Receive,
    Scope,
    Send,
    make_environ,
    plain_headers,
    spawn,
)

log = logging.getLogger(__name__)

BODY_SECONDS = 60.0
"""How long a request body may take to arrive, plus one second for each BODY_BYTES_PER_SECOND."""

BODY_BYTES_PER_SECOND = 1 << 14
"""The slowest connection on which a large body can be sent."""

DISCARD_SECONDS = 2.0
"""How long to read a body that nobody wants, so that its sender gets to see the response."""

ON_DRAIN = "asgi.on_drain"
"""Where the application finds `HTTPExchange.on_drain` in its environ."""

# Only the server sets these. (Flask dates the files it sends, and so does Hypercorn.)
SERVER_HEADERS = {
    b"connection",
    b"date",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}


@dataclass(eq=False)
class HTTPExchange:
    """One HTTP request and its response.

    max_body: the largest request body in bytes.
    _streams: contains this exchange while it streams, so that `drain` can be called.
    _draining: returns None until the process stops, and from then on whether another process has
        taken over. Then the connection ends with this response.
    """

    _scope: Scope
    _receive: Receive
    _send: Send
    max_body: InitVar[int]
    _streams: set[HTTPExchange]
    _draining: Callable[[], bool | None]
    _on_drain: Callable[[bool], None] | None = None
    _is_refused: bool = False
    _task: asyncio.Task[Any] | None = None
    _started: bool = False
    _ended: bool = False  # the streamed response is to stop here
    _client_left: bool = False  # ... because the client has left

    def __post_init__(self, max_body: int) -> None:
        self._body = _Body(self._receive, max_body, _may_have_body(self._scope))
        self._response = Response()

    async def run(self, app: Callable[..., Iterable[bytes]]) -> None:
        """Run the application and send its response."""
        environ = make_environ(self._scope)
        environ["wsgi.input"] = self._body
        environ[ON_DRAIN] = self.on_drain
        try:
            body = await with_portal_run_sync(self._respond, app, environ)
        except Exception:
            log.exception("%s %r failed", self._scope["method"], self._scope["path"])
            if not self._started:
                await self.refuse(500, "Internal Server Error")
            else:
                # The connection ends without the last chunk, so the client notices.
                self._discard_rest()
            return
        if not self._client_left:
            await self._finish(body)

    async def refuse(self, status: int, text: str, headers: Headers | None = None) -> None:
        """Respond without running the application. The connection closes."""
        body = text.encode()
        self._response.status = status
        self._response.headers = [*(headers or ()), *plain_headers(body)]
        self._is_refused = True
        await self._finish(body)

    def on_drain(self, function: Callable[[bool], None]) -> None:
        """Let a streamed response end itself when the process stops.

        function: called once, with whether another process has taken over this address; at once
            if the process is already stopping. The response must end within a second or two.
        The application finds this method in its environ under `ON_DRAIN`.
        """
        if (replaced := self._draining()) is not None:
            function(replaced)
        else:
            self._on_drain = function

    def drain(self, replaced: bool) -> None:
        """End a streamed response because the process stops."""
        if self._on_drain is None:
            self.end()
        else:
            self._on_drain(replaced)

    def end(self) -> None:
        """End a streamed response here, as if its generator had returned."""
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()

    def _respond(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> bytes:
        """Return the whole response body, or send it and return b""."""
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
        """Return the body if it is known without waiting, else None."""
        status = self._response.status
        if self._scope["method"] == "HEAD" or status in {204, 304}:
            return b""
        if isinstance(chunks, (list, tuple)):
            return b"".join([*self._response.written, *chunks])
        length = self._response.length()
        if length is None or self._response.written:
            return None
        if length > FILE_CHUNK_BYTES:
            return None
        # A body with a Content-Length is produced without waiting, or is a small file.
        return b"".join(chunks)

    def _stream(self, chunks: Iterator[bytes]) -> None:
        """Send each chunk as it is produced, until the client leaves or `end` is called."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._streams.add(self)
        watcher = spawn(self._watch())
        try:
            # The status is known once there is a first chunk.
            chunk = next(chunks, None)
            self._check_status()
            await_(self._start())
            for written in self._response.written:
                await_(self._send_chunk(written))
            while chunk is not None and not self._ended:
                if chunk:
                    await_(self._send_chunk(chunk))
                    # Sending waits only while the client is behind. Let other tasks run.
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
        """End the response when the client leaves. The rest of the request body is discarded."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if not message.get("more_body"):
                self._body.ended = True
        self._client_left = True
        self.end()

    def _check_status(self) -> None:
        if not 200 <= self._response.status <= 999:
            raise ValueError("the application did not call start_response with a final status")

    async def _start(self) -> None:
        self._started = True
        is_last = self._is_refused or self._draining() is not None
        if self._scope["http_version"] < "2" and is_last:
            self._response.headers.append((b"connection", b"close"))
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
        # that follows may reach the client before it has read the response.
        if body:
            await self._send_chunk(body)
        await self._body.discard()
        self._discard_rest()
        await self._send_chunk(b"", more=False)

    def _discard_rest(self) -> None:
        # What still arrives must not fill Hypercorn's queue, which would wait forever for room for
        # the final message.
        if not self._body.ended:
            spawn(_discard_all(self._receive))


class Response:
    """The status and headers that the WSGI application gave to `start_response`."""

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
            if key not in SERVER_HEADERS:
                self.headers.append((key, value.encode("latin-1")))
        return self.written.append

    def length(self) -> int | None:
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)
        return None


class _Body(io.RawIOBase):
    """A request body, read from the connection as the application asks for it.

    Raises `RequestEntityTooLarge` (413) past `limit` bytes, `RequestTimeout` (408) when it takes
    longer than BODY_SECONDS says, `ClientDisconnected` (400) when the client leaves before the end.
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
        """Wait until there is something to read, and return it; empty at the end."""
        while not self._chunk and not self.ended:
            self._chunk = await_(self._next())
        return self._chunk

    async def _next(self) -> bytes:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._deadline + self._size / BODY_BYTES_PER_SECOND):
                data = await self._take()
                # Werkzeug has the same limit, and stops there without looking for more. It would
                # accept a body that is cut there as complete.
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
        """Read on, for at most two seconds and up to four times the limit."""
        self._chunk = b""
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self.ended and self._size <= 4 * self._limit:
                    await self._take()
        except (TimeoutError, ClientDisconnected):
            pass


def _may_have_body(scope: Scope) -> bool:
    """Return True if a body can follow. Over HTTP/2, only the end of the stream shows whether one
    does."""
    expected = bool(scope["http_version"] >= "2")
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
        if name == b"transfer-encoding":
            expected = True
    return expected


async def _discard_all(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
