"""Websockets of pages: over HTTP/1.1, and over HTTP/2 without TLS (RFC 8441).

Both report when a ping was answered and how many messages had arrived before it, because the pong
confirms these messages.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.frames import Opcode
from wsproto.frame_protocol import FrameProtocol, ParseFailed
from wsproto.frame_protocol import Opcode as WsOpcode

Ponged = Callable[[int], None]  # called with how many messages had arrived before the ping

ABNORMAL = 1006
READ_BYTES = 65536


class Closed(Exception):
    """The socket is closed, with a code of RFC 6455."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"closed with {code}")


class _Counting(ClientConnection):
    """A connection that counts arrived messages."""

    ponged: Ponged = staticmethod(lambda count: None)
    arrived = 0

    def process_event(self, event: Any) -> None:
        super().process_event(event)
        opcode = getattr(event, "opcode", None)
        if opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) and event.fin:
            self.arrived += 1
        elif opcode is Opcode.PING:
            self.ponged(self.arrived)


class OverHttp1:
    """A socket over HTTP/1.1. `open` raises OSError when there is no connection, or no socket."""

    def __init__(self, connection: _Counting) -> None:
        self.connection = connection

    @classmethod
    async def open(cls, port: int, headers: dict[str, str], ponged: Ponged) -> "OverHttp1":
        try:
            connection: Any = await connect(
                f"ws://127.0.0.1:{port}/live",
                origin=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                close_timeout=0.5,
                max_queue=None,
                proxy=None,
                create_connection=_Counting,
            )
        except (InvalidHandshake, InvalidMessage) as error:
            raise OSError(str(error)) from error
        connection.ponged = ponged
        return cls(connection)

    async def send(self, text: str) -> None:
        """Send a message; raises Closed."""
        try:
            await self.connection.send(text)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def receive(self) -> str:
        """Return the next message; raises Closed."""
        try:
            return str(await self.connection.recv())
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    def abort(self) -> None:
        """End the connection at once."""
        self.connection.transport.abort()


def _closed(error: ConnectionClosed) -> Closed:
    return Closed(error.rcvd.code if error.rcvd else ABNORMAL)


class OverHttp2:
    """A socket that is a stream of an HTTP/2 connection of its own. `open` as above."""

    STREAM = 1

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ponged: Ponged
    ) -> None:
        self.reader, self.writer, self.ponged = reader, writer, ponged
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.http = h2.connection.H2Connection(config)
        self.frames = FrameProtocol(client=True, extensions=[])
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # a status
        self.messages: asyncio.Queue[str | None] = asyncio.Queue()  # None when there are no more
        self.code = ABNORMAL
        self.arrived = 0
        self.text = ""  # of a message that is not complete yet
        self.unsent = b""  # waits for the server to open its window
        self.reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, port: int, headers: dict[str, str], ponged: Ponged) -> "OverHttp2":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        socket = cls(reader, writer, ponged)
        try:
            await socket._shake_hands(port, headers)
        except BaseException:
            socket.abort()
            raise
        return socket

    async def _shake_hands(self, port: int, headers: dict[str, str]) -> None:
        self.http.initiate_connection()
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/live"),
            (":authority", f"127.0.0.1:{port}"),
            ("origin", f"http://127.0.0.1:{port}"),
            ("sec-websocket-version", "13"),
            *((name.lower(), value) for name, value in headers.items()),
        ]
        self.http.send_headers(self.STREAM, fields)
        self._flush()
        self.reading = asyncio.create_task(self._read())
        status = await self.answer
        if status != "200":
            raise OSError(f"the response to CONNECT is {status}")

    async def send(self, text: str) -> None:
        """Send a message; raises Closed."""
        if self.writer.is_closing() or (self.reading and self.reading.done()):
            raise Closed(self.code)
        self.unsent += self.frames.send_data(text, True)
        self._flush()

    async def receive(self) -> str:
        """Return the next message; raises Closed."""
        text = await self.messages.get()
        if text is None:
            self.messages.put_nowait(None)
            raise Closed(self.code)
        return text

    def abort(self) -> None:
        """End the connection at once."""
        if self.reading:
            self.reading.cancel()
        self.writer.transport.abort()

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(READ_BYTES):
                for event in self.http.receive_data(data):
                    self._take(event)
                self._flush()
        except (OSError, h2.exceptions.ProtocolError, ParseFailed):
            pass
        finally:
            if not self.answer.done():
                self.answer.set_result("none")
            self.messages.put_nowait(None)
            self.writer.transport.abort()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived) and not self.answer.done():
            self.answer.set_result(dict(event.headers).get(":status", ""))
        elif isinstance(event, h2.events.DataReceived):
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.frames.receive_bytes(event.data)
            for frame in self.frames.received_frames():
                self._take_frame(frame)
        elif isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
            self.writer.transport.abort()

    def _take_frame(self, frame: Any) -> None:
        if frame.opcode is WsOpcode.PING:
            self.unsent += self.frames.pong(bytes(frame.payload))
            self.ponged(self.arrived)
        elif frame.opcode is WsOpcode.CLOSE:
            self.code = frame.payload[0]
            self.writer.transport.abort()
        elif frame.opcode in (WsOpcode.TEXT, WsOpcode.CONTINUATION):
            self.text += frame.payload
            if frame.message_finished:
                self.arrived += 1
                self.messages.put_nowait(self.text)
                self.text = ""

    def _flush(self) -> None:
        """Write as much as the server accepts now."""
        while self.unsent:
            size = min(
                len(self.unsent),
                self.http.local_flow_control_window(self.STREAM),
                self.http.max_outbound_frame_size,
            )
            if size <= 0:
                break
            self.http.send_data(self.STREAM, self.unsent[:size])
            self.unsent = self.unsent[size:]
        if data := self.http.data_to_send():
            self.writer.write(data)


async def discard(socket: OverHttp1 | OverHttp2, text: str) -> None:
    """Send a message to a socket that may be closed."""
    with suppress(Closed):
        await socket.send(text)
