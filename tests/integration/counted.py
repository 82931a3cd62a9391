"""The chat in this process, with its work counted: calls of functions in one step of the event
loop, and commands to Redis with their answers. Counting shows what timing cannot show on a shared
machine: that no page does more in one piece, or reads more, as the chat grows. The Valkey is a real
one, and so are the bridge, the hub, the pages and the process that renders texts; only sockets are
left out.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from greenback import with_portal_run_sync

from chat.app import Chat, create_app
from chat.bridge import Bridge
from chat.config import Settings
from chat.rendering.text_renderer import TextRenderer
from chat.runtime import cooperation
from chat.runtime.fork_server import ForkServer
from chat.server import worker
from chat.store import Store

HOST = "chat.test"


@dataclass
class Count:
    """What happened since `reset`."""

    calls: int = 0  # of functions in the longest step of the loop
    commands: int = 0  # asked of Redis
    together: int = 0  # the largest number in one piece
    trips: int = 0  # pieces, each of which is waited for
    read: int = 0  # values in answers: members, fields, entries
    largest: int = 0  # bytes of the largest answer
    piece: int = 0  # bytes of the answers to one piece, of the largest
    sent: int = 0  # bytes of the largest piece
    largest_of: str = ""  # the beginning of the commands in the piece with the largest answers

    def reset(self) -> None:
        self.calls = self.commands = self.together = self.trips = self.read = 0
        self.largest = self.piece = self.sent = 0
        self.largest_of = ""


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    count: Count = field(default_factory=Count)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Counted:
    """`app` over the database at `url`; to be used as an async context manager. `counts_calls` is
    for those who read `Count.calls`: a profiler makes everything take twice as long."""

    def __init__(
        self, url: str, settings: Settings, children: ForkServer, counts_calls: bool = True
    ) -> None:
        self.url = url
        self.counts_calls = counts_calls
        self.children = children
        self.settings = settings
        self.count = Count()
        self.app: Chat

    async def __aenter__(self) -> "Counted":
        where, self.client = worker._redis(self.url)
        self._where = where
        self._count_redis()
        self.texts = TextRenderer(self.children.connect)
        self.app = create_app(self.settings, Store(self.client), where, self.texts)
        worker.warm_up(self.app.jinja_env)
        self.bridge = Bridge(self.app)
        self._listening = asyncio.create_task(self.app.realtime.subscriber.run())
        self._seconds, cooperation.TURN_SECONDS = (
            cooperation.TURN_SECONDS,
            0.0,
        )  # at every opportunity
        self._run = asyncio.events.Handle._run
        if self.counts_calls:
            self._count_steps()
        return self

    async def __aexit__(self, *error: object) -> None:
        asyncio.events.Handle._run = self._run
        cooperation.TURN_SECONDS = self._seconds
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self.texts.close()
        await self.client.aclose()
        await self._where.aclose()

    # Counting

    def _count_steps(self) -> None:
        """Each callback of the loop is a step. The profiler is set for each anew, for a greenlet
        that begins does not inherit it."""
        run = self._run
        count = self.count

        def counted(handle: asyncio.Handle) -> None:
            calls = 0

            def profile(_frame: Any, event: str, _arg: Any) -> None:
                nonlocal calls
                calls += event == "call" or event == "c_call"

            sys.setprofile(profile)
            try:
                run(handle)
            finally:
                sys.setprofile(None)
            count.calls = max(count.calls, calls)

        asyncio.events.Handle._run = counted  # type: ignore[method-assign]

    def _count_redis(self) -> None:
        count, client = self.count, self.client
        take, write = client._take, client._write
        # Of each piece on its way: how many answers are to come, their bytes, what was asked.
        pieces = deque[list[Any]]()

        def taken(reply: Any) -> None:
            count.read += size(reply)
            count.largest = max(count.largest, length(reply))
            piece = pieces[0]
            piece[0] -= 1
            piece[1] += length(reply)
            if piece[1] > count.piece:
                count.piece, count.largest_of = piece[1], piece[2]
            if not piece[0]:
                pieces.popleft()
            take(reply)

        def written() -> None:
            count.together = max(count.together, len(client._asked))
            count.commands += len(client._asked)
            count.trips += 1
            if asked := client._asked if client._link is not None else []:
                first = asked[0][0][:120].decode(errors="replace")
                pieces.append([len(asked), 0, " ".join(first.split("\r\n"))])
                count.sent = max(count.sent, sum(len(command[0]) for command in asked))
            write()

        client._take, client._write = taken, written  # type: ignore[method-assign]

    # Asking

    async def get(self, path: str, cookie: str, **headers: str) -> Answer:
        """A page as the person of a cookie asks for it."""
        return await self.ask("GET", path, cookie, **headers)

    async def ask(self, method: str, path: str, cookie: str, **headers: str) -> Answer:
        answer, told = Answer(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not told.is_set():
                told.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            return await asyncio.get_running_loop().create_future()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        sent = {"host": HOST, "cookie": cookie, "accept-encoding": "identity", **headers}
        asked = self.bridge(self._scope("http", method, path, sent), receive, send)
        answer.count = await self._counted(asked)
        return answer

    async def _counted(self, work: Coroutine[Any, Any, None]) -> Count:
        """Do it in steps of its own; returns what was counted meanwhile."""
        await asyncio.sleep(0)  # what the test itself has done ends here
        self.count.reset()
        await asyncio.create_task(work)
        return replace(self.count)

    async def page(self, cookie: str, *frames: dict[str, str]) -> tuple[list[str], Count]:
        """What a page is sent that opens a socket and says these frames, and what that counted."""
        told: list[str] = []
        count = await self._counted(self._page(cookie, frames, told))
        return told, count

    async def _page(self, cookie: str, frames: tuple[dict[str, str], ...], told: list[str]) -> None:
        asked = asyncio.Queue[dict[str, Any]]()
        asked.put_nowait({"type": "websocket.connect"})

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.accept":
                for frame in frames:
                    text = json.dumps({**frame, "headers": {"HX-Request": "true"}})
                    asked.put_nowait({"type": "websocket.receive", "text": text, "bytes": None})
                asked.put_nowait({"type": "websocket.disconnect", "code": 1001})
            elif message["type"] == "websocket.send":
                told.append(message["text"])

        sent = {"host": HOST, "cookie": cookie, "origin": f"http://{HOST}"}
        sent |= {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        sent |= {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
        scope = self._scope("websocket", "GET", "/live", sent)
        await self.bridge(scope, asked.get, send)

    async def do(self, work: Callable[..., Any], *args: Any) -> Count:
        """Call what asks the store, in a greenlet; what that counted."""
        return await self._counted(with_portal_run_sync(work, *args))

    def _scope(self, kind: str, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
        path, _, query = path.partition("?")
        return {
            "type": kind,
            "method": method,
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "http_version": "1.1",
            "headers": [
                (k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": (HOST, 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }


def length(reply: Any) -> int:
    """About how many bytes an answer of Redis has."""
    if isinstance(reply, list):
        return 8 + sum(map(length, reply))
    return 8 + len(reply.encode()) if isinstance(reply, str) else 8


def size(reply: Any) -> int:
    """How many values an answer of Redis holds."""
    if isinstance(reply, dict):
        return 2 * len(reply)
    if isinstance(reply, list | tuple | set):
        return sum(map(size, reply))
    return 1
