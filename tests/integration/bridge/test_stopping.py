"""Starting and stopping a server: who is answered, closed, or cut, and when."""

import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from ..bridge_client import (
    ROOT,
    Raw,
    until,
)


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
    server = start(keep_alive_timeout=4.0)
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
        assert time.monotonic() - began > 2
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
