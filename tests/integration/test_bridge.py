"""The bridge over real sockets: Hypercorn in a process of its own, on both event loops."""

import asyncio
import gc
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx
import pytest
import websockets.asyncio.client
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.worker_context import WorkerContext
from websockets.exceptions import ConnectionClosed
from wsproto.frame_protocol import FrameProtocol

from chat.bridge import ServerSettings, patches
from chat.bridge.connection import Connection

from .bridge_client import (
    BINARY,
    CLOSE,
    H2,
    PING,
    PONG,
    ROOT,
    TEXT,
    Raw,
    Server,
    assert_calm,
    close_frame,
    frame,
    until,
)

LOOPS = ["asyncio", "uvloop"]
SIZES = (0, 125, 126, 65535, 65536)
# Short enough that a test can wait for each of them to pass.
QUICK = {
    "websocket_ping_interval": 0.2,
    "websocket_pong_timeout": 0.3,
    "websocket_close_timeout": 0.4,
    "websocket_linger": 0.4,
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module", params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture(scope="module")
def server(loop, logs):
    server = Server(loop, logs / f"{loop}.log", h2c=True)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="module")
def quick(loop, logs):
    """A server with short times, without the direct path."""
    server = Server(loop, logs / f"{loop}-quick.log", direct_writes=False, h2c=True, **QUICK)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="module")
def plain(loop, logs):
    """A server without the direct path."""
    server = Server(loop, logs / f"{loop}-plain.log", direct_writes=False)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(params=["direct", "plain"])
def either(request, server, plain):
    """A server with the direct path, and one without."""
    return server if request.param == "direct" else plain


@pytest.fixture
def start(loop, logs):
    """Start a server of one's own."""
    with ExitStack() as stack:

        def start(**options):
            server = Server(loop, logs / f"{loop}-{time.monotonic_ns()}.log", **options)
            stack.callback(server.close)
            return server

        yield start


# HTTP


def test_get_and_post(server):
    """A page and a posted body go through on one connection."""
    assert server.http.get("/").text == "hello"
    assert server.http.post("/length", content=b"x" * 90_000).text == "90000"


def test_chunked_post(server):
    """A body of unknown length is read as it comes."""
    assert server.http.post("/length", content=(b"x" * 1000 for _ in range(50))).text == "50000"


def test_body_of_the_largest_size(server):
    """The limit itself is allowed, declared or not."""
    assert server.http.post("/length", content=b"x" * 100_000).text == "100000"
    chunks = (b"x" * 10_000 for _ in range(10))
    assert server.http.post("/length", content=chunks).text == "100000"


def test_head(server):
    """HEAD has the headers of GET and no body, and the connection goes on."""
    response = server.http.head("/")
    assert (response.status_code, response.headers["content-length"]) == (200, "5")
    assert server.http.get("/").text == "hello"


@pytest.mark.parametrize("code", [204, 304])
def test_status_without_body(server, code):
    """204 and 304 have no body."""
    response = server.http.get(f"/status/{code}")
    assert (response.status_code, response.content) == (code, b"")


