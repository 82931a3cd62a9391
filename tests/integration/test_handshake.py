"""Websocket handshakes that no browser sends: each is answered, whatever its fields contain, and
other streams of the connection continue."""

import base64

import pytest

from .bridge_client import H2, TEXT, Raw, Server, assert_calm

KEY = base64.b64encode(b"0123456789abcdef").decode()
VERSION = "Sec-WebSocket-Version: 13"
FIELDS = ["Connection", "Upgrade", *(f"Sec-WebSocket-{x}" for x in ("Extensions", "Protocol"))]
FIELDS += ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "X-Any"]
VALUES = ["\xe9", "permessage-deflate; client_max_window_bits=\xb2", "Upgrade, \xff"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server("asyncio", tmp_path_factory.mktemp("handshake") / "log", h2c=True)
    yield running
    running.close()
    assert_calm(running)


def ask(client, *lines, method="GET"):
    """The status of the answer to a request of the websocket's address with these lines."""
    client.request(method, "/echo", lines)
    return client.response()[0]


def echoes(client):
    client.send_frame(TEXT, b"hello")
    return client.recv_frame() == (TEXT, b"hello")


@pytest.mark.parametrize(
    "connection",
    [
        ["Upgrade", "keep-alive"],
        ["keep-alive", "Upgrade"],
        ["keep-alive, Upgrade", "x"],
        ["", "upgrade", ""],
        ["Upgrade", "Upgrade"],
        ["x, y", "UPGRADE ,", "z"],
    ],
)
def test_connection_in_several_fields(server, connection):
    """A list may come in several fields (RFC 9110, section 5.3)."""
    lines = [f"Connection: {value}" for value in connection]
    upgrade = ["Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", VERSION]
    with Raw(server) as client:
        assert ask(client, *lines, *upgrade) == 101
        assert echoes(client)


@pytest.mark.parametrize(
    "keys",
    [[""], ["short"], ["x" * 24], [KEY[:-2]], [KEY + KEY], ["\xff" * 24], [KEY, KEY], [KEY, "a"]],
)
def test_keys_that_are_none(server, keys):
    """A key is 16 bytes, said once (RFC 6455, sections 4.2.1 and 11.3.1)."""
    lines = [f"Sec-WebSocket-Key: {key}" for key in keys]
    with Raw(server) as client:
        assert ask(client, "Connection: Upgrade", "Upgrade: websocket", VERSION, *lines) == 400
        assert client.at_end()


@pytest.mark.parametrize("lines", [["Upgrade: websocket"], ["Upgrade: websocket", "Upgrade: x"]])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT"])
@pytest.mark.parametrize("connection", ["x", "Upgrade", "upgradex", "keep-alive"])
def test_what_is_no_handshake(server, method, connection, lines):
    """A request is a websocket for the server and for the application, or for neither."""
    with Raw(server) as client:
        status = ask(client, f"Connection: {connection}", *lines, VERSION, method=method)
        assert status in (200, 400, 405)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", VALUES)
def test_fields_that_are_not_ascii(server, field, value):
    lines = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", VERSION]
    lines = [line for line in lines if not line.startswith(f"{field}:")]
    with Raw(server) as client:
        assert ask(client, *lines, f"{field}: {value}") in (101, 400, 426)


@pytest.mark.parametrize("field", FIELDS[2:])
@pytest.mark.parametrize("value", VALUES)
def test_fields_that_are_not_ascii_over_http2(server, field, value):
    """The other streams of the connection go on."""
    with H2(server) as client:
        client.open("/echo", [(field.lower(), value)])
        assert client.status in (200, 400, 426)
        assert client.get("/") == b"hello"
