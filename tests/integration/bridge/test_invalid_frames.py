"""Websocket clients that break the protocol or send messages that are too large."""

import struct

import pytest
from websockets.exceptions import ConnectionClosed

from ..bridge_client import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Raw,
    close_frame,
    frame,
)


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