def test_file(server):
    """A file comes whole, dated once, and not again when its ETag is known."""
    response = server.http.get("/file")
    assert response.content == b"0123456789" * 20_000
    assert len(response.headers.get_list("date")) == 1
    again = server.http.get("/file", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_error_page_without_trace(server):
    """An exception is a plain 500 outside and a traceback in the log."""
    response = server.http.get("/fail")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret detail" in server.log.read_text()


def test_error_in_streamed_response(server):
    """A response that fails half way does not look complete."""
    with pytest.raises(httpx.RemoteProtocolError):
        server.http.get("/fail-later")


def test_declared_body_too_large(server):
    """A body declared too large gets 413, even if it never comes."""
    with Raw(server) as client:
        client.request("POST", "/length", ["Content-Length: 100001"])
        assert client.response()[0] == 413


def test_body_too_large_is_read_on(server):
    """A client that first sends its large body and then reads gets to see the 413."""
    for content in (b"x" * 300_000, (b"x" * 10_000 for _ in range(30))):
        response = server.http.post("/length", content=content)
        assert response.status_code == 413
    assert server.http.get("/").text == "hello"


def test_endless_body(server):
    """A body without end is cut off; the server stays as it was."""
    chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
    with Raw(server) as client:
        client.request("POST", "/length", ["Transfer-Encoding: chunked"])
        with pytest.raises(ConnectionError):
            client.send(chunk * 10_000)
    assert server.http.get("/").text == "hello"


def test_unread_body(server):
    """A view that does not look at its body leaves the connection usable."""
    assert server.http.post("/unread", content=b"x" * 90_000).text == "did not look"
    assert server.http.post("/unread", content=b"x" * 300_000).text == "did not look"
    assert server.http.get("/").text == "hello"


def test_client_leaves_within_its_body(server):
    """Half a body and then nothing ends the request."""
    with Raw(server) as client:
        client.request("POST", "/length", ["Content-Length: 1000"], b"x" * 10)
    assert server.http.get("/").text == "hello"
    assert "LocalProtocolError" not in server.log.read_text()


def test_stream_arrives_as_produced(server):
    """Each chunk of a streamed response arrives before the next one is asked for."""
    with server.http.stream("GET", "/stream") as response:
        chunks = response.iter_text()
        assert next(chunks) == "first"
        for _ in range(3):
            server_side = httpx.post(f"{server.http.base_url}/go-on")
            assert server_side.status_code == 204
            assert next(chunks) == "next"


def test_stream_closed_when_the_client_leaves(server):
    """A generator waiting in `await_` runs its `finally` when the client leaves."""
    before = server.events().count("stream closed")
    with Raw(server) as client:
        client.request("GET", "/stream")
        assert client.response()[0] == 200
    server.wait_for("stream closed", before + 1)


def test_stream_closed_when_nobody_reads(server):
    """A generator held up by a client that does not read ends when that client leaves."""
    before = server.events().count("flood closed")
    with Raw(server, buffer=4096) as client:
        client.request("GET", "/flood")
        assert client.response()[0] == 200
        assert server.rss() < 200
    server.wait_for("flood closed", before + 1)


def test_header_hygiene(server):
    """Names with an underscore and `Proxy` are dropped, repeated headers joined."""
    with Raw(server) as client:
        client.request(
            "GET",
            "/environ?a=%20b",
            [
                "X_Forwarded_For: 6.6.6.6",
                "X-Forwarded-For: 1.1.1.1",
                "X-Forwarded-For: 2.2.2.2",
                "Proxy: evil",
                "Cookie: a=1",
                "Cookie: b=2",
                "Content_Length: 7",
            ],
        )
        _, headers = client.response()
        environ = json.loads(client.take(int(headers["content-length"])))
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1,2.2.2.2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["QUERY_STRING"] == "a=%20b"
    assert "HTTP_PROXY" not in environ
    assert "CONTENT_LENGTH" not in environ


def test_path_is_decoded_once(server):
    """PATH_INFO holds the bytes of the path, decoded once."""
    assert server.http.get("/nope/%C3%A9").status_code == 404
    assert server.http.get("/%65nviron").json()["PATH_INFO"] == "/environ"
    assert server.http.get("/%2565nviron").status_code == 404


def test_headers_too_large(server):
    """More than 8 KiB of headers is 431, for pages and for websockets."""
    assert server.http.get("/", headers={"X-Large": "x" * 9000}).status_code == 431
    with Raw(server) as client:
        assert client.handshake("/echo", [f"X-Large: {'x' * 9000}"])[0] == 431


def test_http2(server):
    """HTTP/2 with prior knowledge works, bodies and refusals included."""
    base = str(server.http.base_url)
    with httpx.Client(base_url=base, http1=False, http2=True) as client:
        response = client.get("/")
        assert (response.http_version, response.text) == ("HTTP/2", "hello")
        assert client.post("/length", content=b"x" * 90_000).text == "90000"
        assert client.post("/length", content=b"x" * 100_001).status_code == 413
        assert client.post("/unread", content=b"x" * 90_000).text == "did not look"
        assert client.head("/").content == b""
        assert client.get("/").text == "hello"


def test_http2_body_that_goes_on(server):
    """A client that sends on after its answer has its stream reset, and only that."""
    with H2(server) as client:
        client.request("POST", "/length")
        with suppress(h2.exceptions.ProtocolError):
            while not client.reset:
                if window := client.h2.local_flow_control_window(client.stream):
                    client.send(bytes(min(window, 16384)))
                else:
                    client.pump()
        assert client.status == 413
        assert client.get("/") == b"hello"


def test_http2_tunnel(server):
    """CONNECT for anything but a websocket is refused, and the connection goes on."""
    with H2(server) as client:
        client.h2.send_headers(client.stream, [(":method", "CONNECT"), (":authority", "test")])
        client.flush()
        client.until(lambda: client.reset)
        assert client.get("/") == b"hello"


def test_no_upgrade_to_http2(server):
    """`Upgrade: h2c` is ignored."""
    with Raw(server) as client:
        upgrade = [
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
        ]
        client.request("GET", "/", upgrade)
        assert client.response()[0] == 200


# Websockets


def test_echo(either):
    """Text and binary messages come back as they were."""
    with either.socket("/echo") as ws:
        for message in ("hello", "grüße 😀", "", b"\x00\xff", "x" * 200_000):
            ws.send(message)
            assert ws.recv() == message


def test_echo_over_http2(server):
    """A websocket over HTTP/2 (RFC 8441) works beside plain requests."""
    with H2(server) as client:
        assert client.open("/echo") == 200
        client.send(frame(TEXT, b"hello"))
        client.until(lambda: client.data == b"\x81\x05hello")
        client.send(close_frame(4001, "bye") + frame(TEXT, b"ignored"))
        client.until(lambda: client.ended)
        assert client.data.endswith(b"\x88\x05\x0f\xa1bye")
        client.send(b"", end=True)
        assert client.get("/") == b"hello"
    server.wait_for("closed 4001 bye")


def test_http2_stream_ended_without_close(server):
    """A client that ends its half of the stream without a Close frame is gone."""
    before = server.events().count("closed 1006 ")
    with H2(server) as client:
        client.open("/echo")
        client.send(b"", end=True)
        client.until(lambda: client.ended)
        assert client.get("/") == b"hello"
    server.wait_for("closed 1006 ", before + 1)


def test_http2_refusal(server):
    """A refused handshake over HTTP/2 leaves the connection to the others."""
    with H2(server) as client:
        assert client.open("/nope") == 404
        client.send(b"", end=True)
        assert client.get("/") == b"hello"


def test_http2_reset_of_a_silent_stream(quick):
    """A websocket over HTTP/2 whose client never answers pings is reset; the others go on."""
    with H2(quick) as client:
        client.open("/echo")
        client.until(lambda: client.reset)
        assert client.get("/") == b"hello"
    assert "Traceback" not in quick.log.read_text()


def test_http2_slow_reader(quick):
    """A client that opens no window is closed with 1013, and reset when it does not answer."""
    before, count = quick.rss(), quick.events().count("full False")
    with H2(quick) as client:
        client.open("/full")
        quick.wait_for("full False", count + 1)
        client.until(lambda: client.ended or client.reset)
    assert quick.rss() - before < 10


def test_http2_stream_that_nobody_reads(server):
    """A streamed response over HTTP/2 waits for the client, and ends when it leaves."""
    before, count = server.rss(), server.events().count("flood closed")
    with H2(server) as client:
        client.request("GET", "/flood", end=True)
        client.until(lambda: client.status == 200)
        for _ in range(100):
            server.events()
        assert server.rss() - before < 10
    server.wait_for("flood closed", count + 1)


@pytest.mark.parametrize(
    ("path", "headers", "status", "body"),
    [("/echo", ["X-Refuse: 1"], 403, b"not you"), ("/nope", [], 404, b"Not Found")],
)
def test_refused_handshake(server, path, headers, status, body):
    """What Flask answers before the route is entered refuses the handshake, body and all."""
    with Raw(server) as client:
        answer, fields = client.handshake(path, headers)
        assert answer == status
        assert body in client.take(int(fields["content-length"]))
        assert client.at_end()


def test_handshake_of_another_version(server):
    """Another version is answered with ours, and the connection ends."""
    with Raw(server) as client:
        status, headers = client.handshake("/echo", version=8)
        assert (status, headers["sec-websocket-version"]) == (426, "13")
        assert client.at_end()


def test_frames_before_the_answer(either):
    """A client that does not wait for the answer to its handshake is refused."""
    with Raw(either) as client:
        client.send(b"")
        key = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", key, "Sec-WebSocket-Version: 13"]
        client.request("GET", "/echo", upgrade, frame(TEXT, b"early"))
        assert client.response()[0] == 400
        assert client.at_end()


def test_plain_request_for_a_websocket(server):
    """A plain request for a websocket's address is refused by Werkzeug."""
    assert server.http.get("/echo").status_code == 400


def test_client_close_code(either):
    """The route learns the client's code and reason; the client gets its code back."""
    with either.socket("/echo") as ws:
        ws.close(4321, "enough")
        assert ws.close_code == 4321
    either.wait_for("closed 4321 enough")


def test_client_close_without_code(either):
    """A Close frame without a code is 1005 for the route."""
    with Raw(either) as client:
        client.handshake("/echo")
        client.send_frame(CLOSE)
        assert client.recv_frame() == (CLOSE, b"")
        assert client.at_end()
    either.wait_for("closed 1005 ")


def test_client_gone(either):
    """A connection that ends without a Close frame is 1006 for the route."""
    before = either.events().count("closed 1006 ")
    with Raw(either) as client:
        client.handshake("/echo")
    either.wait_for("closed 1006 ", before + 1)


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/close/4001", 4001, "done"),
        ("/return", 1000, ""),
        ("/ignore", 1000, ""),
        ("/pushes", 4000, "that was all"),
        ("/fail-socket", 1011, ""),
    ],
)
def test_server_close_code(either, path, code, reason):
    """The client learns how the route ended."""
    with either.socket(path) as ws:
        with suppress(ConnectionClosed):
            ws.send("hello")
            while True:
                ws.recv(timeout=5)
        assert (ws.close_code, ws.close_reason) == (code, reason)


