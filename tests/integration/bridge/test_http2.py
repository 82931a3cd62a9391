"""Requests and websockets over HTTP/2."""

from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx

from ..bridge_client import (
    H2,
    TEXT,
    Raw,
    close_frame,
    frame,
)


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
