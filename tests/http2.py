"""A client of HTTP/2 for tests: requests and websockets (RFC 8441) that share one connection.

A socket is used like one of library `websockets`: `recv` and `send` raise ConnectionClosed, whose
`rcvd` has the code the server closed with, None where the stream or the connection was cut.

    line = await H2Line.open(port)
    socket = await line.socket("/live", origin=f"http://127.0.0.1:{port}", cookie=cookie)
    status, headers, body = await line.request("GET", "/")
"""

import asyncio
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Message, Ping, Pong, TextMessage

WINDOW_BYTES = 1 << 20  # of a stream, and of the connection, that the client takes unread
DEADLINE = 30.0  # seconds for any answer


class H2Refused(OSError):
    """A websocket that was not accepted; `status` says why, 0 where the stream was reset."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}")
        self.status = status


class H2Line(asyncio.Protocol):
    """One connection. Make it with `open`; `over` is set when it has ended. `goes_away` is true
    once the server has said that it takes no new streams (GOAWAY)."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.streams: dict[int, Any] = {}
        self.over = asyncio.Event()
        self.ready = asyncio.Event()
        self.goes_away = False
        self.transport: Any = None

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", ssl: Any = None) -> "H2Line":
        """A connection to a server that takes HTTP/2 without asking first (CHAT_H2C), or, with an
        SSL context that offers h2, over TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(cls, host, port, ssl=ssl)
        async with asyncio.timeout(DEADLINE):
            await line.ready.wait()
        if line.over.is_set():
            raise ConnectionError("the server speaks no HTTP/2")
        return line

    def cut(self) -> None:
        """End the connection as a broken network does."""
        self.transport.abort()

    async def socket(self, path: str, *, reads: bool = True, **headers: str) -> "H2Socket":
        """A websocket on a stream of its own; raises H2Refused. With `reads` False the client opens
        no window for what it has got (`H2Socket.read_on`)."""
        made = H2Socket(self, self._stream(), reads)
        self.streams[made.stream] = made
        pseudo = {"method": "CONNECT", "protocol": "websocket", "scheme": "http"}
        self._head(made.stream, pseudo, path, {"sec-websocket-version": "13", **headers})
        async with asyncio.timeout(DEADLINE):
            await made.answered.wait()
        if made.status != 200:
            raise H2Refused(made.status)
        return made

    async def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer. Raises OSError when it does not come whole."""
        made = H2Request(self, self._stream())
        self.streams[made.stream] = made
        self._head(made.stream, {"method": method, "scheme": "http"}, path, headers, not body)
        if body:  # which fits into the window
            self.h2.send_data(made.stream, body, end_stream=True)
            self.flush()
        async with asyncio.timeout(DEADLINE):
            await made.ended.wait()
        if not made.whole:
            raise ConnectionError("the answer was cut off")
        return made.status, made.headers, bytes(made.body)

    def flush(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())

    def _stream(self) -> int:
        if self.over.is_set():
            raise ConnectionError("the connection has ended")
        return int(self.h2.get_next_available_stream_id())

    def _head(
        self,
        stream: int,
        pseudo: dict[str, str],
        path: str,
        headers: dict[str, str],
        end: bool = False,
    ) -> None:
        host, port = self.transport.get_extra_info("peername")[:2]
        pseudo = {**pseudo, "path": path, "authority": f"{host}:{port}"}
        fields = [(f":{name}", value) for name, value in pseudo.items()]
        fields += [(name.replace("_", "-").lower(), value) for name, value in headers.items()]
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()

    # What the transport tells

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        self.h2.increment_flow_control_window(64 * WINDOW_BYTES)
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.cut()
            return
        for event in events:
            self._take(event)
        self.flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.ready.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goes_away = True
        elif stream := self.streams.get(getattr(event, "stream_id", None) or 0):
            stream.take(event)

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set()
        self.ready.set()
        for stream in list(self.streams.values()):
            stream.lost()


