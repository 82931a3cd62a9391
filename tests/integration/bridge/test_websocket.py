"""Websockets: refused handshakes, messages, and close codes."""

from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from ..bridge_client import (
    CLOSE,
    TEXT,
    Raw,
    close_frame,
    frame,
)


def test_echo(either):
    """Text and binary messages come back as they were."""
    with either.socket("/echo") as ws:
        for message in ("hello", "grüße 😀", "", b"\x00\xff", "x" * 200_000):
            ws.send(message)
            assert ws.recv() == message


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