def test_messages_before_close_arrive(either):
    """What was sent just before the Close frame is received first, more than fits the intake."""
    with Raw(either) as client:
        client.handshake("/echo")
        client.send(b"".join(frame(TEXT, b"%d" % i) for i in range(50)) + close_frame(4002))
        for i in range(50):
            received = client.recv_frame()
            if received[0] == CLOSE:
                break
            assert received == (TEXT, b"%d" % i)
    either.wait_for("closed 4002 ")


def test_receive_timeout(either):
    """`receive` returns None when its time is up, and the message that comes later."""
    with either.socket("/timeout") as ws:
        assert ws.recv() == "None"
        ws.send("hello")
        assert ws.recv() == "'hello'"


def test_close_nowait(either):
    """`close_nowait` ends a route that is waiting in `receive`, with the code both sides see."""
    with either.socket("/echo") as ws:
        ws.send("here")
        ws.recv()
        either.http.post("/close-all/1008")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd.code == 1008
    either.wait_for("closed 1008 enough")


def test_what_is_handed_over_goes_on_without_its_request(either):
    with either.socket("/detach") as ws:
        for number, message in enumerate(["go", "stay", "stay", "go", "go"], 1):
            ws.send(message)
            assert ws.recv(timeout=5) == f"{number} {message} False"
    either.wait_for("handler closed 5")
    events = [event for event in either.events() if event.startswith(("handler", "request"))]
    assert events[-3:] == ["request ended", "handler opened", "handler closed 5"]


