"""What one HTTP/2 client can make the server do, and when it is disconnected."""

import random
import select
import socket
import ssl
import struct
import subprocess
from functools import cache

import h2.errors
import h2.events
import h2.exceptions
import hpack
import httpx
import pytest

from chat.bridge.frame_budget import BURST_FRAMES

from .bridge_client import H2, Raw, Server, assert_calm, until

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = *range(5), 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM, PROTOCOL, STREAM_CLOSED = 11, 1, 5
LOST = -1  # instead of a code: a reset of the connection swallowed the frame that had it
MANY = 10 * BURST_FRAMES


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def request(stream, path="/note/h2", method="GET", flags=END_STREAM | END_HEADERS, more=()):
    return frame(HEADERS, flags, stream, headers(path, method, tuple(more)))


@cache
def headers(path, method, more):
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
    return hpack.Encoder().encode([*fields, *more], huffman=False)


def number(value):
    return struct.pack("!I", value)


OPEN = request(1, "/length", "POST", END_HEADERS)
"""A request whose body is to come."""

STREAMS = range(1, 2 * MANY, 2)
FLOODS = {
    "rapid reset": b"".join(request(n) + frame(RESET, 0, n, number(8)) for n in STREAMS),
    "resets of what is answered": request(1) + frame(RESET, 0, 1, number(8)) * MANY,
    "PING": frame(PING, payload=bytes(8)) * MANY,
    "PING acknowledged": frame(PING, 1, payload=bytes(8)) * MANY,
    "SETTINGS": frame(SETTINGS) * MANY,
    "SETTINGS with values": frame(SETTINGS, payload=struct.pack("!HI", 4, 1000)) * MANY,
    "PRIORITY of many streams": b"".join(frame(PRIORITY, 0, n, number(0) + b"\1") for n in STREAMS),
    "PRIORITY of one": frame(PRIORITY, 0, 1, number(0) + b"\1") * MANY,
    "WINDOW_UPDATE": frame(WINDOW, payload=number(1)) * MANY,
    "WINDOW_UPDATE of a stream": OPEN + frame(WINDOW, 0, 1, number(1)) * MANY,
    "empty DATA": OPEN + frame(DATA, 0, 1) * MANY,
    "padded DATA": OPEN + frame(DATA, 8, 1, b"\x09" + bytes(9)) * MANY,
    "small DATA": OPEN + frame(DATA, 0, 1, b"x") * MANY,
    "CONTINUATION": request(1, flags=END_STREAM) + frame(CONTINUATION, 0, 1) * MANY,
    "CONTINUATION of some size": request(1, flags=END_STREAM)
    + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100) * MANY,
    "unknown frames": frame(0x77, 0xFF, 1, b"x") * MANY,
    "PRIORITY_UPDATE": frame(0x10, payload=number(1) + b"u=1") * MANY,
    "made you reset, window of 0": b"".join(
        request(n, "/stream") + frame(WINDOW, 0, n, number(0)) for n in STREAMS
    ),
    "made you reset, window too wide": b"".join(
        request(n, "/stream") + frame(WINDOW, 0, n, number(2**31 - 1)) for n in STREAMS
    ),
    "made you reset, DATA after the end": b"".join(
        request(n, "/stream") + frame(DATA, 0, n, b"x" * 99) for n in STREAMS
    ),
    "made you reset, malformed request": b"".join(request(n, "relative") for n in STREAMS),
    "DATA on a stream that is reset": request(1)
    + frame(RESET, 0, 1, number(8))
    + frame(DATA, 0, 1, b"x" * 99) * MANY,
    "GOAWAY": frame(GOAWAY, payload=bytes(8)) * MANY,
}
WRONG = {
    "more streams than allowed": b"".join(request(n, "/stream") for n in STREAMS),
    "a bomb in HPACK": request(1, more=[("a", "b" * 4000)], flags=END_STREAM)
    + frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16000),
    "a block that is no HPACK": frame(HEADERS, 5, 1, b"\xff" * 50),
    "a frame too large": frame(DATA, 0, 1, bytes(16385)),
    "DATA before a request": frame(DATA, 0, 1, b"x"),
    "a stream of the server's": request(2),
    "a window without end": frame(WINDOW, payload=number(2**31 - 1)) * 2,
    "a setting out of range": frame(SETTINGS, payload=struct.pack("!HI", 4, 2**31)),
    "a stream that depends on itself": frame(PRIORITY, 0, 1, number(1) + b"\1"),
    "CONTINUATION alone": frame(CONTINUATION, END_HEADERS, 1, b""),
    "PING of another size": frame(PING, payload=b"x"),
    "a push": frame(5, END_HEADERS, 1, number(2)),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(log):
    server = Server("uvloop", log / "log", h2c=True, keep_alive_timeout=60.0)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="module")
