"""People with pages open, who talk: what htmx does with the socket, without a browser."""

import asyncio
import itertools
import json
import random
import re
from contextlib import suppress
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from chat.page_frame import MOST_PENDING

from .journal import Journal
from .reading import Epoch, Gone, Refused, Reset, Shown, Stored, told

COMES_BACK = (1001, 1005, 1006, 1011, 1012, 1013, 1014)  # of htmx's extension ws
DELAY, LONGEST = 0.2, 6.0  # seconds before connecting again: a tenth of templates' and htmx's
BEAT = 15.0  # seconds between two times that #watch is sent; a third of the template's


class Person:
    """Somebody who is signed in: a cookie and an id. `address`: where they are, as a proxy before
    the chat would say it."""

    def __init__(self, cookie: str, uid: str, address: str = "") -> None:
        self.cookie = cookie
        self.uid = uid
        self.address = address

    @property
    def headers(self) -> dict[str, str]:
        """Of all that they ask for."""
        far = {"X-Forwarded-For": self.address} if self.address else {}
        return {"Cookie": self.cookie, **far}


async def request(port: int, person: Person, path: str, **form: str) -> tuple[int, str]:
    """Ask for a page, or post a form with the token of that person's home page; the status and
    the text. Raises OSError and TimeoutError."""
    token = ""
    if form or path.endswith(("/leave", "/join")):
        _, home = await request(port, person, "/")
        found = re.search(r'name="csrf_token" value="([^"]+)"', home)
        if found is None:
            raise OSError("no form")
        token = urlencode({"csrf_token": found[1], **form})
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = [
                f"{'POST' if token else 'GET'} {path} HTTP/1.1",
                f"Host: 127.0.0.1:{port}",
                *(f"{name}: {value}" for name, value in person.headers.items()),
                "Connection: close",
            ]
            if token:
                head += [
                    "Content-Type: application/x-www-form-urlencoded",
                    f"Content-Length: {len(token)}",
                ]
            writer.write(("\r\n".join(head) + "\r\n\r\n" + token).encode())
            answer = await reader.read()
        finally:
            writer.close()
    line, _, rest = answer.partition(b"\r\n")
    if not line.startswith(b"HTTP/1.1 "):
        raise OSError("no answer")
    return int(line.split()[1]), rest.partition(b"\r\n\r\n")[2].decode(errors="replace")


