"""What every response contains, and what none reveals: headers, redirects, the log."""

import io
import re

import httpx
import pytest
import redis
from PIL import Image

from ..running import Visitor

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@pytest.fixture
def broken(server):
    """A room whose last event cannot be read, for want of a number."""
    path = str(server.data / "valkey" / "valkey.sock")
    with redis.Redis(unix_socket_path=path) as client:
        fields = {"name": "x", "kind": "open", "seq": 1, "last": "x x x"}
        client.hset("chat:room:{broken}", mapping=fields)
    return "broken"


@pytest.fixture
def picture(ann):
    """The address of Ann's picture."""
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "PNG")
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.get("/me").text)[1]
    sent = {"picture": ("me.png", file.getvalue(), "image/png")}
    assert ann.http.post("/me", data={"csrf_token": token, "name": "Ann"}, files=sent).is_redirect
    return f"/people/{ann.uid}/picture"


def test_every_answer_says_what_a_browser_may_do_with_it(server, ann, broken, picture):
    rid, own = ann.create_room("Tea"), {"Origin": server.url}
    etag = ann.get("/static/chat.css").headers["etag"]
    stranger = Visitor(server.url)
    answers = {
        "a page": (200, ann.get(f"/rooms/{rid}")),
        "a picture": (200, ann.get(picture)),
        "a file": (200, ann.get("/static/vendor/htmx-4.0.1.min.js")),
        "a style sheet": (200, ann.get("/me.css")),
        "options": (200, ann.http.options(f"/rooms/{rid}")),
        "head": (200, ann.http.head(f"/rooms/{rid}")),
        "after a form": (303, ann.submit(f"/rooms/{rid}/join")),
        "to sign in": (303, stranger.get(f"/rooms/{rid}")),
        "a file kept": (304, ann.get("/static/chat.css", headers={"If-None-Match": etag})),
        "an old form": (400, ann.http.post("/rooms")),
        "no handshake": (400, ann.get("/live", headers=own)),
        "no token": (401, httpx.get(f"{server.url}/api/me")),
        "not allowed": (403, ann.get("/admin/people")),
        "nowhere": (404, ann.get("/nowhere")),
        "no file": (404, ann.get("/static/nothing.css")),
        "no operation": (404, ann.get("/api/nothing")),
        "no such method": (405, ann.http.put("/rooms")),
        "too large": (413, ann.http.post("/rooms", content=b"x" * 300_000)),
        "broken": (500, ann.get(f"/rooms/{broken}")),
        "alive": (200, ann.get("/healthz")),
    }
    for what, (status, answer) in answers.items():
        assert answer.status_code == status, what
        assert HEADERS.items() <= dict(answer.headers).items(), what
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; "), what
        assert "cache-control" in answer.headers, what
        kept = ("a picture", "a file", "a style sheet", "a file kept")
        assert what in kept or answer.headers["cache-control"] == "no-store", what
    with ann.http.stream("GET", f"/rooms/{rid}/stream") as answer:
        assert HEADERS.items() <= dict(answer.headers).items()


def test_what_is_broken_says_nothing_of_how(server, ann, broken):
    text = ann.get(f"/rooms/{broken}").text
    assert "Something went wrong" in text
    assert "Traceback" not in text
    assert "ValueError" not in text


def test_nobody_writes_lines_into_the_log(server, ann, broken):
    ann.get(f"/rooms/{broken}/messages/5%0a%0d2026-11-25 INFO chat: all is well%1b[2J")
    assert "in GET" in server.log()
    assert "\n2026-11-25 INFO chat: all is well" not in server.log().replace("\r", "\n")
    assert "\x1b" not in server.log()


ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    "/\u2028/evil.example",
    "/\ufeff/evil.example",
    "／/evil.example",
    "",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_nobody_is_led_to_another_site(server, ann, target):
    """Neither who signs in nor who is signed in already."""
    assert ann.get("/sign-in", params={"next": target}).headers["location"] == "/"
    visitor = Visitor(server.url)
    answer = visitor.submit("/sign-in", "/sign-in", name="Eve", next=target)
    assert answer.headers["location"] == "/"


def test_the_way_back_stays_here_too(server):
    """The address asked for becomes part of a link: as a path, whatever it looks like."""
    with httpx.Client() as client:
        for path in ("//evil.example/%2e%2e", "//rooms", "/rooms//new", "/%5Cevil.example"):
            answer = client.send(client.build_request("GET", f"{server.url}{path}"))
            to = httpx.URL(f"{server.url}{path}").join(answer.headers.get("location", "/"))
            assert to.host == "127.0.0.1", path
