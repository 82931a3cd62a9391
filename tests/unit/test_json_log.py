"""The log as JSON: one object per line, whatever it contains, with the ids of its request."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.config import is_in
from chat.observability.json_log import (
    MAX_LINE_BYTES,
    JsonLines,
    Origin,
    current_origin,
    set_origin,
)
from chat.observability.request_ids import IdentifiedBridge

ANY_TEXT = st.text(st.characters())  # lone surrogates among them
BREAKS = st.lists(
    st.sampled_from(["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", '"', "\\", '{"', "\0", "\ud800"])
    | ANY_TEXT
).map("".join)


def written(*args, error=None, name="chat.test"):
    """What the handler writes for a record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    exc_info = (type(error), error, None) if error else None
    handler.emit(logging.LogRecord(name, logging.ERROR, "x.py", 1, args[0], args[1:], exc_info))
    return stream.getvalue()


@given(BREAKS, BREAKS)
def test_no_text_ends_a_line_or_begins_one(text, failure):
    line = written("said %s", text, error=ValueError(failure))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    fields = json.loads(line)
    assert fields.keys() == {"timestamp", "level", "logger", "message", "exception"}


@given(st.integers(0, 20_000), st.sampled_from(["x", "\n", "👋", "\ud800"]), st.integers(0, 20_000))
def test_a_line_fits_into_one_write_to_a_pipe(chars, char, more):
    line = written("begin %s end", char * chars, error=ValueError(char * more), name="x" * 100)
    assert len(line) <= MAX_LINE_BYTES
    fields = json.loads(line)
    assert fields["message"][:1] in ("b", " ")
    assert fields["level"] == "ERROR"
    if chars < 100 < more:
        assert fields["message"] == f"begin {char * chars} end"
        assert fields["exception"].startswith("ValueError: ")


@pytest.mark.parametrize(
    "secret",
    [
        "Bearer abc\\",
        "/first-run/s3cret-link",
        "chat_" + "x" * 40,
        "?password=a&",
        "redis://:pw@h",
    ],
)
def test_secrets_are_taken_out_of_every_field(secret):
    line = written("%s", f'{secret} "rest', error=ValueError(f"{secret} 'rest"))
    fields = json.loads(line)
    for text in (fields["message"], fields["exception"]):
        assert "…" in text
        assert secret not in text


def test_a_line_has_the_ids_of_its_request_until_that_is_over():
    async def story():
        assert "request_id" not in json.loads(written("before"))
        origin = Origin("r1")
        set_origin(origin)
        assert json.loads(written("x"))["request_id"] == "r1"
        assert "connection_id" not in json.loads(written("x"))
        left = asyncio.Event()

        async def late():
            await left.wait()
            return json.loads(written("late"))

        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        origin.is_over = True
        left.set()
        assert "request_id" not in await task
        set_origin(Origin("r2", "c2"))
        fields = json.loads(written("x"))
        assert (fields["request_id"], fields["connection_id"]) == ("r2", "c2")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("client", "sent", "is_used"),
    [
        ("10.0.0.1", [b"abc-1._X"], True),
        ("::ffff:10.0.0.1", [b"abc"], True),
        ("10.0.0.1", [b"x" * 64], True),
        ("192.0.2.7", [b"abc"], False),
        ("", [b"abc"], False),
        ("unix", [b"abc"], False),
        ("10.0.0.1", [b"abc", b"abc"], False),
        *(
            ("10.0.0.1", [bad], False)
            for bad in (b"", b"a b", b"a\n", b"\n", b"x" * 65, b'"', b"\xc3\xa9", b"a%0a", b"{}")
        ),
    ],
)
def test_which_ids_of_others_are_used(client, sent, is_used):
    seen, started = [], []

    def app(environ, start_response):
        seen.append(current_origin())
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            started.append(dict(message["headers"]))

    async def story():
        bridge = IdentifiedBridge(app, is_proxy=lambda ip: is_in(ip, (ip_network("10.0.0.0/8"),)))
        scope = {
            **{"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "scheme": "http"},
            **{"http_version": "1.1", "query_string": b"", "extensions": {}},
            "client": (client, 1) if client else None,
            "headers": [(b"x-request-id", value) for value in sent],
        }
        await bridge(scope, receive, send)

    asyncio.run(story())
    [origin], [headers] = seen, started
    assert headers[b"x-request-id"] == origin.request_id.encode()
    assert (origin.request_id.encode() == sent[0]) == is_used
    assert origin.is_over


UNCAUGHT = """
import threading
from chat.observability.log_setup import set_up

set_up("json")

class Ends:
    def __del__(self):
        raise ValueError("a destructor")

def fail(where):
    raise ValueError(where)

del [Ends()][0]
thread = threading.Thread(target=fail, args=("a thread",))
thread.start()
thread.join()
fail("the main thread")
"""


def test_what_nobody_catches_is_a_line_as_well():
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    for line, where in zip(lines, ("a destructor", "a thread", "the main thread"), strict=True):
        assert line["exception"].endswith(f"ValueError: {where}")
        assert (line["level"], line["message"]) == ("CRITICAL", "an exception was not caught")