@pytest.mark.parametrize(
    ("messages", "code", "heard"),
    [(["close", "more"], 4000, 1), (["stay", "close", "more"], 4000, 2), (["go", "fail"], 1011, 2)],
)
def test_what_was_handed_over_is_closed(either, messages, code, heard):
    closed = either.events().count(f"handler closed {heard}")
    with either.socket("/detach") as ws:
        with suppress(ConnectionClosed):  # by now, or later
            for message in messages:
                ws.send(message)
            for _ in ws:
                pass  # what was said before
        assert ws.close_code == code
    either.wait_for(f"handler closed {heard}", closed + 1)


def test_what_was_pushed_before_close_nowait_arrives(either):
    with either.socket("/last-words") as ws:
        assert [ws.recv(timeout=5) for _ in range(3)] == ["this", "is", "all"]
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "enough")


@pytest.mark.parametrize("compression", ["deflate", None])
def test_push(either, compression):
    """Pushed frames of every size arrive whole and in order, directly and over plain ASGI,
    compressed and not."""
    with either.socket("/pushes", compression=compression) as ws:
        expected = ["é" * (size // 2) + "x" * (size % 2) for size in SIZES]
        for message in ["before", *expected, "after"]:
            assert ws.recv(timeout=5) == message


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_pushes_between_pongs_and_a_close(either, compression):
    """Frames of ours and those of the server's come whole, one after the other."""
    texts = ["é" * (size // 2) + "x" * (size % 2) for size in SIZES for _ in range(2)]
    with either.socket("/mirror", compression=compression) as ws:
        pongs = []
        for text in texts:
            ws.send(text)
            pongs.append(ws.ping())
        assert [ws.recv(timeout=10) for _ in texts] == texts
        assert all(pong.wait(10) for pong in pongs)
        ws.send(texts[-1])
        ws.close(4001)
        assert ws.close_code == 4001


def test_push_from_elsewhere(either):
    """A push from another request arrives among echoes and pings."""
    server = either
    with server.socket("/echo") as ws:
        ws.send("here")
        assert ws.recv() == "here"
        for i in range(5):
            pong = ws.ping()
            assert server.http.post("/push", content=f"news {i}").text == "1"
            ws.send(f"mine {i}")
            assert {ws.recv(timeout=5), ws.recv(timeout=5)} == {f"news {i}", f"mine {i}"}
            assert pong.wait(5)
    until(lambda: server.http.post("/push", content="nobody").text == "0")


DEFLATE = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]


def deflated(text):
    """What a client sends of a text, compressed."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


def test_a_compressed_frame_without_an_agreement_is_an_error(either):
    with Raw(either) as client:
        status, headers = client.handshake("/echo")
        assert status == 101
        assert "sec-websocket-extensions" not in headers
        client.send_frame(TEXT, deflated("hello"), rsv=4)
        assert client.recv_close() == 1002
        assert client.at_end()


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", True),
        ('permessage-deflate; server_max_window_bits="15"', True),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_no_context_takeover=1", False),
        ("permessage-deflate; client_max_window_bits=7", False),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", False),
        ("permessage-deflate; no_such_thing", False),
        ("x-webkit-deflate-frame", False),
    ],
)
def test_compression_is_agreed_to_only_without_memory(either, offer, agreed):
    """RFC 7692, section 7.1: what cannot be kept is declined; neither side may take over."""
    with Raw(either) as client:
        _, headers = client.handshake("/echo", [f"Sec-WebSocket-Extensions: {offer}"])
        terms = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert headers.get("sec-websocket-extensions") == (terms if agreed else None)


def test_what_a_client_compresses_is_read(either):
    """One frame or several, with pings between, compressed or not, each message for itself."""
    with Raw(either) as client:
        client.handshake("/echo", DEFLATE)
        whole = deflated("hello " * 1000)
        client.send_frame(TEXT, whole[:5], fin=False, rsv=4)
        client.send_frame(PING, b"between")
        client.send_frame(0, whole[5:])
        client.send_frame(TEXT, b"plain")
        client.send_frame(TEXT, deflated(""), rsv=4)
        answers = [client.recv_frame() for _ in range(4)]
        assert answers[0] == (10, b"between")
        assert answers[1:] == [(TEXT, b"hello " * 1000), (TEXT, b"plain"), (TEXT, b"")]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(PING, b"x", True, 4)], 1002),
        ([(TEXT, b"", False, 4), (0, b"", True, 4)], 1002),
        ([(TEXT, b"\xff\xff\xff", True, 4)], 1007),
        ([(TEXT, b"\xaa", True, 2)], 1002),
    ],
    ids=["control frame", "continuation", "no deflate stream", "reserved bit"],
)
def test_wrong_compression_ends_the_connection(either, frames, code):
    with Raw(either) as client:
        client.handshake("/echo", DEFLATE)
        for opcode, payload, fin, rsv in frames:
            client.send_frame(opcode, payload, fin=fin, rsv=rsv)
        assert client.recv_close() == code
        assert client.at_end()


def test_a_bomb_is_not_inflated(quick):
    """A hundred kilobytes that stand for a hundred megabytes end with 1009, unread."""
    before = quick.rss()
    bomb = deflated("x" * 100_000_000)
    for _ in range(5):
        with Raw(quick) as client:
            client.handshake("/echo", DEFLATE)
            client.send_frame(TEXT, bomb, rsv=4)
            assert client.recv_close() == 1009
    assert quick.rss() - before < 10


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that does not exist
        (b"\x81\x05hello", 1002),  # not masked
        (frame(0, b"x"), 1002),  # a continuation of nothing
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (close_frame(1006), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (close_frame(1000) + b"", 1000),
    ],
)
def test_protocol_errors(either, data, code):
    """Frames that break the rules are answered with the code that says which, then the end."""
    with Raw(either) as client:
        client.handshake("/echo")
        client.send(data)
        assert client.recv_close() == code
        assert client.at_end()


@pytest.mark.parametrize("path", ["/echo", "/mirror"])
def test_what_came_before_an_error_is_answered(either, path):
    """All in one segment: a message, one that breaks the rules, and one that comes too late."""
    with Raw(either) as client:
        client.handshake(path)
        late = frame(TEXT, b"too late")
        client.send(frame(TEXT, b"in time") + frame(TEXT, b"wrong", rsv=1) + late)
        assert client.recv_frame() == (TEXT, b"in time")
        assert client.recv_close() == 1002
        assert client.at_end()


def test_largest_message(either):
    """A message of the largest size comes back, in one frame or in fragments."""
    size = 256 * 1024
    with Raw(either) as client:
        client.handshake("/echo")
        client.send_frame(BINARY, bytes(size))
        assert client.recv_frame() == (BINARY, bytes(size))
        for i in range(4):
            client.send_frame(0 if i else BINARY, bytes(size // 4), fin=i == 3)
        assert client.recv_frame() == (BINARY, bytes(size))


def test_limit_counts_bytes(either):
    """The limit is in bytes, not in characters."""
    with Raw(either) as client:
        client.handshake("/echo")
        client.send_frame(TEXT, "é".encode() * (128 * 1024 + 1))
        assert client.recv_close() == 1009


def _one_frame():
    yield struct.pack("!BBQ", 0x82, 0x80 | 127, 240 << 20) + bytes(4)
    for _ in range(240):
        yield bytes(1 << 20)


def _fragments():
    yield frame(BINARY, bytes(65536), fin=False)
    fragment = frame(0, bytes(65536), fin=False)
    for _ in range(240 * 16):
        yield fragment


def _small_fragments():
    yield frame(TEXT, b"x", fin=False)
    fragments = (frame(0, b"", fin=False) + frame(0, bytes(100), fin=False)) * 1000
    for _ in range(240):
        yield fragments


@pytest.mark.parametrize("chunks", [_one_frame, _fragments, _small_fragments])
def test_message_too_large(quick, chunks):
    """A message without end is closed with 1009, and nothing of it is kept."""
    before = quick.rss()
    peak = before
    with Raw(quick) as client:
        client.handshake("/deaf")
        try:
            for chunk in chunks():
                client.send(chunk)
                peak = max(peak, quick.rss())
        except ConnectionError:
            pass
    assert peak - before < 10
    with Raw(quick) as client:
        client.handshake("/ignore")
    assert quick.http.get("/").text == "hello"


def test_message_too_large_code(either):
    """A client that reads learns that its message was too large."""
    with either.socket("/echo", max_size=None) as ws:
        ws.send("x" * (256 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd.code == 1009


def test_silent_client(quick):
    """A client that never answers a ping is cut off, and the route sees 1006."""
    before = quick.events().count("closed 1006 ")
    with Raw(quick) as client:
        client.handshake("/echo")
        assert client.recv_frame() == (PING, b"")
        assert client.at_end()
    quick.wait_for("closed 1006 ", before + 1)


def test_living_client(quick):
    """A client that answers pings stays, however little it says."""
    with Raw(quick) as client:
        client.handshake("/echo")
        for _ in range(5):
            assert client.recv_frame() == (PING, b"")
            client.send_frame(PONG)
        client.send_frame(TEXT, b"still here")
        assert client.recv_frame() == (TEXT, b"still here")


def test_ping_is_answered(either):
    """A ping is answered with its payload."""
    with Raw(either) as client:
        client.handshake("/echo")
        client.send_frame(PING, b"payload")
        assert client.recv_frame() == (PONG, b"payload")


def test_client_ignores_close(quick):
    """A client that does not answer our Close frame is cut off, even if it goes on sending."""
    with Raw(quick) as client:
        client.handshake("/return")
        assert client.recv_frame() == (TEXT, b"bye")
        assert client.recv_close() == 1000
        client.send(frame(TEXT, b"still talking") * 100)
        assert client.at_end()


def test_route_that_does_not_receive(quick):
    """A full intake holds up neither the end of the connection nor the route's end."""
    before = quick.events().count("deaf ended")
    with Raw(quick) as client:
        client.handshake("/deaf")
        client.send(frame(TEXT, b"unread") * 100)
        assert client.recv_frame() is not None
    quick.wait_for("deaf ended", before + 1)
    with Raw(quick) as client:
        client.handshake("/ignore")
        client.send(frame(TEXT, b"unread") * 100 + close_frame(1000))
        assert client.recv_close() == 1000
        assert client.at_end()


def test_slow_reader(either):
    """A client that does not read is closed with 1013; the others go on, memory is bounded."""
    server = either
    before, events = server.rss(), server.events().count("full False")
    with server.socket("/echo") as other, Raw(server, buffer=4096) as client:
        client.handshake("/full")
        server.wait_for("full False", events + 1)
        other.send("still fast")
        assert other.recv(timeout=5) == "still fast"
        if server.direct:
            opcode = TEXT
            while opcode == TEXT:
                opcode, payload = client.recv_frame()
            assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1013))
            client.send(close_frame(1013))
        assert client.at_end() or not server.direct
    assert server.rss() - before < 20


def test_thousand_handshakes(start):
    """A thousand clients that come at once all get in."""
    server = start()

    async def crowd():
        uri = f"ws://127.0.0.1:{server.port}/echo"
        options = {"proxy": None, "ping_interval": None, "open_timeout": 30, "compression": None}
        clients = await asyncio.gather(
            *(websockets.asyncio.client.connect(uri, **options) for _ in range(1000))
        )
        await clients[-1].send("all here")
        assert await clients[-1].recv() == "all here"
        for client in clients:
            client.transport.abort()
            await client.wait_closed()

    before = server.rss()
    asyncio.run(crowd())
    print(f"{server.rss() - before:.1f} MB for 1000 connections")


# Stopping


def test_stop(start):
    """SIGTERM closes sockets with 1012, ends streams, and leaves with 0 in time."""
    server = start()
    with ExitStack() as stack:
        sockets = [stack.enter_context(server.socket("/echo")) for _ in range(20)]
        response = stack.enter_context(server.http.stream("GET", "/stream"))
        chunks = response.iter_text()
        assert next(chunks) == "first"
        began = time.monotonic()
        server.terminate()
        for ws in sockets:
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=5)
            assert closed.value.rcvd.code == 1012
        assert list(chunks) == []
        code, printed = server.wait()
    assert (code, printed) == (0, "shut down\n")
    assert time.monotonic() - began < 5
    assert "Traceback" not in server.log.read_text()


