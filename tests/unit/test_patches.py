"""What the patches of Hypercorn rely on: these tests fail when Hypercorn or h11 changes it."""

import asyncio
import inspect
from importlib.metadata import version
from types import SimpleNamespace

import h2.connection
import h11
import hypercorn.protocol
import hypercorn.protocol.h2
import hypercorn.protocol.h11
import pytest
import wsproto.connection
from h11._receivebuffer import ReceiveBuffer
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import AsyncioSingleTask, WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, Handshake, WebsocketBuffer, WSStream
from hypercorn.typing import ConnectionState

from chat.bridge import ServerSettings
from chat.bridge.connection import Connection, IdleTimer
from chat.bridge.handshake import WebSocketHandshake
from chat.bridge.http1 import HTTP1
from chat.bridge.http2 import HTTP2, SendBuffer
from chat.bridge.patches import install
from chat.bridge.server import _settings
from chat.bridge.strict_h11 import StrictBuffer, StrictConnection
from chat.bridge.websocket import TRANSPORT
from chat.bridge.websocket_input import WebSocketInput
from chat.bridge.websocket_output import WebSocketOutput
from chat.bridge.websocket_stream import WebSocketStream

HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


OWN_METHODS = """
    _answer _app_ended _break_cycles _check_silence _close_frame _closing _connection_ended
    _cancel _disconnect _drop_stream _end_of_input _fail _finish _finish_h2 _forget _go_away
    _handle_one _is_between_requests _message _open _ping _put _receive _refuse _request
    _send_message _send_some _serve_get _start_timer _stop_timer _stop_timers _take_pong
    _whole_text abort cancel close deflates direct_writer end end_if_idle receive_data write
"""


class RecordingTransport:
    """A transport that keeps what it is given."""

    def __init__(self):
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def get_write_buffer_size(self):
        return 0

    def get_extra_info(self, name):
        return None


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_hypercorn_version():
    """The patches are written against this minor version; read its changes before going on."""
    assert version("hypercorn").startswith("0.18.")


def test_names_to_replace():
    """The six names exist where Hypercorn looks them up, and are replaced."""
    install()
    assert hypercorn.protocol.ws_stream.Handshake is WebSocketHandshake
    assert hypercorn.protocol.h2.StreamBuffer is SendBuffer
    for module, name in [
        (WSStream.handle, "Handshake"),
        (hypercorn.protocol.h11.H11Protocol._create_stream, "WSStream"),
        (hypercorn.protocol.h2.H2Protocol._create_stream, "WSStream"),
        (hypercorn.protocol.h2.H2Protocol._create_stream, "StreamBuffer"),
        (hypercorn.protocol.ProtocolWrapper, "H11Protocol"),
        (hypercorn.protocol.ProtocolWrapper, "H2Protocol"),
    ]:
        assert f"{name}(" in inspect.getsource(module)


@pytest.mark.parametrize(
    ("module", "name", "ours", "theirs"),
    [
        (hypercorn.protocol, "H11Protocol", HTTP1, H11Protocol),
        (hypercorn.protocol, "H2Protocol", HTTP2, H2Protocol),
        (hypercorn.protocol.h11, "WSStream", WebSocketStream, WSStream),
        (hypercorn.protocol.h2, "WSStream", WebSocketStream, WSStream),
    ],
)
def test_only_servers_with_our_settings_get_our_classes(module, name, ours, theirs):
    """Another Hypercorn server in the same process runs as before."""

    class Sender:  # where our stream looks for the transport
        writer = SimpleNamespace(transport=None)

        async def send(self, event):
            pass

    class Protocol:
        send = Sender().send

        async def stream_send(self, event):
            pass

    def made(config):
        context, send = WorkerContext(None), Protocol().stream_send
        if theirs is WSStream:
            return getattr(module, name)(None, config, context, None, False, None, None, send, 1)
        state = ConnectionState({})
        return getattr(module, name)(None, config, context, None, state, False, None, None, send)

    async def types():
        install()
        return type(made(ServerSettings())), type(made(Config()))

    assert asyncio.run(types()) == (ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (WebSocketStream, WSStream),
        (WebSocketInput, WSStream),
        (WebSocketOutput, WSStream),
        (WebSocketHandshake, Handshake),
        (SendBuffer, StreamBuffer),
        (HTTP1, H11Protocol),
        (HTTP2, H2Protocol),
        (Connection, TCPServer),
    ],
)
def test_methods_that_are_overridden(ours, theirs):
    """Every private method we override exists, with the same parameters."""
    # Ours alone; a name that is in Hypercorn too would be overridden by accident.
    own = set(OWN_METHODS.split())
    for name, method in vars(ours).items():
        if not inspect.isfunction(method) or parameters(method)[1:2] == ["args"]:
            continue  # it passes on whatever Hypercorn gives it
        if name in own:
            assert not hasattr(theirs, name), name
        else:
            assert parameters(method) == parameters(getattr(theirs, name)), name


