"""Invalid values in every header and every claim of a token."""

import itertools
import time
from functools import partial

import pytest

from ..bad_values import NOT_OBJECTS, NOT_TEXTS, RAW, TEXTS, Wire, as_bytes
from ..running import Visitor
from .doors import Actor, Door, at_once, nothing_in_the_log, room_of_its_own, running
from .test_jwt import AUDIENCE, ISSUER, SECRET, hmac_token

COUNT = itertools.count(1)


pytestmark = pytest.mark.timeout(600)  # seconds, for a machine that does much else besides


@pytest.fixture(scope="module")
def world(tmp_path_factory, provider):
    with running(tmp_path_factory.mktemp("chat"), provider) as there:
        yield there


@pytest.fixture(autouse=True)
def quiet(world):
    with nothing_in_the_log(world):
        yield


HEADERS = [
    *("Host", "Origin", "Referer", "User-Agent", "Accept", "Accept-Language", "Accept-Encoding"),
    *("Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"),
    *("X-Forwarded-User", "Forwarded", "Via", "Range", "If-Range", "If-None-Match", "If-Match"),
    *("If-Modified-Since", "If-Unmodified-Since", "Cache-Control", "HX-Request", "HX-Target"),
    *(
        "HX-Current-URL",
        "HX-History-Restore-Request",
        "HX-Prompt",
        "Sec-Fetch-Site",
        "Content-Type",
    ),
    *("Content-Encoding", "Content-Language", "Date", "X-CSRFToken", "X-Unheard-Of"),
]
# Around the value, where rubbish alone is soon seen to be rubbish.
FORMS_OF = {
    "Cookie": [b"%b", b"session=%b", b"%b=%b", b"session=eyJ1aWQiOiJ4In0.%b.%b", b'session="%b'],
    "Authorization": [b"%b", b"Bearer %b", b"Basic %b", b"Digest username=%b"],
    "Range": [b"%b", b"bytes=%b", b"bytes=0-%b", b"bytes=-%b", b"%b=0-1", b"bytes=0-1,%b-"],
    "If-None-Match": [b"%b", b'"%b"', b'W/"%b'],
    "Content-Type": [
        *(b"%b", b"text/plain; charset=%b", b"multipart/form-data; boundary=%b"),
        *(b"application/json; charset=%b", b"multipart/form-data", b"application/%b"),
        b"application/x-www-form-urlencoded; charset=%b",
    ],
    "Accept-Encoding": [b"%b", b"gzip;q=%b", b"zstd, %b"],
    "Accept-Language": [b"%b", b"de;q=%b"],
    "X-Forwarded-For": [b"%b", b"%b, 8.8.8.8", b"[%b]:1"],
    "Host": [b"%b", b"chat:%b", b"[%b]"],
    "HX-Current-URL": [b"%b", b"http://chat/%b"],
}


def header_values():
    values = {name: as_bytes(text)[:3000] for name, text in TEXTS.items()} | RAW
    return {name: value for name, value in values.items() if not set(value) & set(b"\r\n\0")}


def filled(form, value):
    return form.replace(b"%b", value)


