"""The fast path parses and answers a GET exactly like the path with h11, byte for byte."""

import asyncio

import h11
import pytest
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, RawData
from hypercorn.typing import ConnectionState

from chat.bridge import Bridge, ServerSettings
from chat.bridge.fast_path import FastPathConnection, read_get
from chat.bridge.http1 import HTTP1
from chat.web.security_headers import server_settings

GET = b"GET /rooms/%c3%a9?a=1 HTTP/1.1\r\nHost: test\r\nAccept:\t*/*  \r\n\r\n"
TAKEN = [
    GET,
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=d\r\nConnection: Keep-Alive\r\nX-Empty:\r\n\r\n",
    b"GET /y HTTP/1.1\r\nhost: x\r\nX: \xc3\xa9\r\nX: twice\r\n\r\n",
    b"GET / HTTP/1.1\r\nHOST:\r\n\r\n",
]
LEFT = [
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"GET", b"get"),
    GET.replace(b"1.1", b"1.0"),
    GET.replace(b"1.1", b"2.0"),
    GET.replace(b"Host: test\r\n", b""),
    GET.replace(b"Host: test\r\n", b"Host: test\r\nHost: other\r\n"),
    GET.replace(b"Host: test", b"Host : test"),
    GET.replace(b"Accept", b" Accept"),
    GET.replace(b"\r\nAccept", b"\nAccept"),
    GET.replace(b"\t*/*", b"a\r\n folded"),
    GET.replace(b"\t*/*", b"a\0b"),
    GET.replace(b"\t*/*", b"a\rb"),
    GET.replace(b"Accept", b"Acc\xe9pt"),
    GET.replace(b"/rooms", b"/ro oms"),
    GET.replace(b"/rooms", b"/\xc3\xa9"),
    GET.replace(b"Accept:\t*/*", b"Content-Length: 0"),
    GET.replace(b"Accept:\t*/*", b"Content-Length: 3") + b"abc",
    GET.replace(b"Accept:\t*/*", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    GET.replace(b"Accept:\t*/*", b"Transfer-Encoding: chunked"),
    GET.replace(b"Accept:\t*/*", b"Expect: 100-continue"),
    GET.replace(b"Accept:\t*/*", b"Connection: close"),
    GET.replace(b"Accept:\t*/*", b"Connection: keep-alive, close"),
    GET.replace(b"Accept:\t*/*", b"Upgrade: h2c\r\nConnection: Upgrade"),
    GET + GET,
    GET + b"GET",
    b"\r\n" + GET,
    GET[:-2],
    GET[:-1],
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET http://x/y HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/y HTTP/1.1\r\nHost: z\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /y#z HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
]
LENGTH = (b"content-length", b"5")


class Slow(HTTP1):
    """Every request goes through h11."""

    def _is_between_requests(self):
        return False


def answer(*parts, status=200, headers=(LENGTH,)):
    """An application that answers so, and keeps the scopes it was given."""

    async def app(scope, receive, send, *_):
        app.scopes.append(scope)
        message = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await send(message)
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    app.scopes = []
    return app


def exchange(kind, app, *chunks, **settings):
    """What a connection of this kind sends and the application is told, when these chunks come,
    each after what the one before led to."""

    async def run():
        loop, context, sent = asyncio.get_running_loop(), WorkerContext(None), []

        async def send(event):
            sent.append(event.data if isinstance(event, RawData) else type(event).__name__)

        config = ServerSettings()
        config.include_date_header = False
        for name, value in settings.items():
            setattr(config, name, value)
        app.scopes.clear()
        async with TaskGroup(loop) as tasks:
            state = ConnectionState({})
            protocol = kind(app, config, context, tasks, state, False, None, None, send)
            for chunk in chunks:
                reading = asyncio.ensure_future(protocol.handle(RawData(chunk)))
                for _ in range(20):  # turns of the loop: nothing here waits for anything else
                    await asyncio.sleep(0)
                assert reading.done()
                await reading
            await protocol.handle(Closed())
        data = b"".join(event for event in sent if isinstance(event, bytes))
        return data, [e for e in sent if not isinstance(e, bytes)], list(app.scopes)

    return asyncio.run(run())


def both(app, *chunks, **settings):
    ours = exchange(HTTP1, app, *chunks, **settings)
    assert ours == exchange(Slow, app, *chunks, **settings)
    return ours


