"""How to speak to each server: one small class per protocol, the same things in each.

`hello` yields the texts to send after the handshake and is sent the frame that follows each
(None: send nothing, only wait); `post` makes the frame that says something; `answer` replies
to a frame that wants a reply; `numbers` names the bench's messages that a frame delivers.
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
        """Ask for the room on screen; its recent messages are the answer, the sidebar is not."""
        text = yield self.watch(room, 0)
        while b"#messages" not in text:
            text = yield None

    def back(self, room, after, missed):
        """Ask for what came after event number `after`: so many messages."""
        text, found = (yield self.watch(room, after)), set()
        while len(found := found | set(self.numbers(text))) < missed:
            text = yield None

    def watch(self, room, after):
        """The page's own frame: the room on screen and the last event it shows."""
        return json.dumps({"type": "watch", "room": room, "after": str(after), "headers": {}})

    def cursor(self, text):
        """The last event number in a frame, 0 without."""
        return max(map(int, SHOWN.findall(text)), default=0)

    def post(self, room, number):
        """The composer's form as htmx sends it."""
        frame = {"type": "post", "room": room, "body": body(number), "nonce": f"bench{number:08d}"}
        return json.dumps(frame | {"headers": {}})

    def answer(self, text):
        """Nothing the chat sends as text wants a reply."""
        return None

    def numbers(self, text):
        """A refused post repeats the text, but without a message's id; the sidebar repeats it."""
        return [*dict.fromkeys(map(int, NUMBER.findall(text)))] if b'id="m-' in text else []


class Plain(Chat):
    """The peers that speak bare websockets: the chat's frames, kept small."""

    path = "/"

    def hello(self, room):
        """Watch; anything is the answer."""
        yield json.dumps({"type": "watch", "room": room})

    def post(self, room, number):
        """Room and text."""
        return json.dumps({"type": "post", "room": room, "body": body(number)})


class Floor(Plain):
    """The C program: what begins with < goes to everybody as it is, so that it can be given
    what the chat would have sent."""

    SAMPLE = (
        0,
        '<hx-upsert hx-target="#messages[data-live=\'AAAAAAAAAAAAAAAAAAAAAA\']" key="data-id" sort>'
        '<li id="m-1" class="message" data-id="1" data-author="BBBBBBBBBBBBBBBBBBBBBB">'
        f"<p>{body(0)}</p></li></hx-upsert>".ljust(1100),
    )

    def post(self, room, number):
        """The chat's own fragment, as it was seen on the wire, with this message's text."""
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
        """The original's event: the time of day comes from the browser."""
        message = {"room": room, "name": "Guest", "msg": body(number), "time": "12:00"}
        return "42" + json.dumps(["text", message])

    def answer(self, text):
        """A ping wants its pong."""
        return "3" if text == b"2" else None

    def numbers(self, text):
        """Any event that carries the body."""
        return [int(number) for number in NUMBER.findall(text)]


DIALECTS = {"chat": Chat, "plain": Plain, "floor": Floor, "socketio": SocketIO}
