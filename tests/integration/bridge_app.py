"""A small Flask and Flask-Sock application behind the bridge, for the tests of the bridge.

    python -m tests.integration.bridge_app '{"loop": "asyncio", "drain": 1, "config": {...}}'

prints its port when it is listening.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from flask import Flask, Response, abort, has_request_context, request, send_from_directory
from flask_sock import Sock

from chat.bridge import (
    ON_DRAIN,
    Bridge,
    BroadcastMessage,
    ConnectionClosed,
    WebSocket,
    await_,
    listen,
    run,
)
from chat.web.security_headers import server_settings

SIZES = (0, 125, 126, 65535, 65536)
FILES = tempfile.mkdtemp()
Path(FILES, "file.txt").write_bytes(b"0123456789" * 20_000)

app = Flask(__name__)
sock = Sock(app)
events: list[str] = []
sockets: set[WebSocket] = set()
go_on = asyncio.Event()


def push(ws, text):
    return ws.push(BroadcastMessage(text))


@app.before_request
def refuse():
    if request.headers.get("X-Refuse"):
        abort(403, "not you")


@app.get("/")
def index():
    return "hello"


@app.get("/events")
def list_events():
    return events


@app.post("/length")
def length():
    return str(len(request.get_data()))


@app.route("/note/<what>", methods=["GET", "POST", "HEAD"])
def note(what):
    """Write down that this request was served, and with what body."""
    events.append(f"{what} {request.get_data().decode('latin-1')}".strip())
    return what


@app.post("/unread")
def unread():
    return "did not look"


@app.get("/status/<int:code>")
def status(code):
    return Response(status=code)


@app.get("/environ")
def environ():
    return {key: value for key, value in request.environ.items() if isinstance(value, str)}


@app.get("/file")
def file():
    return send_from_directory(FILES, "file.txt")


@app.get("/fail")
def fail():
    raise RuntimeError("secret detail")


@app.get("/fail-later")
def fail_later():
    def chunks():
        yield "begun"
        await_(asyncio.sleep(0))
        raise RuntimeError("secret detail")

    return Response(chunks())


@app.get("/stream")
def stream():
    """A chunk at once, one for each `/go-on`, and a last word in `events`."""

    def chunks():
        try:
            yield "first"
            while True:
                await_(go_on.wait())
                go_on.clear()
                yield "next"
        finally:
            await_(asyncio.sleep(0))
            events.append("stream closed")

    return Response(chunks(), mimetype="text/plain")


@app.get("/farewell")
def farewell():
    """A chunk at once, and another when the process stops, which says whether it is replaced."""
    drained: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    request.environ[ON_DRAIN](drained.set_result)

    def chunks():
        yield "first"
        yield f" replaced: {await_(drained)}"

    return Response(chunks(), mimetype="text/plain")


@app.get("/flood")
def flood():
    def chunks():
        try:
            while True:
                yield b"x" * 65536
        finally:
            events.append("flood closed")

    return Response(chunks(), mimetype="text/plain")


@app.post("/go-on")
def let_go_on():
    go_on.set()
    return "", 204


@app.post("/push")
def push_to_all():
    """Push a message to every open socket."""
    text = request.get_data(as_text=True)
    return str(sum(push(ws, text) for ws in list(sockets)))


@app.post("/close-all/<int:code>")
def close_all(code):
    for ws in list(sockets):
        ws.close_nowait(code, "enough")
    return "", 204


@sock.route("/echo")
def echo(ws):
    """Send back what comes, until the other side closes; tell `events` how."""
    sockets.add(ws)
    try:
        while True:
            ws.send(ws.receive())
    except ConnectionClosed as closed:
        events.append(f"closed {int(closed.reason)} {closed.message}")
        raise
    finally:
        sockets.discard(ws)


@sock.route("/mirror")
def mirror(ws):
    """As `echo`, but text is pushed, as the chat does with all it has to say."""
    ws.max_unsent_bytes = 1 << 25
    while True:
        message = ws.receive()
        if isinstance(message, str):
            push(ws, message)
        else:
            ws.send(message)


@sock.route("/close/<int:code>")
def close(ws, code):
    ws.close(code, "done")
    ws.close(1000)


@sock.route("/last-words")
def last_words(ws):
    for word in ("this", "is", "all"):
        push(ws, word)
    ws.close_nowait(1008, "enough")


@sock.route("/return")
def return_(ws):
    ws.send("bye")


@sock.route("/timeout")
def timeout(ws):
    ws.send(repr(ws.receive(timeout=0.01)))
    ws.send(repr(ws.receive(timeout=10)))


@sock.route("/fail-socket")
def fail_socket(ws):
    ws.receive()
    raise RuntimeError("secret detail")


class Handler:
    """What `/detach` leaves its socket to: says what came, and tells `events` the rest."""

    def __init__(self, ws):
        self.ws = ws
        self.messages = 0

    def on_open(self):
        events.append("handler opened")

    def on_message(self, message):
        """Say how many came, and whether a request is going on still."""
        self.messages += 1
        if message == "fail":
            raise RuntimeError("secret detail")
        if message == "close":
            self.ws.close_nowait(4000, "enough")
        await_(asyncio.sleep(0))
        push(self.ws, f"{self.messages} {message} {has_request_context()}")
        return message == "stay"

    def on_close(self):
        await_(asyncio.sleep(0))
        events.append(f"handler closed {self.messages}")


@sock.route("/detach")
def detach(ws):
    ws.detach(Handler(ws))


@app.teardown_request
def torn_down(error):
    if request.path == "/detach":
        events.append("request ended")


@sock.route("/deaf")
def deaf(ws):
    """Never receive anything; send only."""
    try:
        while ws.connected:
            await_(asyncio.sleep(0.02))
            ws.send("tick")
    finally:
        events.append("deaf ended")


@sock.route("/ignore")
def ignore(ws):
    """Receive nothing and return."""


@sock.route("/pushes")
def pushes(ws):
    """Push one message of each size between two that are sent."""
    ws.send("before")
    for size in SIZES:
        push(ws, "é" * (size // 2) + "x" * (size % 2))
    ws.send("after")
    ws.close(4000, "that was all")


@sock.route("/full")
def full(ws):
    """Push without end to a client that does not read."""
    text = "x" * 10_000
    while push(ws, text):
        await_(asyncio.sleep(0))
    events.append(f"full {ws.connected}")
    ws.receive()


async def startup():
    events.append("started")


async def shutdown():
    print("shut down", flush=True)


def main():
    options = json.loads(sys.argv[1])
    config = options.setdefault("config", {})
    config |= server_settings(config.pop("https_only", False))
    listener = listen("127.0.0.1", options.pop("port", 0), reuse_port=True)
    print(listener.getsockname()[1], flush=True)
    run(
        lambda: Bridge(app, startup=startup, shutdown=shutdown, max_body=100_000),
        listener,
        **options,
    )


if __name__ == "__main__":
    main()
