"""Messages that are pushed to a websocket without waiting."""

import pytest
from websockets.exceptions import ConnectionClosed

from ..bridge_client import (
    until,
)

SIZES = (0, 125, 126, 65535, 65536)


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