def test_names_that_are_used():
    """What we call and read is there."""
    assert {"HANDSHAKE", "CONNECTED", "CLOSED", "HTTPCLOSED"} <= set(ASGIWebsocketState.__members__)
    assert parameters(H2Protocol._close_stream) == ["self", "stream_id"]
    assert parameters(H2Protocol._window_updated) == ["self", "stream_id"]
    assert parameters(H2Protocol._flush) == ["self"]
    assert parameters(TCPServer._initiate_server_close) == ["self"]
    for name in "restart", "stop":
        theirs = len(parameters(getattr(AsyncioSingleTask, name)))
        assert len(parameters(getattr(IdleTimer, name))) == theirs
    assert {"_paused", "_is_empty", "buffer"} <= set(vars(StreamBuffer(WorkerContext.event_class)))
    assert {"length", "value"} <= set(vars(WebsocketBuffer(1)))
    decoder = wsproto.connection.Connection(wsproto.connection.ConnectionType.SERVER)._proto
    assert decoder._frame_decoder.header is None
    assert decoder._frame_decoder.buffer.buffer == b""
    handshake = Handshake([(b"sec-websocket-extensions", b"permessage-deflate")], "1.1")
    assert handshake.extensions == ["permessage-deflate"]
    assert handshake.version is None


def test_h11_reads_lines_where_we_look_at_them():
    """h11 takes each line from the buffer that StrictConnection puts in its place."""
    readers = inspect.getsource(h11._readers)
    assert readers.count("buf.maybe_extract_lines()") == 3  # a request, trailers, (a response)
    assert readers.count("buf.maybe_extract_next_line()") == 1  # a chunk
    theirs = vars(h11.Connection(h11.SERVER)).keys()
    assert theirs == vars(StrictConnection(1)).keys(), "_receive_buffer among them"
    names = {"_data", "_multiple_lines_search"}
    assert names <= vars(ReceiveBuffer()).keys()
    assert parameters(ReceiveBuffer._extract) == ["self", "count"]
    for name in "maybe_extract_lines", "maybe_extract_next_line":
        assert parameters(getattr(ReceiveBuffer, name)) == ["self"]
        assert name in vars(StrictBuffer)


def test_no_extension_without_an_offer():
    """With the offer taken away Hypercorn negotiates nothing by itself."""
    handshake = Handshake([(b"sec-websocket-extensions", b"permessage-deflate")], "1.1")
    handshake.extensions = None
    _, headers, _ = handshake.accept(None, [])
    assert b"sec-websocket-extensions" not in dict(headers)


def test_settings_exist_in_hypercorn():
    """Every setting of Hypercorn's that we choose is still one."""
    ours = {"direct_writes", "websocket_pong_timeout", "websocket_close_timeout"}
    ours |= {"websocket_linger", "h2c", "http2_stall_timeout", "added_headers"}
    ours |= {"handshake_headers"}
    base = ServerSettings.__mro__[1]
    for name in vars(ServerSettings):
        if not name.startswith("_"):
            assert hasattr(base, name) is (name not in ours), name


def test_unknown_setting():
    """A setting that does not exist is refused."""
    with pytest.raises(TypeError, match="websocket_pings"):
        _settings({"websocket_pings": 1})


def test_handshake_reaches_the_transport():
    """A handshake given to Hypercorn makes our stream, which finds its transport and accepts."""

    async def app(scope, receive, send, *rest):
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        transport = scope["extensions"][TRANSPORT]
        assert transport.write(b"\x81\x02hi") >= 0
        transport.close(4000, "")
        assert transport.write(b"\x81\x02no") == -1
        assert (await receive())["code"] == 4000

    async def handshake():
        install()
        reader, transport = asyncio.StreamReader(), RecordingTransport()
        protocol = asyncio.StreamReaderProtocol(reader)
        writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        loop, context = asyncio.get_running_loop(), WorkerContext(None)
        server = Connection(
            app, loop, ServerSettings(), context, {}, reader, writer, registry=set()
        )
        async with hypercorn.asyncio.tcp_server.TaskGroup(loop) as tasks:
            server.protocol = H11Protocol(
                app, ServerSettings(), context, tasks, ConnectionState({}), False, None, None,
                server.protocol_send,
            )  # fmt: skip
            server._task_group = tasks
            await server.protocol.handle(hypercorn.events.RawData(HANDSHAKE))
            assert isinstance(server.protocol.stream, WebSocketStream)
            stream = server.protocol.stream
        stream._stop_timer()
        writer.close()
        return transport.written

    written = asyncio.run(handshake())
    head, _, frames = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert frames == b"\x81\x02hi\x88\x02\x0f\xa0"


def test_h2_offers_extended_connect():
    """Hypercorn still announces websockets over HTTP/2."""
    assert "ENABLE_CONNECT_PROTOCOL: 1" in inspect.getsource(H2Protocol.__init__)
    assert hasattr(h2.connection.H2Connection, "reset_stream")
