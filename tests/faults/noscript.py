"""The frame of a page without JavaScript: a response that stays open until it tells the browser to
reload."""

import asyncio
import html
import re
from contextlib import suppress

from .journal import Journal
from .pages import Person, request, write_shown
from .reading import Shown, told

_FRAME = re.compile(r'<iframe class="stream" src="([^"]+)"')
_REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+); url=([^"]+)">')
_RELOAD = re.compile(rb"(?i)\r\nrefresh: (\d+)\r\n")
_IMAGE = re.compile(rb'<img src="(/rooms/[\w-]+/seen/(\d+)[\d-]*)"[^>]*>')
_END = b"</hx-upsert>"


class Frame:
    """A person reads a room in a browser without JavaScript, which connects to one port."""

    def __init__(self, name: str, person: Person, room: str, port: int, journal: Journal) -> None:
        self.name, self.person, self.room, self.port = name, person, room, port
        self.journal = journal
        self.last = 0
        self.newest = 0.0  # when the newest of what is shown was sent
        self.refreshed = 0
        self.images: set[asyncio.Task] = set()
        self.ended = ""  # why it has ended for good

    async def run(self) -> None:
        """Read until cancelled, or until a response ends without an address to continue at."""
        _, page = await request(self.port, self.person, f"/rooms/{self.room}")
        found = _FRAME.search(page)
        if found is None:
            self.ended = "the page has no frame"
            return
        address = html.unescape(found[1])
        self.journal.write(self.name, "reset", room=self.room)
        while address:
            try:
                address = await self._read(address)
            except OSError as error:
                address, self.ended = "", f"{error!r} after {self.last}"
            else:
                self.refreshed += 1
                # The request says what the frame shows.
                self.journal.write(self.name, "confirmed", room=self.room, seq=self.last)
                self.ended = "" if address else f"the answer ended after {self.last}"

    async def _read(self, address: str) -> str:
        """Read one response to its end. Returns the address to which it refreshes, "" for none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Cookie: {self.person.cookie}\r\n\r\n".encode()
            )
            head = await _until(reader, b"\r\n\r\n")
            if reload := _RELOAD.search(head):
                await asyncio.sleep(int(reload[1]))
                return address
            if not head.startswith(b"HTTP/1.1 200") or b"chunked" not in head.lower():
                raise OSError(head[:40].decode())
            rest = b""
            while size := int(await _until(reader, b"\r\n"), 16):
                try:
                    piece = await reader.readexactly(size + 2)
                except asyncio.IncompleteReadError:
                    raise OSError("cut off") from None
                whole, end, rest = (rest + piece[:-2]).rpartition(_END)
                self._take((whole + end).decode())
                for image in (*_IMAGE.finditer(whole), *_IMAGE.finditer(rest)):
                    self._load(image[1].decode(), int(image[2]))
                rest = _IMAGE.sub(b"", rest)
            found = _REFRESH.search(rest.decode())
            if found is None:
                return ""
            await asyncio.sleep(int(found[1]))
            return html.unescape(found[2])
        finally:
            writer.close()

    def _load(self, path: str, seq: int) -> None:
        """Load an image, which confirms that the frame shows events up to a number."""
        seq = min(seq, self.last)
        self.journal.write(self.name, "confirmed", room=self.room, seq=seq)
        task = asyncio.create_task(_ask(self.port, self.person, path))
        self.images.add(task)
        task.add_done_callback(self.images.discard)

    def _take(self, text: str) -> None:
        for what in told(text):
            if isinstance(what, Shown):
                write_shown(self.journal, self.name, what, again=what.seq <= self.last)
                self.last = max(self.last, what.seq)
                self.newest = max(self.newest, self.journal.sent.get(what.body, 0.0))


async def _ask(port: int, person: Person, path: str) -> None:
    with suppress(OSError, TimeoutError):
        await request(port, person, path)


async def _until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    try:
        return await reader.readuntil(end)
    except asyncio.IncompleteReadError:
        raise OSError("cut off") from None
