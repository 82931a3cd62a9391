"""HTTP/2 on Hypercorn, with limits on what one client can make the server do.

`HTTP2` replaces Hypercorn's `H2Protocol`, and `SendBuffer` its `StreamBuffer` (chat.bridge.patches
puts them there). Errors that end the whole connection in Hypercorn reset one stream here. Frames
that do nothing useful are counted (chat.bridge.frame_budget). A stream whose client opens no window
is reset after a while.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Response
from hypercorn.protocol.h2 import BUFFER_LOW_WATER, H2Protocol, StreamBuffer
from priority.priority import MissingStreamError

from .config import ServerSettings
from .frame_budget import FrameBudget
from .wsgi import spawn

PIECE_BYTES = 4096
"""What is read before other tasks run: some hundred frames."""

REQUESTS_PER_TURN = 10
"""Streams that are opened before other tasks run."""

ENCODER_TABLE_BYTES = 4096
"""The largest table to compress headers with; a client may ask for gigabytes (RFC 7541, 4.2)."""

_METHOD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Z]+")


class SendBuffer(StreamBuffer):
    """What an HTTP/2 stream has to send. Hypercorn's own buffer accepts any amount while the window
    is shut."""

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class HTTP2(H2Protocol):
    """One HTTP/2 connection."""

    config: ServerSettings

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        self.budget = FrameBudget()
        self.over = False  # GOAWAY was sent: discard what still arrives
        self.stalls: dict[int, asyncio.TimerHandle] = {}
        await super().initiate(headers, settings)

    async def handle(self, event: Any) -> None:
        if not isinstance(event, RawData):
            self._stop_timers()
            await super().handle(event)
            return
        self.budget.received(event.data)
        for start in range(0, len(event.data), PIECE_BYTES):
            if self.over or self.budget.is_spent:
                break
            await self._receive(event.data[start : start + PIECE_BYTES])
            await asyncio.sleep(0)
        if self.budget.is_spent:
            await self._go_away(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    async def stream_send(self, event: Any) -> None:
        if isinstance(event, Response):
            # HTTP/2 has no such header, and h2 would send nothing at all.
            headers = [header for header in event.headers if header[0] != b"connection"]
            headers += self.config.added_headers(event.headers)
            event = Response(event.stream_id, headers, event.status_code)
        await super().stream_send(event)

    async def _receive(self, data: bytes) -> None:
        try:
            events = self.connection.receive_data(data)
        except h2.exceptions.ProtocolError:
            await self._go_away(None)  # h2 has said why
        else:
            await self._handle_events(events)

    async def _go_away(self, code: h2.errors.ErrorCodes | None) -> None:
        if self.over:
            return
        self.over = True
        if code is not None:
            with suppress(h2.exceptions.ProtocolError):
                self.connection.close_connection(code)
        await self._flush()
        await self.send(Closed())

    async def _handle_events(self, events: list[Any]) -> None:
        gone = {e.stream_id for e in events if isinstance(e, h2.events.StreamReset)}
        opened = 0
        for event in events:
            with suppress(h2.exceptions.ProtocolError):  # the stream has ended meanwhile
                await self._handle_one(event, gone)
            opened += isinstance(event, h2.events.RequestReceived)
            if opened == REQUESTS_PER_TURN:
                opened = 0
                await asyncio.sleep(0)
        await self._flush()

    async def _handle_one(self, event: Any, gone: set[int]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            await self._request(event, gone)
        elif isinstance(event, h2.events.StreamReset):
            await self._drop_stream(event.stream_id)
        elif isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
            # The request was answered before its body arrived.
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            await self._refuse(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)
        else:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                encoder = self.connection.encoder
                encoder.header_table_size = min(encoder.header_table_size, ENCODER_TABLE_BYTES)
            await super()._handle_events([event])

    async def _request(self, event: Any, gone: set[int]) -> None:
        if event.stream_id in gone:
            return  # reset in the same read: nobody waits for a response
        if not _readable(event.headers):
            await self._refuse(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        elif self.context.terminated.is_set():
            await self._refuse(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            await super()._handle_events([event])
            # Hypercorn would end the connection after some requests, the last of them unanswered.
            self.keep_alive_requests = 0

    async def _priority_updated(self, event: Any) -> None:
        """Ignore priorities. They are deprecated (RFC 9113, section 5.3.2), and any client could
        fill the tree."""

    async def _refuse(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id, code)
        await self._flush()

    async def _close_stream(self, stream_id: int) -> None:
        await super()._close_stream(stream_id)
        if not self.closed:
            # Hypercorn does not do this after a reset; the connection would never be idle again.
            await self.send(Updated(idle=self.idle))

    async def _drop_stream(self, stream_id: int) -> None:
        """Send nothing more on a stream that was reset."""
        await self._close_stream(stream_id)
        if buffer := self.stream_buffers.get(stream_id):
            await buffer.close()
        self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        self._stop_timer(stream_id)
        self.stream_buffers.pop(stream_id, None)
        with suppress(MissingStreamError):
            self.priority.remove_stream(stream_id)

    async def _send_data(self, stream_id: int) -> None:
        # Like Hypercorn's, which fails if the stream is forgotten meanwhile.
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None:
            self._forget(stream_id)
            return
        try:
            await self._send_some(stream_id, buffer)
            if buffer.complete:
                self.connection.end_stream(stream_id)
                await self._flush()
                self._forget(stream_id)
        except h2.exceptions.ProtocolError:
            await buffer.close()
            self._forget(stream_id)

    async def _send_some(self, stream_id: int, buffer: Any) -> None:
        window = self.connection.local_flow_control_window(stream_id)
        data = await buffer.pop(max(0, min(window, self.connection.max_outbound_frame_size)))
        if data:
            self._stop_timer(stream_id)
            self.connection.send_data(stream_id, data)
            await self._flush()
            return
        with suppress(MissingStreamError):
            self.priority.block(stream_id)
        if buffer.buffer and stream_id not in self.stalls:
            loop = asyncio.get_running_loop()
            seconds = self.config.http2_stall_timeout
            self.stalls[stream_id] = loop.call_later(seconds, self.cancel, stream_id)

    def cancel(self, stream_id: int) -> None:
        """Reset a stream whose client does not read or answer."""
        spawn(self._cancel(stream_id))

    async def _cancel(self, stream_id: int) -> None:
        await self._refuse(stream_id, h2.errors.ErrorCodes.CANCEL)
        await self._drop_stream(stream_id)

    async def _flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self.budget.sent(data)
            await self.send(RawData(data))

    def _stop_timer(self, stream_id: int) -> None:
        if timer := self.stalls.pop(stream_id, None):
            timer.cancel()

    def _stop_timers(self) -> None:
        for stream_id in list(self.stalls):
            self._stop_timer(stream_id)


def _readable(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return True if Hypercorn can handle a request with these headers: for a page or a websocket,
    not for a tunnel."""
    fields = dict(headers)
    method, path = fields.get(b":method", b""), fields.get(b":path", b"")
    if method == b"CONNECT" and fields.get(b":protocol") != b"websocket":
        return False
    if not _METHOD.fullmatch(method) or not path.isascii():
        return False
    return path.startswith(b"/") or (method == b"OPTIONS" and path == b"*")