@pytest.mark.parametrize("data", TAKEN)
def test_what_is_taken_is_what_h11_reads(data):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert read_get(data) == (request.target, list(request.headers))
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)


@pytest.mark.parametrize("data", LEFT)
def test_what_is_left_to_h11(data):
    assert read_get(data) is None


@pytest.mark.parametrize("data", [*TAKEN, *LEFT])
def test_the_same_answer_to_whatever_comes(data):
    both(answer(b"hello"), data)


@pytest.mark.parametrize(
    "app",
    [
        answer(b"he", b"", b"llo"),
        answer(b"hello", headers=[]),  # chunked
        answer(b"", headers=[(b"content-length", b"0")]),
        answer(status=204, headers=[]),
        answer(status=304, headers=[LENGTH]),
        answer(
            b"hello", status=404, headers=[(b"set-cookie", b"a"), LENGTH, (b"set-cookie", b"b")]
        ),
        answer(b"hello", headers=[LENGTH, (b"connection", b"close")]),
        answer(b"hello", headers=[LENGTH, (b"x", b"\xc3\xa9")]),
    ],
)
def test_the_same_answer_whatever_it_is(app):
    written, _, scopes = both(app, GET, GET)
    assert written.startswith(b"HTTP/1.1 ")
    assert scopes


def test_requests_that_come_in_pieces_and_together():
    app = answer(b"hello")
    for chunks in ((GET, GET[:9], GET[9:], GET), (GET[:-1], GET[-1:], GET), (GET + GET, GET)):
        written, _, scopes = both(app, *chunks)
        assert written.count(b"hello") == len(scopes) >= 2


async def silent(scope, receive, send, *_):
    """An application that ends without an answer."""


silent.scopes = []


def ended():
    bridge = Bridge(lambda environ, start: [])
    bridge._ended = True

    async def app(scope, receive, send, *_):
        await bridge(scope, receive, send)

    app.scopes = []
    return app


@pytest.mark.parametrize(("app", "status"), [(silent, 500), (ended(), 503)])
def test_an_answer_in_the_place_of_the_applications_has_security_headers(app, status):
    settings = server_settings(https_only=False)
    written, _, _ = exchange(HTTP1, app, GET, **settings)
    assert written.startswith(b"HTTP/1.1 %d " % status)
    for name, value in settings["added_headers"]([]):
        assert b"\r\n%b: %b\r\n" % (name, value) in written


def test_the_last_request_of_a_connection():
    written, events, _ = both(answer(b"hello"), GET, GET, GET, keep_alive_max_requests=2)
    assert written.count(b"connection: close") == 1
    assert "Closed" in events


def test_what_comes_too_early_waits():
    """A request that comes before the one ahead of it is answered has its turn."""

    async def run():
        go_on, sent = asyncio.Event(), []

        async def app(scope, receive, send, *_):
            await go_on.wait()
            headers = [(b"content-length", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": scope["raw_path"][-1:]})

        async def send(event):
            sent.append(event)

        async with TaskGroup(asyncio.get_running_loop()) as tasks:
            context, state = WorkerContext(None), ConnectionState({})
            protocol = HTTP1(app, ServerSettings(), context, tasks, state, False, None, None, send)
            await protocol.handle(RawData(GET.replace(b"?a=1", b"1")))
            assert isinstance(protocol.connection, FastPathConnection)
            second = asyncio.ensure_future(protocol.handle(RawData(GET.replace(b"?a=1", b"2"))))
            await asyncio.sleep(0)
            assert not second.done()
            go_on.set()
            await second
        return b"".join(event.data for event in sent if isinstance(event, RawData))

    written = asyncio.run(run())
    assert written.count(b"HTTP/1.1 200") == 2
    assert written.index(b"\r\n\r\n1") < written.index(b"\r\n\r\n2")


def test_a_body_of_another_length_than_was_said():
    connection = FastPathConnection(h11.Connection(h11.SERVER), GET)
    assert connection.begin(200, [LENGTH])
    assert connection.body(b"hell").endswith(b"\r\n\r\nhell")
    with pytest.raises(h11.LocalProtocolError, match="Too little"):
        connection.end()
    with pytest.raises(h11.LocalProtocolError, match="Too much"):
        connection.body(b"o!")
    assert connection.our_state is not h11.DONE


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b"])
def test_no_header_makes_two(value):
    connection = FastPathConnection(h11.Connection(h11.SERVER), GET)
    assert not connection.begin(200, [LENGTH, (b"location", value)])
