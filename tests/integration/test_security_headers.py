"""No response is sent without the security headers, whether Flask, the bridge or Hypercorn makes
it. `bridge_app` sets none itself, so all of them were added below Flask. test_protection.py tests
the chat's own pages.
"""

import select

import httpx
import pytest

from chat.web.security_headers import ALWAYS

from .bridge_client import H2, TEXT, Raw, Server, assert_calm, frame

EVERY = {name.lower(): value for name, value in ALWAYS}
HOST = b"Host: test\r\n"


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https only"])
def server(request, tmp_path_factory):
    log = tmp_path_factory.mktemp("logs") / "log"
    server = Server("uvloop", log, h2c=True, https_only=request.param)
    server.https_only = request.param
    yield server
    server.close()
    assert_calm(server)


def assert_secured(headers, https_only=False):
    assert EVERY.items() <= dict(headers).items()
    assert headers["cache-control"] in ("no-store", "no-cache")  # as Flask says of its files
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert ("strict-transport-security" in headers) is https_only
    assert not {"server", "x-powered-by", "via"} & set(headers)
    words = " ".join(headers.values()).lower()
    assert not [name for name in ("hypercorn", "werkzeug", "python", "h11") if name in words]


REQUESTS = {
    "a page": (200, b"GET / HTTP/1.1\r\n" + HOST),
    "a page by the slow path": (200, b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST),
    "a page over HTTP/1.0": (200, b"GET / HTTP/1.0\r\n" + HOST),
    "head": (200, b"HEAD / HTTP/1.1\r\n" + HOST),
    "a stream": (200, b"GET /stream HTTP/1.1\r\n" + HOST),
    "what fails later": (200, b"GET /fail-later HTTP/1.1\r\n" + HOST),
    "a file": (200, b"GET /file HTTP/1.1\r\n" + HOST),
    "a part of a file": (206, b"GET /file HTTP/1.1\r\nRange: bytes=0-1\r\n" + HOST),
    "nothing": (204, b"GET /status/204 HTTP/1.1\r\n" + HOST),
    "not modified": (304, b"GET /status/304 HTTP/1.1\r\n" + HOST),
    "malformed": (400, b"GET / HTTP/1.1\r\nfold\r\n x: y\r\n" + HOST),
    "no HTTP": (400, b"\x16\x03\x01\r\n"),
    "HTTP/2": (400, b"GET / HTTP/2.0\r\n" + HOST),
    "a page for a socket": (400, b"GET /echo HTTP/1.1\r\n" + HOST),
    "nowhere": (404, b"GET /nope HTTP/1.1\r\n" + HOST),
    "no such method": (405, b"PUT / HTTP/1.1\r\n" + HOST),
    "too large": (413, b"POST /length HTTP/1.1\r\nContent-Length: 100001\r\n" + HOST),
    "too long": (431, b"GET / HTTP/1.1\r\nX: %b\r\n" % (b"x" * 9000) + HOST),
    "much too long": (431, b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000),
    "broken": (500, b"GET /fail HTTP/1.1\r\n" + HOST),
    "a status that is none": (500, b"GET /status/99 HTTP/1.1\r\n" + HOST),
}
UPGRADE = b"GET %b HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + HOST
KEY = b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
V13 = b"Sec-WebSocket-Version: 13\r\n"
HANDSHAKES = {
    "a socket": (101, UPGRADE % b"/echo" + KEY + V13),
    "without a key": (400, UPGRADE % b"/echo" + V13),
    "with a length": (400, UPGRADE % b"/echo" + KEY + V13 + b"Content-Length: 5\r\n"),
    "refused": (403, UPGRADE % b"/echo" + KEY + V13 + b"X-Refuse: 1\r\n"),
    "nowhere": (404, UPGRADE % b"/nope" + KEY + V13),
    "of another version": (426, UPGRADE % b"/echo" + KEY + b"Sec-WebSocket-Version: 8\r\n"),
    "too long": (431, UPGRADE % b"/echo" + KEY + V13 + b"X: %b\r\n" % (b"x" * 9000)),
}


@pytest.mark.parametrize("data", [*REQUESTS.items(), *HANDSHAKES.items()], ids=lambda data: data[0])
def test_over_http1(server, data):
    _, (status, head) = data
    with Raw(server) as client:
        client.send(head + b"\r\n")
        answer, headers = client.response()
    assert answer == status
    assert_secured(headers, server.https_only and status != 101)


def test_frames_before_the_answer(server):
    with Raw(server) as client:
        client.send(UPGRADE % b"/echo" + KEY + V13 + b"\r\n" + frame(TEXT, b"early"))
        status, headers = client.response()
    assert status == 400
    assert_secured(headers, server.https_only)


def test_over_http2(server):
    with httpx.Client(base_url=server.http.base_url, http1=False, http2=True) as client:
        for path, status in (("/", 200), ("/nope", 404), ("/fail", 500), ("/status/204", 204)):
            answer = client.get(path)
            assert answer.status_code == status
            assert_secured(answer.headers, server.https_only)
        answer = client.get("/", headers={"X": "x" * 9000})
        assert answer.status_code == 431
        assert_secured(answer.headers, server.https_only)
    for path, status in (("/echo", 200), ("/nope", 404)):
        with H2(server) as client:
            assert client.open(path) == status
            assert_secured(client.headers, server.https_only)


def test_while_stopping(tmp_path):
    server = Server("uvloop", tmp_path / "log", drain=4)
    with Raw(server) as one, Raw(server) as other, Raw(server) as idle, Raw(server) as late:
        for ws in one, other:
            ws.handshake("/echo")
        for client in idle, late:
            client.request("GET", "/")
            client.response()
            client.take(5)
        server.terminate()
        # One of them is closed at once, and the other half way through.
        assert len(select.select([one.sock, other.sock], [], [], 10)[0]) == 1
        idle.request("GET", "/")
        status, headers = idle.response()
        assert status == 200
        assert_secured(headers)
        status, headers = late.handshake("/echo")
        assert status == 503
        assert_secured(headers)
    server.close()
