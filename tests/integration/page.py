"""An open page without a browser: it sends over the socket what htmx sends, and keeps what it is
shown like a browser's list: by number, and an event that is sent again replaces itself."""

import html
import itertools
import json
import re
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ..running import DEADLINE, Visitor, opened

_nonces = itertools.count(1)
_MESSAGE = re.compile(
    r'<li id="m-(\d+)".*?(?:<div class="message__body"[^>]*>(.*?)</div>.*?)?'
    r'name="after" value="(\1-\d+)">',
    re.S,
)


def reads(text: str) -> str:
    """A fragment as it reads, without what tells apart people of one name: tests share names."""
    text = re.sub(r' <small class="tag">#....</small>', "", text)
    return html.unescape(re.sub(r"<[^>]*>", "", text))


class Page:
    """A page of `visitor`; `watch` puts a room on its screen."""

    def __init__(self, visitor: Visitor, compression: str | None = None, **headers: str) -> None:
        self.visitor = visitor
        self.compression = compression  # "deflate" offers what browsers offer
        self.shown: dict[int, str] = {}  # number: body ("" for a server line)
        self.cursors: dict[int, str] = {}  # number: what the page says of the message
        self.times: dict[int, int] = {}  # number: how often it came
        self.order: list[int] = []  # numbers as they came
        self.frames: list[str] = []
        self.code: int | None = None
        self.socket = self.connect(**headers)

    def connect(self, **headers: str) -> ClientConnection:
        all_headers = {"Origin": self.visitor.url, "Cookie": self.visitor.cookie, **headers}
        return opened.enter_context(
            connect(
                self.visitor.url.replace("http", "ws") + "/live",
                additional_headers={k: v for k, v in all_headers.items() if v},
                compression=self.compression,
                user_agent_header=None,
                close_timeout=1,
            )
        )

    def reconnect(self) -> None:
        self.code = None
        self.socket = self.connect()

    def say(self, **fields) -> None:
        self.socket.send(json.dumps({**fields, "headers": {"HX-Request": "true"}}))

    def watch(self, rid: str, after: int | None = None, **fields) -> "Page":
        """Put a room on screen from the last number shown; waits until it is live."""
        last = max(self.shown, default=0)
        cursor = self.cursors.get(last, "") if after is None else str(after)
        self.say(type="watch", room=rid, after=cursor, **fields)
        return self

    def post(self, rid: str, body: str, nonce: str = "") -> str:
        """Send what a composer holds; returns its nonce."""
        nonce = nonce or f"n{next(_nonces)}"
        self.say(type="post", room=rid, body=body, nonce=nonce)
        return nonce

    def receive(self, timeout: float = DEADLINE) -> str | None:
        """The next frame; None when there is none in time or the socket is closed."""
        try:
            text = self.socket.recv(timeout)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else 1006
            return None
        assert isinstance(text, str)
        self.frames.append(text)
        if re.search(
            r"#messages\[data-live='[^']+'\]\" hx-swap=\"innerHTML\"", html.unescape(text)
        ):
            self.shown.clear()
        for number, body, cursor in _MESSAGE.findall(text):
            seq = int(number)
            self.shown[seq] = reads(body.replace("<br>", "\n"))
            self.cursors[seq] = cursor
            self.times[seq] = self.times.get(seq, 0) + 1
            self.order.append(seq)
        return text

    def wait_for(self, what: str, deadline: float = DEADLINE) -> str:
        """Read until a frame holds `what`, as markup or as it reads; returns that frame."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            text = self.receive(max(0.01, end - time.monotonic()))
            if text is not None and (what in html.unescape(text) or what in reads(text)):
                return text
            assert self.code is None, f"closed with {self.code} before {what!r}"
        raise AssertionError(f"{what!r} did not come; last frames: {self.frames[-3:]}")

    def wait_shown(self, body: str) -> None:
        """Read until the list holds a message with this body."""
        end = time.monotonic() + DEADLINE
        while body not in self.bodies:
            assert time.monotonic() < end, f"{body!r} not shown: {self.bodies[-3:]}"
            assert self.code is None, f"closed with {self.code} before {body!r}"
            self.receive(max(0.01, end - time.monotonic()))

    def wait_closed(self, deadline: float = DEADLINE) -> int:
        """Read until the socket is closed; returns the code."""
        end = time.monotonic() + deadline
        while self.code is None:
            assert time.monotonic() < end, "not closed"
            self.receive(max(0.01, end - time.monotonic()))
        return self.code

    @property
    def bodies(self) -> list[str]:
        """What people wrote, in the order of the list."""
        return [self.shown[seq] for seq in sorted(self.shown) if self.shown[seq]]

    def close(self) -> None:
        self.socket.close()