def test_new_requests_while_stopping(start):
    """Nobody new comes in while the server is stopping; who is there is answered once more, but
    opens no socket."""
    server = start(drain=4)
    with Raw(server) as one, Raw(server) as other, Raw(server) as idle, Raw(server) as late:
        for ws in one, other:
            ws.handshake("/echo")
        for client in idle, late:
            client.request("GET", "/")
            client.response()
            assert client.take(5) == b"hello"
        server.terminate()
        # One of them is closed at once, and the other half way through.
        assert len(select.select([one.sock, other.sock], [], [], 1)[0]) == 1
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.http.base_url}/")
        idle.request("GET", "/")
        status, headers = idle.response()
        assert (status, headers["connection"]) == (200, "close")
        assert idle.take(5) == b"hello"
        assert idle.more() == b""
        status, headers = late.handshake("/echo")
        assert (status, headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(("name", "replaced"), [("SIGTERM", False), ("SIGHUP", True)])
def test_a_stream_says_its_last_words(start, name, replaced):
    """A streamed response that asked to be told of the end writes to its own end; one that begins
    when the process is stopping already is told at once."""
    server = start(drain=3)
    with ExitStack() as stack:
        late, ws = Raw(server), stack.enter_context(server.socket("/echo"))
        stack.callback(late.sock.close)
        late.request("GET", "/")
        late.response()
        late.take(5)
        responses = [stack.enter_context(server.http.stream("GET", "/farewell")) for _ in "123"]
        pieces = [response.iter_text() for response in responses]
        assert [next(text) for text in pieces] == ["first"] * 3
        server.process.send_signal(getattr(signal, name))
        until(lambda: refuses(server))
        late.request("GET", "/farewell")
        assert late.response()[1]["connection"] == "close"
        while late.more():
            pass
        assert f" replaced: {replaced}".encode() in late.received
        assert ["".join(text) for text in pieces] == [f" replaced: {replaced}"] * 3
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
    assert server.wait() == (0, "shut down\n")


def test_handing_over(start):
    """After SIGHUP what is open is not closed before its time: a connection that stays idle ends
    when it would have ended, and one that is used is answered and told to end."""
    server = start(keep_alive_timeout=1.0)
    with Raw(server) as idle, Raw(server) as used:
        for client in idle, used:
            client.request("GET", "/")
            client.response()
            assert client.take(5) == b"hello"
        began = time.monotonic()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: refuses(server))
        used.request("GET", "/")
        assert used.response()[1]["connection"] == "close"
        assert idle.more() == b""
        assert time.monotonic() - began > 0.5
        assert server.wait() == (0, "shut down\n")