def quick(log):
    """A server that soon resets a stream whose window is shut."""
    server = Server("uvloop", log / "quick", h2c=True, http2_stall_timeout=0.3)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="module")
def impatient(log):
    """A server that soon ends a connection with nothing to do."""
    server = Server("uvloop", log / "impatient", h2c=True, keep_alive_timeout=0.3)
    yield server
    server.close()
    assert_calm(server)


def talk(server, data):
    """Send all of it; returns the frames that came back until the connection ended. A reset may
    swallow those that were not read yet; then the last is (LOST, b"")."""
    with Raw(server) as client:
        client.sock.setblocking(False)
        unsent = PREFACE + frame(SETTINGS) + data
        ended = reset = False
        while not ended:
            readable, writable, _ = select.select(
                [client.sock], [client.sock] if unsent else [], [], 10
            )
            assert readable or writable, "it goes on"
            try:
                if writable:
                    unsent = unsent[client.sock.send(unsent[:65536]) :]
                if readable:
                    ended = not client.more()
            except ConnectionError:
                ended = reset = True
        return [*frames(client.received), *([(LOST, b"")] if reset else [])]


def frames(data):
    while len(data) >= 9:
        size, kind = int.from_bytes(data[:3], "big"), data[3]
        yield kind, data[9 : 9 + size]
        data = data[9 + size :]


def reason(received):
    """The error code of the GOAWAY frame; LOST where a reset of the connection swallowed it, and
    None where the connection ended without one."""
    codes = [struct.unpack("!I", payload[4:8])[0] for kind, payload in received if kind == GOAWAY]
    return next(iter(codes), LOST if (LOST, b"") in received else None)


REFUSED_BY_H2 = {
    "CONTINUATION": PROTOCOL,
    "CONTINUATION of some size": PROTOCOL,
    "GOAWAY": PROTOCOL,
    "made you reset, DATA after the end": STREAM_CLOSED,
    "made you reset, window of 0": PROTOCOL,
    "made you reset, malformed request": PROTOCOL,  # more streams than it may have
}
"""What comes to an end for another reason, when h2 gets to see it before the budget is spent."""


@pytest.mark.parametrize("name", FLOODS)
def test_a_client_that_wants_nothing_has_to_go(server, name):
    """The server disconnects when the budget is used up, not after everything was sent."""
    before = len(server.events())
    received = talk(server, FLOODS[name])
    assert reason(received) in (CALM, REFUSED_BY_H2.get(name, CALM), LOST)
    answers = sum(kind in (PING, SETTINGS, RESET, HEADERS) for kind, _ in received)
    assert answers <= 2 * BURST_FRAMES
    assert len(server.events()) - before <= BURST_FRAMES
    assert server.http.get("/").text == "hello"


@pytest.mark.parametrize("name", WRONG)
def test_a_client_that_breaks_the_rules_has_to_go(server, name):
    received = talk(server, WRONG[name])
    assert reason(received) not in (0, None)
    assert server.http.get("/").text == "hello"