class Page:
    """One page that shows one room. `ports` are those of the hosts: each connection takes any."""

    def __init__(
        self, name: str, person: Person, room: str, ports: list[int], journal: Journal, seed: int
    ) -> None:
        self.name, self.person, self.room, self.ports = name, person, room, ports
        self.journal = journal
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.epoch = self.cursor = ""
        self.last = 0
        self.list: set[int] = set()  # numbers of what is shown
        self.newest = 0.0  # when the newest of what is shown was sent
        self.pending: dict[str, str] = {}
        self.problems: set[str] = set()  # nonces of what was refused and waits for another Enter
        self.acked = 0
        self.here = True  # in the room
        self.socket = None
        self.over = asyncio.Event()  # closed with a code after which htmx never comes back
        self.tasks: set[asyncio.Task] = set()

    async def run(self) -> None:
        """Live until cancelled."""
        await self.load()
        tries = 0
        while not self.over.is_set():
            with suppress(OSError, TimeoutError, InvalidHandshake, InvalidMessage):
                port = self.random.choice(self.ports)
                async with asyncio.timeout(10):
                    socket = await connect(
                        f"ws://127.0.0.1:{port}/live",
                        origin=f"http://127.0.0.1:{port}",
                        additional_headers=self.person.headers,
                        compression=None,
                        ping_interval=None,
                        close_timeout=0.5,
                        max_queue=None,
                        proxy=None,
                    )
                tries = 0
                await self._live(socket)
            await asyncio.sleep(
                min(DELAY * 2**tries, LONGEST) * self.random.uniform(0, 2)
            )  # reconnectJitter 1
            tries += 1

    async def load(self) -> None:
        """The page as a browser loads it, again until it is there."""
        while True:
            with suppress(OSError, TimeoutError):
                port = self.random.choice(self.ports)
                status, text = await request(port, self.person, f"/rooms/{self.room}")
                if status == 200:
                    break
            await asyncio.sleep(self.random.uniform(0.2, 1.0))
        self._reset()
        for what in told(text):
            self._take(what)

    async def _live(self, socket) -> None:
        self.socket = socket
        self.journal.write(self.name, "open")
        beat = asyncio.create_task(self._beat())
        try:
            self.watch()
            while True:
                for what in told(await socket.recv()):
                    self._take(what)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            self.journal.write(self.name, "close", code=code)
            if code not in COMES_BACK:
                self.over.set()
        finally:
            self.socket = None
            beat.cancel()
            socket.transport.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self.watch()

    def watch(self) -> None:
        """What #watch says: room, cursor, epoch, and the composers on their way."""
        self.journal.write(self.name, "watch", after=self.last)
        waiting = {n: body for n, body in self.pending.items() if n not in self.problems}
        waiting = dict(list(waiting.items())[:MOST_PENDING])
        self._say(
            type="watch",
            room=self.room,
            after=self.cursor,
            epoch=self.epoch,
            digest="",
            to=[self.room] * len(waiting),
            nonce=list(waiting),
            body=list(waiting.values()),
        )

    def send(self, words: str = "") -> None:
        """Write something and press Enter."""
        nonce = f"{self.name}-{next(self.numbers)}"
        body = f"{nonce} {words}".strip()
        self.pending[nonce] = body
        t = self.journal.write(self.name, "send", room=self.room, nonce=nonce, body=body)
        self.journal.sent[body] = t
        self._enter(nonce)

    def _enter(self, nonce: str) -> None:
        if nonce in self.pending:
            self._say(type="post", room=self.room, nonce=nonce, body=self.pending[nonce])

    def _say(self, **fields) -> None:
        if self.socket is not None:
            text = json.dumps({**fields, "headers": {"HX-Request": "true"}})
            self._spawn(self._write(self.socket, text))

    async def _write(self, socket, text: str) -> None:
        with suppress(ConnectionClosed):
            await socket.send(text)

    def _take(self, what) -> None:
        if isinstance(what, Shown) and what.room == self.room:
            # The list has each number once and in order: what comes again replaces itself.
            self.journal.write(
                self.name,
                "again" if what.seq in self.list else "shown",
                room=what.room,
                seq=what.seq,
                at=what.at,
                author=what.author,
                body=what.body,
            )
            self.list.add(what.seq)
            if what.seq >= self.last:
                self.last, self.cursor = what.seq, f"{what.seq}-{what.at}"
            self.newest = max(self.newest, self.journal.sent.get(what.body, 0.0))
        elif isinstance(what, Reset):
            self._reset()
        elif isinstance(what, Epoch):
            self.epoch = what.epoch
        elif isinstance(what, Stored):
            if self.pending.pop(what.nonce, None) is not None:
                self.acked += 1
                self.problems.discard(what.nonce)
                self.journal.write(self.name, "acked", nonce=what.nonce)
        elif isinstance(what, Refused) and what.nonce in self.pending:
            self.journal.write(self.name, "refused", nonce=what.nonce, why=what.why)
            self.problems.add(what.nonce)
            self._spawn(self._enter_again(what.nonce))
        elif isinstance(what, Gone):
            self.here = False

    def _reset(self) -> None:
        self.cursor, self.last, self.list = "", 0, set()
        self.journal.write(self.name, "reset", room=self.room)

    async def _enter_again(self, nonce: str) -> None:
        """A person reads why it was refused, and presses Enter again."""
        await asyncio.sleep(self.random.uniform(0.5, 1.5))
        while self.socket is None:
            await asyncio.sleep(0.2)
        self.problems.discard(nonce)
        self._enter(nonce)

    def _spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