def refuses(server):
    """Whether the server accepts no connection any more."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", server.port)) != 0


@contextmanager
def _stubborn_clients(server):
    """A client that ignores Close, one that reads nothing, one in the middle of its request."""
    with Raw(server) as ignoring, Raw(server, buffer=4096) as deaf, Raw(server) as slow:
        ignoring.handshake("/echo")
        deaf.request("GET", "/flood")
        deaf.response()
        slow.request("POST", "/length", ["Content-Length: 1000"], b"x")
        yield
        assert ignoring.recv_close() == 1012


def test_stop_despite_stubborn_clients(start):
    """Clients that hold on cannot keep the server from stopping."""
    server = start()
    with _stubborn_clients(server):
        began = time.monotonic()
        server.terminate()
        code, printed = server.wait()
        assert (code, printed) == (0, "shut down\n")
        assert time.monotonic() - began < 10


def test_two_workers_on_one_port(start):
    """With reuse_port two processes share a port, and one can go while the other stays."""
    first = start()
    second = start(port=first.port)
    assert first.port == second.port
    with ThreadPoolExecutor(8) as pool:
        url = f"http://127.0.0.1:{first.port}/"
        assert set(pool.map(lambda _: httpx.get(url).text, range(20))) == {"hello"}
    first.terminate()
    assert first.wait()[0] == 0
    assert httpx.get(url).text == "hello"


def test_startup_failure(loop, logs):
    """A startup that fails ends the process with its message."""
    program = (
        "from chat.bridge import Bridge\n"
        "from chat.bridge import listen\n"
        "from chat.bridge import run\n"
        "async def startup(): raise RuntimeError('no database')\n"
        f"run(lambda: Bridge(print, startup=startup), listen('127.0.0.1', 0), loop={loop!r})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert result.returncode == 1
    assert "no database" in result.stderr


async def empty(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def parrot(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


async def one_connection(app, talk):
    """Serve a connection of ours, on which a client talks, and wait until nothing is left of it."""
    gone = asyncio.Event()

    async def serve(reader, writer):
        loop, context = asyncio.get_running_loop(), WorkerContext(None)
        connection = Connection(
            ASGIWrapper(app), loop, ServerSettings(), context, {}, reader, writer, registry=set()
        )
        weakref.finalize(connection, gone.set)
        await connection

    patches.install()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await talk(reader, writer)
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_nothing_of_a_connection_that_is_over_waits_for_the_collector(no_collector):
    async def ask(reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        assert b" 204 " in await reader.read()

    asyncio.run(one_connection(empty, ask))


@pytest.mark.parametrize(
    "last",
    [frame(CLOSE, b"\x03\xe8"), b"", b"\x81\x01x"],
    ids=["closed", "gone", "not masked"],
)
def test_nothing_of_a_websocket_that_is_over_waits_for_the_collector(no_collector, last):
    """wsproto's parser and a generator of its hold each other."""

    async def talk(reader, writer):
        lines = ["GET / HTTP/1.1", "Host: test", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'a' * 22}==", "", ""]
        writer.write("\r\n".join(lines).encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        # In two pieces: wsproto's parser has something to do.
        writer.write(frame(TEXT, b"hello")[:3])
        await writer.drain()
        writer.write(frame(TEXT, b"hello")[3:])
        assert await reader.readexactly(7) == b"\x81\x05hello"
        writer.write(last)
        await writer.drain()

    before = parsers()
    asyncio.run(one_connection(parrot, talk))
    assert parsers() == before


def parsers():
    return {id(one) for one in gc.get_objects() if isinstance(one, FrameProtocol)}
