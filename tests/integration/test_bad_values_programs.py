"""Invalid values in every field of the API and of a page's frames."""

import inspect
import itertools
import json
import re
from functools import partial

import pytest

from chat.api.endpoints import OPERATIONS
from chat.realtime import client_messages
from chat.web import live_composers, page_connection
from chat.web.page_connection import FRAME_TYPES, MAX_UNKNOWN_FRAMES

from ..bad_values import MILLION, NOT_OBJECTS, NOT_TEXTS, RAW, TEXTS, as_json, escaped
from .doors import (
    Actor,
    address,
    application,
    at_once,
    ids_for,
    nothing_in_the_log,
    room_of_its_own,
    running,
)
from .page import Page
from .rules import API_ROWS, BODIES

SHORT = {**{name: escaped(text, 1000) for name, text in TEXTS.items()}, **RAW}  # for addresses
COUNT = itertools.count(1)
_FRAMED = re.compile(r"(?:one|several)\(frame, \"(\w+)\"\)")


pytestmark = pytest.mark.timeout(600)  # seconds, for a machine that does much else besides


@pytest.fixture(scope="module")
def world(tmp_path_factory, provider):
    with running(tmp_path_factory.mktemp("chat"), provider) as there:
        yield there


@pytest.fixture(autouse=True)
def quiet(world):
    with nothing_in_the_log(world):
        yield


@pytest.fixture(scope="module")
def routes(world):
    return application(world)


# Programs


def body_of(world, operation):
    for what, body in BODIES.items():
        method, path = what.partition("?")[0].split()
        if method == operation.method and re.sub(r"\{\w+\}", "1", path) == re.sub(
            r"<[^>]+>", "1", operation.path
        ):
            fill = partial(world.fill, kind="", who="")
            return {
                k: [fill(v) for v in value] if isinstance(value, list) else fill(value)
                for k, value in body.items()
            }
    return {}


def able_to(operation):
    """Who may do it, by the table of rights."""
    for what, _, codes in API_ROWS:
        method, path = what.partition("?")[0].split()
        if method == operation.method and re.sub(r"\{\w+\}", "1", path) == re.sub(
            r"<[^>]+>", "1", operation.path
        ):
            return next((who for who in ("member", "owner") if codes[who] < 300), "owner")
    return "owner"


def test_every_field_of_the_api(world, routes):
    rules = {rule.endpoint: rule for rule in routes[1]}
    values = {**TEXTS, **NOT_TEXTS, "million": MILLION}

    def send(operation, door):
        rule, who = rules[f"api.{operation.id}"], world[able_to(operation)]
        ids, actor = ids_for(world, rule), Actor(world, who, who.token)
        path, method = address(rule, ids), operation.method
        needed = b"&".join(b"%b=a.txt" % name.encode() for name in operation.required)
        target = path + (b"?" + needed if operation.is_file else b"")
        body = body_of(world, operation)
        for name, raw in NOT_OBJECTS.items():
            door.check(f"{method} {rule.rule} {name}", actor.call(method, target, raw))
        fields = [] if operation.is_file else sorted({*operation.body, "unknown"})
        for field, (name, value) in itertools.product(fields, values.items()):
            is_list = operation.body.get(field, {}).get("type") == "array"
            for sent in (value, [value], [*body.get(field, []), value]) if is_list else (value,):
                answer = actor.call(method, target, as_json({**body, field: sent}))
                door.check(f"{method} {rule.rule} {field} {name}", answer)
        for (name, value), field in itertools.product(SHORT.items(), operation.query):
            if value.isascii() and len(value) < 7000:
                query = b"%b=%b" % (field.encode(), value)
                answer = actor.call(method, path + b"?" + query, as_json(body))
                door.check(f"{method} {rule.rule}?{field} {name}", answer)
        for name, value in values.items():
            sent = as_json({value if isinstance(value, str) else name: value})
            door.check(f"{method} {rule.rule} name {name}", actor.call(method, target, sent))

    assert at_once(world, [partial(send, operation) for operation in OPERATIONS]) > 3000


# Frames

FRAME_FIELDS = sorted(
    {
        name
        for module in (page_connection, live_composers, client_messages)
        for name in _FRAMED.findall(inspect.getsource(module))
    }
    | {"to", "nonce", "body", "reply", "type", "headers", "unknown"}
)


@pytest.mark.parametrize("kind", FRAME_TYPES)
def test_every_field_of_every_frame(world, kind):
    """The socket stays open, and others in the room go on seeing what is said there."""
    for field in FRAME_FIELDS:
        ids = room_of_its_own(world)
        reader, page = Page(world["owner"]).watch(ids["rid"], 0), Page(world["member"])
        fine = {"type": kind, "room": ids["rid"], "to": ids["rid"], "body": "@", "reply": ""}
        fine["after"] = str(ids["seq"])
        page.watch(ids["rid"], ids["seq"])
        for n, (name, value) in enumerate({**TEXTS, **NOT_TEXTS}.items()):
            for sent in (value, ["", value], [value, 1]):
                page.say(**{**fine, "nonce": f"n{next(COUNT)}", field: sent})
            is_there(page, f"{kind} {field} {name}")  # and reads: who does not is closed
            if field == "type" and n % 5 == 4:  # before it is too much nonsense for one page
                page = Page(world["member"])
            read(reader)
        page.say(**{"\ud800": "\ud800", **fine})
        is_there(page, f"{kind} {field}")
        said = f"still here {next(COUNT)}"
        path = f"/api/rooms/{ids['rid']}/messages"
        assert world["member"].call("POST", path, {"body": said}).status_code == 201
        reader.wait_shown(said)
        page.close()
        reader.close()


def read(*pages):
    """All that has come: whoever does not read is closed."""
    for page in pages:
        while page.receive(0) is not None:
            pass


def is_there(page, what):
    """The page is answered."""
    nonce = page.post("nowhere", "the end")
    while not any(f"#c-{nonce}" in frame for frame in page.frames[-1:]):
        assert page.receive() is not None, f"{what}: closed with {page.code}"


def test_what_is_no_frame(world):
    """It is counted; only a flood of it ends the socket, and with the code that says so."""
    frames = [raw for raw in NOT_OBJECTS.values() if b"names twice" not in raw]
    texts = [raw.decode() for raw in frames if is_utf_8(raw)]
    page = Page(world["member"])
    for sent in [*texts, *frames][: MAX_UNKNOWN_FRAMES - 1]:
        page.socket.send(sent)
    is_there(page, "nonsense")
    page.socket.send("nonsense")
    assert page.wait_closed() == 1008
    for kind in FRAME_TYPES:
        page = Page(world["member"])
        page.say(type=kind)
        page.socket.send(json.dumps({"type": kind, "room": "r"})[:-1] + ',"room":null,"room":[[]]}')
        is_there(page, kind)
        page.close()


def is_utf_8(raw):
    try:
        return bool(raw.decode()) or True
    except UnicodeDecodeError:
        return False