class H2Request:
    def __init__(self, line: H2Line, stream: int) -> None:
        self.line, self.stream = line, stream
        self.status, self.headers, self.body = 0, dict[str, str](), bytearray()
        self.whole = False
        self.ended = asyncio.Event()

    def take(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.headers = dict(event.headers)
            self.status = int(self.headers.pop(":status"))
        elif isinstance(event, h2.events.DataReceived):
            self.body += event.data
            size = event.flow_controlled_length
            self.line.h2.acknowledge_received_data(size, self.stream)
        elif isinstance(event, h2.events.StreamEnded):
            self.whole = True
            self.lost()
        elif isinstance(event, h2.events.StreamReset):
            self.lost()

    def lost(self) -> None:
        self.line.streams.pop(self.stream, None)
        self.ended.set()


class H2Socket:
    """A websocket on one stream. `answers`: pings are answered. `pings` counts them."""

    def __init__(self, line: H2Line, stream: int, reads: bool) -> None:
        self.line, self.stream, self.reads = line, stream, reads
        self.answers = True
        self.pings = 0
        self.unread = 0  # bytes for which no window was opened yet
        self.late = 0  # bytes behind the end of the websocket, where there should be none
        self.status = 0
        self.answered = asyncio.Event()
        self.closed: Close | None = None  # how the server closed it
        self.messages = asyncio.Queue[str | None]()  # None: there will be no more
        self.frames = Connection(ConnectionType.CLIENT)
        self.text = ""  # of a message that is not whole yet
        self.room = asyncio.Event()  # set when the server opens a window

    @property
    def transport(self) -> "H2Socket":
        """As a socket of `websockets` has one: to close it cuts this stream only."""
        return self

    async def recv(self) -> str:
        """The next message; raises ConnectionClosed."""
        text = await self.messages.get()
        if text is None:
            self.messages.put_nowait(None)
            raise ConnectionClosedError(self.closed, None)
        return text

    async def send(self, text: str) -> None:
        """Waits while the server opens no window; raises ConnectionClosed."""
        if self.frames.state is not ConnectionState.OPEN or not self._is_there:
            raise ConnectionClosedError(self.closed, None)
        left = self.frames.send(TextMessage(data=text))
        while left:
            if not self._is_there:
                raise ConnectionClosedError(self.closed, None)
            window = self.line.h2.local_flow_control_window(self.stream)
            size = min(len(left), window, self.line.h2.max_outbound_frame_size)
            if size:
                self.line.h2.send_data(self.stream, left[:size])
                self.line.flush()
                left = left[size:]
            else:
                self.room.clear()
                await self.room.wait()

    async def wait_closed(self) -> int:
        """Read to the end; returns the code, 1006 where the stream was cut."""
        while await self.messages.get() is not None:
            pass
        self.messages.put_nowait(None)
        return self.closed.code if self.closed else 1006

    def say_goodbye(self, code: int = 1000) -> None:
        """Begin to close it as a page that is left does."""
        if self.frames.state is ConnectionState.OPEN and self._is_there:
            self._write(self.frames.send(CloseConnection(code=code)))

    def close(self) -> None:
        """Reset the stream, as a browser does that goes on to another page."""
        if self._is_there:
            with suppress(h2.exceptions.ProtocolError):
                self.line.h2.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
            self.line.flush()
            self.lost()

    def read_on(self) -> None:
        """Read from now on."""
        self.reads = True
        if self.unread and self._is_there:
            self.line.h2.acknowledge_received_data(self.unread, self.stream)
            self.unread = 0
            self.line.flush()

    @property
    def _is_there(self) -> bool:
        return self.stream in self.line.streams

    def take(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.status = int(dict(event.headers)[":status"])
            self.answered.set()
        elif isinstance(event, h2.events.DataReceived):
            self.unread += event.flow_controlled_length
            if self.reads:
                self.read_on()
            if self.status == 200:
                self._hear(event.data)
        elif isinstance(event, h2.events.WindowUpdated):
            self.room.set()
        elif isinstance(event, h2.events.StreamReset):
            self.lost()
        elif isinstance(event, h2.events.StreamEnded):
            self._end()
            self.lost()

    def _hear(self, data: bytes) -> None:
        if self.frames.state is ConnectionState.CLOSED:
            self.late += len(data)
            return
        self.frames.receive_data(data)
        for event in self.frames.events():
            if isinstance(event, Message):
                self.text += str(event.data)
                if event.message_finished:
                    self.messages.put_nowait(self.text)
                    self.text = ""
            elif isinstance(event, Ping):
                self.pings += 1
                if self.answers:
                    self._write(self.frames.send(Pong(payload=event.payload)))
            elif isinstance(event, CloseConnection):
                self.closed = Close(event.code, event.reason or "")
                if self.frames.state is ConnectionState.REMOTE_CLOSING:
                    self._write(self.frames.send(event.response()))
                self._end()

    def _write(self, data: bytes) -> None:
        with suppress(h2.exceptions.ProtocolError):  # it has ended meanwhile
            self.line.h2.send_data(self.stream, data)
            self.line.flush()

    def _end(self) -> None:
        """Nothing follows from us either."""
        with suppress(h2.exceptions.ProtocolError):  # both sides have ended it
            self.line.h2.end_stream(self.stream)
            self.line.flush()

    def lost(self) -> None:
        self.line.streams.pop(self.stream, None)
        self.answered.set()
        self.room.set()
        self.messages.put_nowait(None)
