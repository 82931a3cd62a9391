"""The fuzzed targets. Each is created with an ExitStack for what it starts, and is then called
again and again with a source of values (atheris.FuzzedDataProvider). An exception is a finding."""

import html
import io
import json
import re
import tempfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path
from typing import Any

import h11
import redis

from chat.app import create_app
from chat.auth.jwt import BadToken, Secret
from chat.bridge.fast_path import read_get
from chat.bridge.frames import whole_text
from chat.bridge.permessage_deflate import Deflate
from chat.bridge.strict_h11 import StrictConnection
from chat.config import Settings
from chat.domain import emoji, lookalikes, mentions, validation
from chat.domain.errors import ChatError
from chat.domain.host_header import parse_host
from chat.http_client.public_only import is_public
from chat.media import image_codec, image_protocol
from chat.realtime import client_messages
from chat.rendering import markdown
from chat.search import query
from chat.server.embedded_valkey import EmbeddedValkey
from chat.store import Store
from chat.web.client_address import parse_address

from .. import hostile_images
from ..unit.test_markdown import Shown

Target = Callable[[Any], None]
TARGETS: dict[str, Callable[[ExitStack], Target]] = {}

LONGEST = 1 << 14
SMALL = image_protocol.Limits(pixels=100_000, frames=20, output_bytes=1 << 20)
TODAY = date(2026, 11, 29)


def target(make: Callable[[ExitStack], Target]) -> Callable[[ExitStack], Target]:
    TARGETS[make.__name__.removesuffix("_")] = make
    return make


def simple(function: Target) -> Target:
    """Make a target that starts nothing."""
    TARGETS[function.__name__.removesuffix("_")] = lambda _: function
    return function


@simple
def markdown_(source: Any) -> None:
    """A text becomes nothing but Markdown's HTML, whoever is mentioned, and no letter is lost."""
    names = tuple((source.ConsumeUnicode(8), "u1") for _ in range(source.ConsumeIntInRange(0, 2)))
    try:
        body = validation.clean_body(source.ConsumeUnicode(4000))
    except ChatError:
        return
    Shown(markdown.render(body))
    shown = markdown.render(body, tuple(name for name in names if name[0].strip()))
    assert "<script" not in shown
    assert len(markdown.gist(body)) <= markdown.MAX_GIST_CHARS


@simple
def names(source: Any) -> None:
    """A clean name does not change when it is cleaned again, can be stored, and looks like each of
    its keys."""
    typed = source.ConsumeUnicode(200)
    try:
        name = validation.clean_name(typed)
    except ChatError:
        return
    assert validation.clean_name(name) == name
    assert name.encode()
    assert name == " ".join(name.split())
    lookalikes.is_told_apart(name)
    for key in lookalikes.keys(name):
        assert key in lookalikes.keys(key), key
    mentions.mentioned(f"@{name} " + typed.replace("\0", ""), [name])


@simple
def queries(source: Any) -> None:
    """A search query can be parsed, and marking its matches does not change the text."""
    parsed = query.parse(source.ConsumeUnicode(300), TODAY)
    body = source.ConsumeUnicode(1000)
    spans = query.matches(parsed, body)
    if spans is None:
        return
    assert all(0 <= low < high <= len(body) for low, high in spans)
    shown = html.unescape(re.sub("</?mark>", "", str(query.excerpt(body, spans))))
    assert shown.strip("…").replace("\n", " ") in body.replace("\n", " ")


@simple
def page_frames(source: Any) -> None:
    """Whatever a page sends, its fields are texts that UTF-8 can hold."""
    sent: Any = source.ConsumeUnicode(LONGEST)
    if source.ConsumeBool():
        with suppress(ValueError):
            sent = json.dumps({"type": "post", "body": sent, "to": [sent, 1, None]})
    frame = client_messages.parse(sent)
    for name in frame:
        assert client_messages.one(frame, name).encode() is not None
    for fields in client_messages.pending(frame):
        validation.cursor(fields[3])
    mentions.begun(client_messages.one(frame, "body"))
    with suppress(ChatError):
        emoji.clean_emoji(client_messages.one(frame, "emoji"))


@simple
def socket_frames(source: Any) -> None:
    """Bytes of a websocket are one whole text frame, or are left to the parser. Inflated messages
    stay within their limit."""
    data = source.ConsumeBytes(LONGEST)
    whole = whole_text(data)
    if whole is not None:
        payload, compressed = whole
        assert len(payload) < len(data)
        inflated = Deflate(1000).whole(payload) if compressed else payload
        assert inflated is None or not compressed or len(inflated) <= 1000
    packed = zlib.compress(data, wbits=-15)
    inflated = Deflate(1000).whole(packed)
    assert inflated is None or len(inflated) <= 1000


@simple
def addresses(source: Any) -> None:
    """Addresses from proxies and Host headers are parsed or refused."""
    typed = source.ConsumeUnicode(100)
    with suppress(ValueError):
        address = parse_address(typed)
        assert parse_address(str(address)) == address
        assert parse_address(f'"{address}"') == address
        is_public(str(address))
    with suppress(ValueError):
        name, port = parse_host(typed)
        assert name == name.lower()
        assert port is None or 0 < port < 65536


@simple
def tokens(source: Any) -> None:
    """A token is valid or raises BadToken."""
    with suppress(BadToken):
        Secret("x" * 32).claims(source.ConsumeUnicode(2000))


