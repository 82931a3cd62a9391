"""A connection that is over leaves nothing to the garbage collector."""

import asyncio
import gc
import weakref

import pytest
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.worker_context import WorkerContext
from wsproto.frame_protocol import FrameProtocol

from chat.bridge import ServerSettings, patches
from chat.bridge.connection import Connection

from ..bridge_client import (
    CLOSE,
    TEXT,
    frame,
)


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
