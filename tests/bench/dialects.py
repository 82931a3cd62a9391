"""How to speak to each server: one small class per protocol, the same four things in each.

`hello` yields the texts to send after the handshake and is sent the frame that follows each
(None: send nothing, only wait); `post` makes the frame that says something; `answer` replies
to a frame that wants a reply; `numbers` names the bench's messages that a frame delivers.
"""

import json
import re

BODY_LENGTH = 40
BODY = re.compile(rb"bench-(\d{8})-")


def body(number):
    """The text of one message: BODY_LENGTH characters that say which one it is."""
    return f"bench-{number:08d}-".ljust(BODY_LENGTH, "x")


class Chat:
    """htmx frames: JSON in, HTML out."""

    path = "/live"

    def hello(self, room):
        """Ask for the room on screen; its recent messages are the answer, the sidebar is not."""
        text = yield json.dumps({"type": "watch", "room": room, "after": "0", "headers": {}})
        while b"#messages" not in text:
            text = yield None

    def post(self, room, number):
        """The composer's form as htmx sends it."""
        frame = {"type": "post", "room": room, "body": body(number), "nonce": f"bench{number:08d}"}
        return json.dumps(frame | {"headers": {}})

    def answer(self, text):
        """Nothing the chat sends as text wants a reply."""
        return None

    def numbers(self, text):
        """A refused post repeats the text, but without a message's id; the sidebar repeats it."""
        return [*dict.fromkeys(map(int, BODY.findall(text)))] if b'id="m-' in text else []


class Plain(Chat):
    """The Hypercorn peer: the chat's frames, kept small."""

    path = "/"

    def hello(self, room):
        """Watch; anything is the answer."""
        yield json.dumps({"type": "watch", "room": room})

    def post(self, room, number):
        """Room and text."""
        return json.dumps({"type": "post", "room": room, "body": body(number)})


class SocketIO:
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
        return [int(number) for number in BODY.findall(text)]


DIALECTS = {"chat": Chat, "plain": Plain, "socketio": SocketIO}
