"""Websocket clients that are silent, slow, or many."""

import asyncio
import struct

import websockets.asyncio.client

from ..bridge_client import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Raw,
    close_frame,
    frame,
)


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
