"""HTTP/1.1 on Hypercorn: replaces Hypercorn's `H11Protocol` (see chat.bridge.patches)."""

from __future__ import annotations

from typing import Any

import h11
from hypercorn.events import RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from .config import ServerSettings
from .fast_path import FastPathConnection, read_get
from .strict_h11 import StrictConnection
from .websocket_stream import WebSocketStream
from .wsgi import Headers


class HTTP1(H11Protocol):
    """HTTP/1.1 that refuses ambiguous requests (chat.bridge.strict_h11) and serves simple GETs
    without h11 (chat.bridge.fast_path). `Upgrade: h2c` is ignored: it would bypass the rules of a
    proxy. HTTP/2 without TLS starts only where a setting allows it."""

    config: ServerSettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Over TLS, HTTP/2 is agreed to in the handshake (RFC 9113, section 3.2).
        h2c = self.config.h2c and not self.ssl
        self.connection = StrictConnection(self.config.h11_max_incomplete_size, h2c)

    async def handle(self, event: Any) -> None:
        stream = self.stream
        if (
            isinstance(event, RawData)
            and isinstance(stream, WebSocketStream)
            and stream.handshake.accepted
        ):
            # From the handshake on, only the websocket reads from this connection.
            await stream.receive_data(event.data)
        elif (
            isinstance(event, RawData)
            and self._is_between_requests()
            and (get := read_get(event.data))
        ):
            self.connection = FastPathConnection(self.connection, event.data)  # type: ignore[arg-type, assignment]
            await self._serve_get(*get)
        else:
            await super().handle(event)

    async def stream_send(self, event: Any) -> None:
        fast: Any = self.connection
        if isinstance(event, Response):
            headers = [*event.headers, *self.config.added_headers(event.headers)]
            event = Response(event.stream_id, headers, event.status_code)
        if isinstance(fast, FastPathConnection):
            if isinstance(event, Response):
                headers = [*event.headers, *self.config.response_headers("h11")]
                is_last = self.keep_alive_requests >= self.config.keep_alive_max_requests
                if not is_last and fast.begin(event.status_code, headers):
                    return
                self.connection = fast.to_h11(with_request=True)
            elif isinstance(event, Body):
                await self.send(RawData(fast.body(event.data)))
                return
            elif isinstance(event, EndBody):
                if data := fast.end():
                    await self.send(RawData(data))
                return
        await super().stream_send(event)

    async def _create_stream(self, request: h11.Request) -> None:
        await super()._create_stream(_with_one_connection_field(request))

    def _is_between_requests(self) -> bool:
        """True if no request is being handled and h11 has received nothing of the next one."""
        h11_s: Any = self.connection
        return (
            self.stream is None
            and isinstance(h11_s, h11.Connection)
            and h11_s.our_state is h11.IDLE
            and h11_s.trailing_data == (b"", False)
        )

    async def _serve_get(self, target: bytes, headers: Headers) -> None:
        """Do what `_create_stream` does, for a request that is no handshake and has no body."""
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
        fast: Any = self.connection
        if not isinstance(fast, FastPathConnection):
            await super()._maybe_recycle()
        elif fast.our_state is h11.DONE and not self.context.terminated.is_set():
            await self._close_stream()
            self.connection = fast.to_h11(with_request=False)
            await self.can_read.set()
            await self.send(Updated(idle=True))
        else:
            fast.ended = True
            await super()._maybe_recycle()

    async def _check_protocol(self, event: Any) -> None:
        if event.http_version == b"2.0":  # StrictConnection accepts it only in the preface
            await super()._check_protocol(event)

    async def _send_error_response(self, status_code: int) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        headers += self.config.added_headers(headers)
        headers += self.config.response_headers("h11")
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())


def _with_one_connection_field(request: h11.Request) -> h11.Request:
    """Return the request with its `Connection` fields joined (RFC 9110, section 5.3). Hypercorn
    looks only at the last one."""
    values = [value for name, value in request.headers if name == b"connection"]
    if len(values) < 2:
        return request
    headers = [header for header in request.headers if header[0] != b"connection"]
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[*headers, (b"connection", b", ".join(filter(None, values)))],
        http_version=request.http_version,
    )
