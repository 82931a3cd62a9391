"""The protocols of the servers: one small class each, with the same methods.

`hello` yields the texts to send after the handshake and is sent the frame that follows each (None:
send nothing, only wait). `post` returns the frame that posts a message. `answer` replies to a frame
that needs a reply. `numbers` returns the numbers of the bench's messages in a frame.
"""

import json
import re

from tests.bench.texts import MARK, body

NUMBER = re.compile(MARK.pattern.encode())
SHOWN = re.compile(rb'id="m-(\d+)"')


class Chat:
    """htmx frames: JSON in, HTML out."""

    path = "/live"

    def __init__(self, task):
        self.task = task

    def hello(self, room):
        """Request the room on screen. The answer is its recent messages, not the room list."""
        text = yield self.watch(room, 0)
        while b"#messages" not in text:
            text = yield None

    def back(self, room, after, missed):
        """Request this many messages after event number `after`."""
        text, found = (yield self.watch(room, after)), set()
        while len(found := found | set(self.numbers(text))) < missed:
            text = yield None

    def watch(self, room, after):
        """Return the page's `watch` frame: the room on screen and the last event that it shows."""
        return json.dumps({"type": "watch", "room": room, "after": str(after), "headers": {}})

    def cursor(self, text):
        """Return the last event number in a frame, 0 if there is none."""
        return max(map(int, SHOWN.findall(text)), default=0)

    def post(self, room, number):
        """Return the composer's form as htmx sends it."""
        frame = {"type": "post", "room": room, "body": body(number), "nonce": f"bench{number:08d}"}
        return json.dumps(frame | {"headers": {}})

    def answer(self, text):
        """No text frame of the chat needs a reply."""
        return None

    def numbers(self, text):
        """A refused post contains the text without a message's id, and so does the room list."""
        return [*dict.fromkeys(map(int, NUMBER.findall(text)))] if b'id="m-' in text else []


class Plain(Chat):
    """The protocol of the peers with plain websockets: reduced frames of the chat."""

    path = "/"

    def hello(self, room):
        """Watch the room; any frame is the answer."""
        yield json.dumps({"type": "watch", "room": room})

    def post(self, room, number):
        """Return the room and the text."""
        return json.dumps({"type": "post", "room": room, "body": body(number)})


class Floor(Plain):
    """The protocol of the C program: it sends a text that begins with < to everybody unchanged, so
    that it sends the same bytes as the chat."""

    SAMPLE = (
        0,
        '<hx-upsert hx-target="#messages[data-live=\'AAAAAAAAAAAAAAAAAAAAAA\']" key="data-id" sort>'
        '<li id="m-1" class="message" data-id="1" data-author="BBBBBBBBBBBBBBBBBBBBBB">'
        f"<p>{body(0)}</p></li></hx-upsert>".ljust(1100),
    )

    def post(self, room, number):
        """Return the chat's own fragment, as captured on the wire, with this message's text."""
        known, sample = self.task.get("sample") or self.SAMPLE
        text = sample.replace(body(known), body(number))
        return MARK.sub(f"bench-{number:08d}", text)


class SocketIO(Chat):
    """Engine.IO 4 over a websocket: `0` open, `40` connect, `2`/`3` ping and pong, `42` event."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def hello(self, room):
        """Wait for the open packet, connect the namespace, join the room."""
        yield None
        yield "40"
        yield "42" + json.dumps(["join", room])

    def post(self, room, number):
        """Return the original's event, whose time comes from the browser."""
        message = {"room": room, "name": "Guest", "msg": body(number), "time": "12:00"}
        return "42" + json.dumps(["text", message])

    def answer(self, text):
        """Answer a ping with a pong."""
        return "3" if text == b"2" else None

    def numbers(self, text):
        """Return the numbers in any event that contains the body."""
        return [int(number) for number in NUMBER.findall(text)]


DIALECTS = {"chat": Chat, "plain": Plain, "floor": Floor, "socketio": SocketIO}
