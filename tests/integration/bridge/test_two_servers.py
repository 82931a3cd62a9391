"""Two servers in one process share nothing that one of them could take from the other."""

import asyncio

import simple_websocket
from flask import Flask

from chat.bridge import Bridge, listen, serve
from chat.bridge.bridge import _accept

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def app(name):
    made = Flask(name)
    made.get("/")(lambda: name)
    return made


async def ask(reader, writer):
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return await reader.readexactly(3)


def test_stopping_one_leaves_the_connections_of_the_other():
    async def story():
        loop = asyncio.get_running_loop()
        listeners = [listen("127.0.0.1", 0) for _ in range(2)]
        stops = [loop.create_future() for _ in range(2)]
        servers = [
            asyncio.create_task(serve(Bridge(app(name)), listener, stop=stop, drain=0.0))
            for name, listener, stop in zip(("one", "two"), listeners, stops, strict=True)
        ]
        streams = [await asyncio.open_connection(*listener.getsockname()) for listener in listeners]
        assert [await ask(*stream) for stream in streams] == [b"one", b"two"]
        stops[0].set_result(False)
        assert await streams[0][0].read() == b""
        await servers[0]
        assert await ask(*streams[1]) == b"two"
        stops[1].set_result(False)
        await servers[1]
        for _, writer in streams:
            writer.close()

    asyncio.run(story())


def test_a_request_that_came_through_no_bridge_gets_the_usual_class(monkeypatch):
    """Another server in this process may run a Flask-Sock application, too."""
    made = []
    monkeypatch.setattr(simple_websocket, "Server", lambda *args, **options: made.append(args))
    environ = {"HTTP_UPGRADE": "websocket"}
    _accept(environ)
    assert made == [(environ,)]
