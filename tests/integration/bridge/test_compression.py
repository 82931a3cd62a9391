"""permessage-deflate: what is agreed to, read, and refused."""

import zlib

import pytest

from ..bridge_client import (
    PING,
    TEXT,
    Raw,
)

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