def test_no_frame_ends_in_a_traceback(server):
    """Any frames in any order, some of a request that is right; the log is looked at last."""
    chance = random.Random(9113)
    for _ in range(150):
        sent = []
        for _ in range(chance.randint(1, 30)):
            stream, size = chance.choice([0, 1, 1, 3, 5, 2, 2**31 - 1]), chance.randint(0, 20)
            sent.append(
                request(
                    stream, chance.choice(["/", "/stream", "/file"]), flags=chance.choice([4, 5])
                )
                if chance.random() < 0.4
                else frame(
                    chance.randint(0, 17), chance.getrandbits(8), stream, chance.randbytes(size)
                )
            )
        talk(server, b"".join(sent) + frame(DATA, 0, 0))  # which ends it
    assert server.http.get("/").text == "hello"


def test_whoever_is_served_goes_on(server):
    """However many requests, windows and resets of what is not wanted any more there are."""
    with H2(server) as client:
        for _ in range(1500):
            assert client.get("/") == b"hello"
        for _ in range(20):
            assert len(client.get("/file")) == 200_000
        for _ in range(2):
            streams = []
            for _ in range(90):
                client.request("GET", "/stream", end=True)
                streams.append(client.stream)
                client.until(lambda: client.status == 200)
            for stream in streams:
                client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            client.flush()
            assert client.get("/") == b"hello"
        client.request("POST", "/length")
        for _ in range(100):
            client.send(bytes(500))
        client.send(b"", end=True)
        client.until(lambda: client.ended)
        assert client.data == b"50000"


def test_what_is_reset_at_once_is_not_begun(server):
    before = len(server.events())
    data = b"".join(request(n) + frame(RESET, 0, n, number(8)) for n in range(1, 101, 2))
    with Raw(server) as client:
        client.send(PREFACE + frame(SETTINGS) + data + request(101))
        until(lambda: len(server.events()) > before)
    assert server.events()[before:] == ["h2"]


def test_a_stream_whose_window_stays_shut_is_reset(quick):
    """And nothing else on its connection is."""
    before = quick.events().count("flood closed")
    with H2(quick) as client:
        client.request("GET", "/flood", end=True)
        quick.wait_for("flood closed", before + 1)  # nothing is read meanwhile
        client.until(lambda: client.reset)
        assert client.get("/") == b"hello"


def test_a_connection_whose_streams_were_reset_is_idle(impatient):
    """It ends when its time is up, as any that has nothing to do."""
    with H2(impatient) as client:
        client.request("GET", "/stream", end=True)
        client.until(lambda: client.status == 200)
        client.h2.reset_stream(client.stream, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        with pytest.raises((AssertionError, ConnectionError)):
            client.until(lambda: False)


def test_a_table_to_compress_with_is_bounded(server):
    """A client may offer gigabytes for it; what follows is understood all the same."""
    with H2(server) as client:
        client.h2.update_settings({1: 2**32 - 1})
        client.flush()
        for _ in range(50):
            assert client.get("/") == b"hello"
        assert client.h2.decoder.header_table_size <= 4096


@pytest.fixture(scope="module")
def secure(log):
    key, cert = str(log / "key.pem"), str(log / "cert.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    server = Server("uvloop", log / "tls", h2c=True, certfile=cert, keyfile=key)
    yield server
    server.close()
    assert_calm(server)


def test_http2_over_tls_is_agreed_to_there_and_only_there(secure):
    base = f"https://127.0.0.1:{secure.port}"
    with httpx.Client(base_url=base, http2=True, verify=False) as client:
        assert client.get("/").http_version == "HTTP/2"
        assert client.post("/length", content=b"x" * 90_000).text == "90000"
    with httpx.Client(base_url=base, verify=False) as client:
        assert client.get("/").http_version == "HTTP/1.1"
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", secure.port), 10) as plain:
        with context.wrap_socket(plain) as sock:
            sock.sendall(PREFACE + frame(SETTINGS))
            assert sock.recv(100).startswith(b"HTTP/1.1 400")