@simple
def images(source: Any) -> None:
    """An image is converted within its limits, or refused. What a decoder does to its process is
    not tested, because the chat runs it in a child process."""
    task = image_protocol.SQUARE if source.ConsumeBool() else image_protocol.ATTACHMENT
    try:
        header, small, content = image_codec.make(
            task, io.BytesIO(source.ConsumeBytes(LONGEST)), SMALL
        )
    except image_protocol.NotMade:
        return
    line = header.to_line()
    assert image_protocol.parse_header(line, len(small) + len(content), SMALL) == header


@simple
def http(source: Any) -> None:
    """The bytes of a connection mean the same however they are split, and the fast path for a GET
    reads the same as h11."""
    data = source.ConsumeBytes(LONGEST)
    if source.ConsumeBool():
        data = b"GET /rooms HTTP/1.1\r\nHost: a.org\r\n" + data
    cut = source.ConsumeIntInRange(0, len(data))
    whole = heard(data)
    assert heard(data[:cut], data[cut:]) == whole
    short = read_get(data)
    if short is not None:
        assert whole[0] == ("request", short[0], short[1]), (short, whole)


def heard(*pieces: bytes) -> list[tuple[Any, ...]]:
    """Return what a connection reads from bytes that arrive in pieces: requests, bodies, and its
    refusal."""
    connection, found, body = StrictConnection(8192), [], b""
    for piece in pieces:
        if not piece:
            continue  # that would be the end of the connection
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return [*found, ("body", body), ("refused",)]
            if event in (h11.NEED_DATA, h11.PAUSED):
                break
            if isinstance(event, h11.Request):
                found.append(("request", bytes(event.target), list(event.headers)))
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return [*found, ("body", body), ("end",)]
            else:
                raise AssertionError(event)
    return [*found, ("body", body)]


@target
def requests(stack: ExitStack) -> Target:
    """Forms, queries, headers and cookies for pages of a chat on a real database never cause a 500.
    The chat checks no CSRF tokens and has no limits, so that more code is reached."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    valkey = EmbeddedValkey(folder / "valkey")
    valkey.start()
    stack.callback(valkey.stop)
    client = redis.Redis.from_url(valkey.url, decode_responses=True)
    settings = Settings(redis_url=valkey.url, secret_key="x" * 32, data=folder, limits=False)
    app = create_app(settings, Store(client))
    app.config["WTF_CSRF_ENABLED"] = False
    visitor = app.test_client()
    visitor.post("/sign-in", data={"name": "Ann"})
    made = visitor.post("/rooms", data={"name": "Tea", "kind": "open"})
    rid = made.headers["location"].rpartition("/")[2]
    visitor.post(f"/rooms/{rid}/messages", data={"body": "Hello"})
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in ENDLESS]
    words = {"rid": rid, "seq": "2", "uid": "u1", "emoji": "👍"}

    def run(source: Any) -> None:
        rule = source.PickValueInList(rules)
        method = source.PickValueInList(sorted(rule.methods))
        values = {
            name: source.ConsumeUnicodeNoSurrogates(20)
            if source.ConsumeBool()
            else words.get(name, "x")
            for name in rule.arguments
        }
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), rule.rule)
        headers = {}
        if source.ConsumeBool():
            name = source.PickValueInList(HEADERS)
            headers[name] = source.ConsumeBytes(60).decode("latin-1")
            headers[name] = re.sub(r"[\r\n]", "", headers[name])
        fields = {
            source.PickValueInList(FIELDS): source.ConsumeUnicodeNoSurrogates(200)
            for _ in range(source.ConsumeIntInRange(0, 4))
        }
        body: dict[str, Any] = {"data": fields}
        if source.ConsumeBool():
            kind = source.PickValueInList(KINDS)
            body = {"data": source.ConsumeBytes(500), "content_type": kind}
        answer = visitor.open(
            "/" + path.lstrip("/"),
            method=method,
            headers=headers,
            query_string=fields if source.ConsumeBool() else None,
            **({} if method in ("GET", "HEAD") else body),
        )
        assert answer.status_code < 500 or answer.status_code in (502, 503), answer.text

    return run


# First inputs for targets where nobody would find a good input by chance.
SEEDS: dict[str, Callable[[], list[bytes]]] = {
    # Values are taken from the end of the input, bytes from its beginning.
    "images": lambda: [hostile_images.image(name) + b"\0" for name in hostile_images.FORMATS],
    "http": lambda: [
        b"Accept: a\r\n\r\n\1",
        b"Content-Length: 5\r\n\r\nhello\1",
        b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n\1",
    ],
}

# These need a running server, with sockets, streams and other sites.
ENDLESS = {
    "live.live",
    "event_stream.stream",
    "oidc_sign_in.begin",
    "oidc_sign_in.callback",
    "sessions.sign_out",
}
HEADERS = ["User-Agent", "Cookie", "X-Forwarded-For", "HX-Request", "HX-Target", "Range", "Accept"]
HEADERS += ["If-None-Match", "Referer", "Origin", "Accept-Language", "Authorization", "Host"]
FIELDS = ["body", "name", "about", "members", "nonce", "reply", "kind", "emoji", "q", "older", "to"]
FIELDS += ["before", "after", "day", "zone", "level", "lines", "files", "login", "password", "next"]
KINDS = ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x"]