# Where each header is of use: all are sent to one page that asks little, and some to others.
FILES = ["Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "Accept-Encoding"]
PAGE = ["HX-Request", "HX-Target", "HX-Current-URL", "HX-History-Restore-Request", "Referer"]
SIGN_IN = [
    *("User-Agent", "X-Forwarded-For", "X-Forwarded-User", "Origin", "Referer", "Cookie"),
    *("Content-Type", "Content-Encoding", "X-CSRFToken", "Accept-Language", "Sec-Fetch-Site"),
]
PROGRAM = ["Authorization", "Host", "Content-Type", "Cookie", "X-Forwarded-For"]


def test_every_header(world):
    ids = room_of_its_own(world)
    room = f"/rooms/{ids['rid']}".encode()
    targets = [
        ("GET", b"/connection", HEADERS),
        ("GET", room + f"/files/{ids['fid']}/a".encode(), FILES),
        ("GET", b"/static/chat.css", FILES),
        ("GET", room, PAGE),
        ("POST", b"/sign-in", SIGN_IN),
        ("GET", b"/api/me", PROGRAM),
    ]

    def send(method, target, headers, door):
        who = Visitor(world.server.url, "Gus") if method == "POST" else world["member"]
        actor = Actor(world, who, world["member"].token)
        form = b"name=Gus&csrf_token=" + actor.csrf if method == "POST" else None
        for header in headers:
            also = [] if header in ("Cookie", "X-Forwarded-User") else [actor.cookie]
            if header != "Authorization" and target.startswith(b"/api"):
                also.append(actor.bearer)
            if header != "Content-Type" and form:
                also.append(b"Content-Type: application/x-www-form-urlencoded")
            shapes = FORMS_OF.get(header, [b"%b"])
            for shape, (name, value) in itertools.product(shapes, header_values().items()):
                line = header.encode() + b": " + filled(shape, value)
                answer = actor.wire.ask(method, target, [line, *also], form)
                door.check(f"{method} {target.decode()} {line[:80]!r} {name} HTTP", answer)

    assert at_once(world, [partial(send, *target) for target in targets]) > 3000


def test_a_browser_is_listed_without_what_cannot_be_shown(world):
    """A User-Agent is the visitor's, and stands on a page: no control characters, none of those
    that turn the text around them, and not as if UTF-8 were Latin-1."""
    visitor = Visitor(world.server.url)
    sent = "Größe \u202e\u0085\u2028\ufffe\u200b1.0".encode()
    visitor.http.headers = [(b"User-Agent", sent)]
    visitor.sign_in("Gus")
    assert "Größe 1.0" in visitor.get("/me/sessions").text


def test_a_length_or_a_line_that_is_none(world):
    """They are refused below Flask, before anybody waits for a body."""
    door = Door(world)
    wire = Wire(world.server.address, world.server.port)
    lengths = [
        b"-1",
        b"x",
        b"1e3",
        b"0x10",
        b"\xff",
        b"9" * 5000,
        b"1.5",
        b"+1",
        b"NaN",
        b"\xd9\xa3",
    ]
    for length in lengths:
        line = b"Content-Length: " + length
        status, _ = answer = wire.ask("POST", b"/sign-in", [line])
        assert 400 <= status < 500, line
        door.check(f"{line[:50]!r} HTTP", answer)
        wire.close()
    for line in (b"X: a\0b", b"X\xff: a", b"X y: a", b": a", b"X", b"X: \x01", b"\xff\xfe"):
        door.check(f"{line!r} HTTP", wire.ask("GET", b"/sign-in", [line]))
        wire.close()
    door.close()


# Tokens of another site

CLAIMS = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "name", "email", "nickname", "azp"]
HEADER = ["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "cty", "zip"]


def claims():
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"s{next(COUNT)}", "iat": now, "exp": now + 60}
    return {**said, "jti": f"j{next(COUNT)}"}


def test_every_claim_of_a_token(world):
    values = {**TEXTS, **NOT_TEXTS}

    def send(part, fields, door):
        actor = Actor(world, Visitor(world.server.url))
        for field, (name, value) in itertools.product(fields, values.items()):
            head, said = {"alg": "HS256"}, claims()
            (head if part == "header" else said)[field] = value
            token = hmac_token(head, said, SECRET.encode()).encode()
            answer = actor.browse("POST", b"/sign-in/token", [(b"token", token)])
            door.check(f"{part} {field} {name}", answer)

    def send_parts(door):
        actor = Actor(world, Visitor(world.server.url))
        for name, value in NOT_OBJECTS.items():
            for token in (
                hmac_token(value, claims(), SECRET.encode()),
                hmac_token({"alg": "HS256"}, value, SECRET.encode()),
            ):
                answer = actor.browse("POST", b"/sign-in/token", [(b"token", token.encode())])
                door.check(f"token of {name}", answer)

    halves = [CLAIMS[:5], CLAIMS[5:]]
    jobs = [partial(send, "claim", half) for half in halves]
    assert at_once(world, [*jobs, partial(send, "header", HEADER), send_parts]) > 800
