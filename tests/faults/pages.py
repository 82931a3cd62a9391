"""Simulates people who have pages open and write: does what htmx does with the socket, without a
browser."""

import asyncio
import itertools
import json
import random
import re
import time
from contextlib import suppress
from urllib.parse import urlencode

from chat.realtime.client_messages import MAX_PENDING

from .journal import Journal
from .reading import Epoch, Gone, Here, Refused, Reset, Shown, Stored, lines, told
from .sockets import Closed, OverHttp1, OverHttp2, discard

COMES_BACK = (1001, 1005, 1006, 1011, 1012, 1013, 1014)  # after which htmx connects again
DELAY, LONGEST = 0.2, 6.0  # seconds before connecting again: a tenth of templates' and htmx's
BEAT = 15.0  # seconds between two `watch` frames; a third of the template's interval
LINES_READ = 0.05  # share of the frames in which the rows of the room list are checked
FORMS = "/leave", "/join", "/me"  # how the paths end to which forms are posted


class Person:
    """Somebody who is signed in: a cookie and an id. `address`: the IP address that a proxy in
    front of the chat would report. `name` and `zone` are from their profile."""

    def __init__(
        self, cookie: str, uid: str, address: str = "", name: str = "", zone: str = ""
    ) -> None:
        self.cookie = cookie
        self.uid = uid
        self.address = address
        self.name, self.zone = name, zone
        self.out: set[str] = set()  # rooms that the person has left
        self.moving = asyncio.Lock()  # held while the person changes rooms

    @property
    def headers(self) -> dict[str, str]:
        """The headers of all their requests."""
        far = {"X-Forwarded-For": self.address} if self.address else {}
        return {"Cookie": self.cookie, **far}


async def request(port: int, person: Person, path: str, **form: str) -> tuple[int, str]:
    """Request a page, or post a form with the token of the person's home page. Returns the status
    and the text. Raises OSError and TimeoutError."""
    token = ""
    if form or path.endswith(FORMS):
        _, home = await request(port, person, "/")
        found = re.search(r'name="csrf_token" value="([^"]+)"', home)
        if found is None:
            raise OSError("the page has no form")
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
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 ") or (length and len(body) < int(length[1])):
        raise OSError("the response is incomplete")
    return int(head.split()[1]), body.decode(errors="replace")


