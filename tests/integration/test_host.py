"""The Host header: a chat with CHAT_ORIGIN answers only requests for that host."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from ..running import Server, Visitor
from .test_api import Program

ORIGIN = "http://chat.example.org"
OURS = {"Host": "chat.example.org"}
PATHS = ["/", "/sign-in", "/api/me", "/static/chat.css", "/me.css", "/nowhere", "/live"]
MALFORMED = [
    *(b"", b" ", b"a b", b"a,b", b"a;b", b"a/b", b"a@b", b"http://a", b"a:b", b"a:99999", b"[::1"),
    *(
        b"::1",
        b"\xff",
        b"\xc3\xa4",
        b"\xed\xa0\x80",
        b"%ff",
        b"%00",
        b"a" * 300,
        b"<script>",
        b"a:1:2",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_ORIGIN=ORIGIN, CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    """A chat that has no address of its own."""
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


def ask(server, request: bytes) -> tuple[int, str]:
    """Status and text of the answer to a request as it is."""
    with socket.create_connection((server.address, server.port), timeout=30) as sock:
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def get(server, path: str, *headers: bytes, target: bytes = b"") -> tuple[int, str]:
    """The answer to a GET with these headers; the browser's `gzip` is not among them."""
    line = b"GET %b HTTP/1.1" % (target or path.encode())
    lines = [line, *headers, b"Connection: close", b"", b""]
    return ask(server, b"\r\n".join(lines))


def handshake(visitor, host: bytes) -> int:
    """What a page of the chat's own origin gets that opens its socket under this name."""
    lines = [
        *(b"GET /live HTTP/1.1", b"Host: " + host, b"Origin: " + ORIGIN.encode()),
        *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        *(b"Sec-WebSocket-Key: " + b"A" * 22 + b"==", b"Cookie: " + visitor.cookie.encode()),
    ]
    to = urlsplit(visitor.url)
    with socket.create_connection((to.hostname, to.port), timeout=30) as sock:
        sock.sendall(b"\r\n".join([*lines, b"", b""]))
        return int(sock.recv(65536).split()[1])


def visit(server):
    """Somebody whose browser was told the name of the chat."""
    visitor = Visitor(server.url)
    visitor.http.headers.update(OURS)
    visitor.sign_in("Ann")
    return visitor


def test_a_page_of_another_site_gets_nothing_under_its_own_name(server):
    """DNS rebinding: the browser has the other site's name in Host, and takes what is answered for
    a page of that site."""
    for host in (b"evil.example", b"127.0.0.1:%d" % server.port, b"localhost", b"[::1]"):
        for path in PATHS:
            status, text = get(server, path, b"Host: " + host)
            assert status == 421, (host, path)
            assert "csrf_token" not in text
    assert "http://chat.example.org" in text
    answer = httpx.post(f"{server.url}/sign-in", data={"name": "Eve"}, headers={"Host": "evil"})
    assert answer.status_code == 421
    assert "set-cookie" not in answer.headers


def test_under_its_own_name_all_is_there(server):
    visitor = visit(server)
    rid = visitor.create_room("Tea")
    assert "created this room" in visitor.room(rid)
    assert handshake(visitor, b"chat.example.org") == 101
    assert handshake(visitor, b"evil.example") == 421
    assert handshake(visitor, b"127.0.0.1:%d" % server.port) == 421
    program = Program(visitor)
    program.http.headers.update(OURS)
    assert program("GET", "/me")["name"] == "Ann"
    program.http.headers.update({"Host": "evil.example"})
    assert "chat.example.org" in program("GET", "/me", 421)["error"]["text"]


def test_probes_ask_by_any_name(server):
    for host in (b"10.0.0.7:8000", b"chat", b"evil.example"):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert get(server, path, b"Host: " + host)[0] == 200
    assert ask(server, b"GET /healthz HTTP/1.0\r\n\r\n")[0] == 200
    assert ask(server, b"GET /sign-in HTTP/1.0\r\n\r\n")[0] == 421


@pytest.mark.parametrize("value", MALFORMED, ids=repr)
def test_what_is_no_host_is_refused(server, anywhere, value):
    for chat in (server, anywhere):
        for path in ("/sign-in", "/healthz", "/api/me", "/static/chat.css", "/nowhere"):
            assert get(chat, path, b"Host: " + value)[0] == 400, path
        assert "Traceback" not in chat.log()


def test_without_an_address_of_its_own_any_host_will_do(anywhere):
    for host in (b"chat.example.org", b"127.0.0.1:1", b"[::1]:8000", b"my_chat", b"CHAT"):
        status, text = get(anywhere, "/sign-in", b"Host: " + host)
        assert status == 200
        assert "csrf_token" in text
    assert ask(anywhere, b"GET /sign-in HTTP/1.0\r\n\r\n")[0] == 200
    for hosts in ([], [b"Host: a", b"Host: a"], [b"Host: a", b"Host: b"]):
        assert get(anywhere, "/sign-in", *hosts)[0] == 400


def test_a_name_with_an_underscore_has_its_scripts(anywhere):
    """As containers have; browsers take it."""
    answer = httpx.get(f"{anywhere.url}/sign-in", headers={"Host": "my_chat:8000"})
    assert (
        "script-src http://my_chat:8000/static/vendor/;"
        in (answer.headers["content-security-policy"])
    )


def test_the_address_in_the_first_line_names_the_same_host(server):
    """RFC 9112, section 3.2.2, lets the address count more; a proxy may have looked at the Host."""
    ours, evil = b"Host: chat.example.org", b"Host: evil.example"
    assert get(server, "", ours, target=b"http://chat.example.org/sign-in")[0] == 200
    assert get(server, "", evil, target=b"http://evil.example/sign-in")[0] == 421
    assert get(server, "", ours, target=b"http://evil.example/sign-in")[0] == 400
    assert get(server, "", evil, target=b"http://chat.example.org/sign-in")[0] == 400
    assert get(server, "", ours, target=b"http://a@b/sign-in")[0] == 400