class Page:
    """One page that shows one room. `ports` are the ports of the hosts; each connection chooses one
    at random. `http2`: its socket is over HTTP/2."""

    def __init__(
        self,
        name: str,
        person: Person,
        room: str,
        ports: list[int],
        journal: Journal,
        seed: int,
        http2: bool = False,
    ) -> None:
        self.name, self.person, self.room, self.ports = name, person, room, ports
        self.journal = journal
        self.random = random.Random(seed)
        self.dial = OverHttp2.open if http2 else OverHttp1.open
        self.numbers = itertools.count()
        self.epoch = self.cursor = ""
        self.last = 0
        self.list: set[int] = set()  # numbers of the events on screen
        self.newest = 0.0  # when the newest message on screen was sent
        self.people_here: int | None = None  # what the room's header says, if anything
        self.pending: dict[str, tuple[str, str]] = {}  # nonce: room and body
        self.problems: set[str] = set()  # nonces of refused messages, until Enter is pressed again
        self.acked = 0
        self.here = True  # the person is a member of the room
        self.awake = asyncio.Event()  # set while the browser runs
        self.awake.set()
        self.socket: OverHttp1 | OverHttp2 | None = None
        self.taken = 0  # messages of this socket that were handled
        self.ponged: list[
            int
        ] = []  # how many messages had arrived at each pong, until they are handled
        self.confirmed = ("", 0)  # room and number
        self.passed: dict[str, int] = {}  # what a room that was left showed, not confirmed yet
        self.over = asyncio.Event()  # set when a close code has ended the page for good
        self.tasks: set[asyncio.Task] = set()

    async def run(self) -> None:
        """Run the page until cancelled."""
        await self.load()
        tries = 0
        while not self.over.is_set():
            await self.awake.wait()
            with suppress(OSError, TimeoutError):
                port = self.random.choice(self.ports)
                self.taken, self.ponged = 0, []
                async with asyncio.timeout(10):
                    socket = await self.dial(port, self.person.headers, self._ponged)
                tries = 0
                await self._live(socket)
            await asyncio.sleep(
                min(DELAY * 2**tries, LONGEST) * self.random.uniform(0, 2)
            )  # reconnectJitter 1
            tries += 1

    async def load(self, room: str = "") -> None:
        """Load the page of a room (by default the current one) as a browser does, and retry until
        it arrives."""
        while True:
            with suppress(OSError, TimeoutError):
                port = self.random.choice(self.ports)
                status, text = await request(port, self.person, f"/rooms/{room or self.room}")
                if status == 200:
                    break
            await asyncio.sleep(self.random.uniform(0.2, 1.0))
        self.passed[self.room] = self.last  # the next frame or pong confirms it
        self.room, self.people_here = room or self.room, None
        self._reset()
        self._read(text)
        self._confirm()

    async def switch(self, room: str) -> None:
        """Show another room."""
        await self.load(room)
        self.watch()

    async def glance(self, rooms: list[str]) -> None:
        """Open, show one room after another, and close again, all as fast as possible."""
        with suppress(OSError, TimeoutError):
            self.taken, self.ponged = 0, []
            port = self.random.choice(self.ports)
            async with asyncio.timeout(10):
                socket = await self.dial(port, self.person.headers, self._ponged)
            self.room, self.last = "", 0
            living = asyncio.create_task(self._live(socket))
            try:
                for room in rooms:
                    self.passed[self.room] = self.last
                    self.room = room
                    self._reset()
                    self.watch()
                    await asyncio.sleep(self.random.uniform(0, 0.02))
            finally:
                socket.abort()
            await living  # confirm what has arrived, so that it counts as read

    async def _live(self, socket: OverHttp1 | OverHttp2) -> None:
        if not self.awake.is_set():
            socket.abort()
            return
        self.socket = socket
        self.journal.write(self.name, "open")
        beat = asyncio.create_task(self._beat())
        try:
            self.watch()
            while True:
                self._read(await socket.receive())
                self.taken += 1
                while self.ponged and self.ponged[0] <= self.taken:
                    self.ponged.pop(0)
                    self._confirm()
        except Closed as closed:
            self.journal.write(self.name, "close", code=closed.code)
            if closed.code not in COMES_BACK:
                self.over.set()
        finally:
            self.socket = None
            beat.cancel()
            socket.abort()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self.watch()

    def sleep(self) -> None:
        """Close the browser until `awake` is set."""
        self.awake.clear()
        self.people_here = None
        if self.socket is not None:
            self.socket.abort()
            self.socket = None

    @property
    def present(self) -> bool:
        """True while the page shows a room, or is reconnecting to it."""
        return self.here and self.awake.is_set()

    def watch(self) -> None:
        """Send the `watch` frame: room, cursor, epoch, and the unacknowledged composers."""
        self.journal.write(self.name, "watch", after=self.last)
        waiting = {n: what for n, what in self.pending.items() if n not in self.problems}
        waiting = dict(list(waiting.items())[:MAX_PENDING])
        self._say(
            type="watch",
            room=self.room,
            after=self.cursor,
            epoch=self.epoch,
            digest="",
            to=[room for room, _ in waiting.values()],
            nonce=list(waiting),
            body=[body for _, body in waiting.values()],
        )

    def send(self, words: str = "") -> None:
        """Write a message and press Enter."""
        nonce = f"{self.name}-{next(self.numbers)}"
        body = f"{nonce} {words}".strip()
        self.pending[nonce] = self.room, body
        t = self.journal.write(self.name, "send", room=self.room, nonce=nonce, body=body)
        self.journal.sent[body] = t
        self._enter(nonce)

    def _enter(self, nonce: str) -> None:
        if nonce in self.pending:
            room, body = self.pending[nonce]
            self._say(type="post", room=room, nonce=nonce, body=body, after=self.cursor)

    def _say(self, **fields) -> None:
        if self.socket is not None:
            self._confirm()
            text = json.dumps({**fields, "headers": {"HX-Request": "true"}})
            self._spawn(discard(self.socket, text))

    def _ponged(self, arrived: int) -> None:
        """A pong was sent after this many messages had arrived."""
        if arrived <= self.taken:
            self._confirm()
        else:
            self.ponged.append(arrived)

    def _confirm(self) -> None:
        """The frame that the page sends now confirms what it shows. It also confirms what arrived
        and was no longer shown, because the browser answers pings, not the page."""
        for room, seq in self.passed.items():
            self.journal.write(self.name, "confirmed", room=room, seq=seq)
        self.passed.clear()
        if self.confirmed != (self.room, self.last):
            self.confirmed = self.room, self.last
            self.journal.write(self.name, "confirmed", room=self.room, seq=self.last)

    def _read(self, text: str) -> None:
        room = self.room  # that the following events belong to
        for what in told(text):
            room = what.room if isinstance(what, Reset) else room
            if room == self.room or not isinstance(what, Epoch):
                self._take(what)
        if self.random.random() < LINES_READ:
            for line in lines(text):
                said = line.body.partition(" ")[0]  # the nonce
                if self.journal.is_new(self.person.zone, line.room, said, line.time, line.name):
                    self.journal.write(
                        self.name,
                        "line",
                        room=line.room,
                        said=said,
                        time=line.time,
                        name=line.name,
                    )

    def _take(self, what) -> None:
        if isinstance(what, Shown) and what.room != self.room:
            self.passed[what.room] = max(what.seq, self.passed.get(what.room, 0))
        elif isinstance(what, Shown):
            # The list has each number once and in order: an event that is sent again replaces
            # itself.
            write_shown(self.journal, self.name, what, again=what.seq in self.list)
            self.list.add(what.seq)
            if what.seq >= self.last:
                self.last, self.cursor = what.seq, f"{what.seq}-{what.at}"
            self.newest = max(self.newest, self.journal.sent.get(what.body, 0.0))
        elif isinstance(what, Reset) and what.room == self.room:
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
        elif isinstance(what, Gone) and what.room == self.room:
            self.here = False
        elif isinstance(what, Here) and what.room == self.room:
            self.people_here = what.count
            self.journal.write(self.name, "here", room=what.room, count=what.count)

    def _reset(self) -> None:
        self.cursor, self.last, self.list = "", 0, set()
        self.journal.write(self.name, "reset", room=self.room)

    async def _enter_again(self, nonce: str) -> None:
        """The person reads why the message was refused, and presses Enter again."""
        await asyncio.sleep(self.random.uniform(0.5, 1.5))
        while self.socket is None:
            await asyncio.sleep(0.2)
        self.problems.discard(nonce)
        self._enter(nonce)

    def _spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def write_shown(journal: Journal, who: str, what: Shown, again: bool) -> None:
    """Record that an event was put into the list of a page or frame."""
    journal.write(
        who,
        "again" if again else "shown",
        room=what.room,
        seq=what.seq,
        at=what.at,
        author=what.author,
        body=what.body,
        label=what.label,
    )


async def ask_until(ports: list[int], person: Person, path: str, **form: str) -> float:
    """Post a form until the answer is 303, whatever happens meanwhile. Returns the time."""
    while True:
        with suppress(OSError, TimeoutError):
            if (await request(random.choice(ports), person, path, **form))[0] == 303:
                return time.monotonic()
        await asyncio.sleep(0.2)
