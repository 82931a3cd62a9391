"""The deployment for faults: two databases, two hosts in front of them, and pages that post
messages."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from chat.store import keys

from ..clocks import Clock
from ..proxy import Proxy
from ..running import Server, Visitor, opened
from .database import Database, streams
from .hubs import HUB_GAUGES, hub_sizes
from .journal import Journal
from .noscript import Frame
from .pages import Page, Person, ask_until, request
from .verdict import Streams
from .wires import Space, several

WORKERS = ("2", "1")  # of each host
SECRET = "a secret that all hosts have in common"
FAULTS_OF_OURS = ("Traceback", "Exception in callback", "never retrieved", "Unhandled")
WORDS = ("tea", "cup", "rain", "wind", "sun", "north", "river", "bread", "salt", "stone", "bird")
# Neighbours in this list never show the same time.
ZONES = (
    *("Pacific/Apia", "America/Los_Angeles", "Asia/Kolkata", "America/New_York", "Asia/Tokyo"),
    *(
        "America/St_Johns",
        "Europe/Berlin",
        "Pacific/Marquesas",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
    ),
    *(
        "Australia/Adelaide",
        "Africa/Nairobi",
        "Pacific/Chatham",
        "UTC",
        "Asia/Yangon",
        "Asia/Dubai",
    ),
)


class Deployment:
    """`pages` in `rooms`, which together send `rate` messages a second. `apart`: each host has a
    network namespace of its own, if the machine allows that."""

    def __init__(
        self, folder: Path, seed: int, pages: int, rooms: int, rate: float, apart: bool = False
    ) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.size, self.rate = pages, rate
        (folder / "pages").mkdir(parents=True)
        self.journal = Journal(folder / "pages")
        self.rooms: list[str] = [""] * rooms
        self.hosts: list[Server] = []
        self.clocks: list[Clock] = []  # of each host
        self.spaces: list[Space] = several(len(WORKERS)) if apart else []
        self.links: list[Proxy] = []  # from each host to the database
        self.fronts: list[Proxy] = []  # from the browsers to each host
        self.pages: list[Page] = []
        self.passers: list[Page] = []
        self.frames: list[Frame] = []
        self.people: list[Person] = []
        self.tasks: list[asyncio.Task] = []
        self.talking = True
        self.wandering = True

    # The database; other deployments override this

    def start_databases(self) -> None:
        self.primary, self.replica = (Database(self.folder / f"valkey{n}") for n in (1, 2))
        for database in (self.primary, self.replica):
            database.start()
        self.replica.follow(self.primary)

    async def address_for(self, here: str) -> str:
        """Return the REDIS_URL of the next host, which reaches this machine at the address
        `here`."""
        link = await Proxy(self.primary.port, here=here).start()
        self.links.append(link)
        return f"redis://{here}:{link.port}"

    def client_of(self, key: str) -> Any:
        """Return a client of the server that has a key."""
        return self.primary.client

    def clients(self) -> list[Any]:
        """Return clients of all primaries."""
        return [self.primary.client]

    def close_databases(self) -> None:
        for database in (self.primary, self.replica):
            database.clean_up()

    # Start and end

    async def open(self) -> None:
        self.journal.write("harness", "clock", wall=time.time())
        await asyncio.to_thread(self.start_databases)
        for number, workers in enumerate(WORKERS):
            space = self.spaces[number] if self.spaces else None
            folder = self.folder / f"host{number + 1}"
            folder.mkdir()
            clock = Clock(self.folder / f"clock{number + 1}")
            self.clocks.append(clock)
            host = Server(
                folder,
                REDIS_URL=await self.address_for(space.back.near if space else "127.0.0.1"),
                SECRET_KEY=SECRET,
                CHAT_WORKERS=workers,
                CHAT_LIMITS="off",
                CHAT_H2C="on",
                CHAT_PING="10",
                CHAT_METRICS="127.0.0.1/32,198.18.0.0/15",
                **clock.python,
            )
            if space:
                host.address, host.inside = space.front.far, space.inside
            self.hosts.append(host)
            self.fronts.append(await Proxy(host.port, there=host.address).start())
        for host in self.hosts:
            await asyncio.to_thread(host.start)
        await asyncio.to_thread(self._invite)
        for number in range(self.size):
            room = self.rooms[number % len(self.rooms)]
            self.come(f"page{number}", self.people[number % len(self.people)], room, number)
        self.tasks += [asyncio.create_task(self._talk()), asyncio.create_task(self._wander())]

    def _invite(self) -> None:
        """People sign in and join rooms: a third as many people as pages in each room."""
        url = self.hosts[0].url
        visitors = [
            Visitor(url, f"Person {n}") for n in range(max(len(self.rooms), self.size // 3))
        ]
        self.rooms = [visitors[0].create_room(f"Room {n}") for n in range(len(self.rooms))]
        for number, visitor in enumerate(visitors):
            for room in self.rooms:
                visitor.join(room)
            name, zone = f"Person {number}", ZONES[number % len(ZONES)]
            answer = visitor.submit("/me", "/me", name=name, zone=zone)
            assert answer.status_code == 303, answer.text
            person = Person(visitor.cookie, visitor.uid, name=name, zone=zone)
            self.people.append(person)
            self._write_profile(person, 0.0)
        opened.pop_all().close()

    def _write_profile(self, person: Person, begun: float) -> None:
        self.journal.write(person.uid, "profile", name=person.name, zone=person.zone, begun=begun)

    def come(self, name: str, person: Person, room: str, number: int) -> Page:
        """Open a page. A third of the pages always connect to the first host, a third to the
        second, and a third to a different one each time, because no page may depend on returning to
        its host. One in five uses HTTP/2 for its socket."""
        ports = [front.port for front in self.fronts]
        ports = [*([port] for port in ports), ports][number % (len(ports) + 1)]
        seed, http2 = self.random.getrandbits(32), number % 5 == 4
        page = Page(name, person, room, ports, self.journal, seed, http2)
        self.pages.append(page)
        self.tasks.append(asyncio.create_task(page.run()))
        return page

    def passer(self) -> Page:
        """Return one more page for somebody, which is not open yet."""
        name, like = f"passer{len(self.passers)}", self.random.choice(self.pages)
        seed, http2 = self.random.getrandbits(32), len(self.passers) % 5 == 4
        page = Page(name, like.person, like.room, like.ports, self.journal, seed, http2)
        self.passers.append(page)
        return page

    async def close(self) -> None:
        await self.end_pages()
        for proxy in (*self.links, *self.fronts):
            proxy.close()
        for host in self.hosts:
            await asyncio.to_thread(host.clean_up)
        for space in self.spaces:
            await asyncio.to_thread(space.close)
        await asyncio.to_thread(self.close_databases)
        self.journal.close()

    async def end_pages(self) -> None:
        """Close all pages."""
        for page in self.pages:
            page.sleep()
        await asyncio.sleep(0.5)  # what had arrived is confirmed, and is read
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(self.rate))
            page = self.random.choice(self.pages)
            if self.talking and page.present and page.last and page.name.startswith("page"):
                page.send(" ".join(self.random.choices(WORDS, k=self.random.randint(1, 12))))

    async def _wander(self) -> None:
        """Let a page show another room now and then."""
        while True:
            await asyncio.sleep(self.random.expovariate(self.size / 150))
            page = self.random.choice(self.pages)
            if self.wandering and page.socket and page.present and page.name.startswith("page"):
                async with page.person.moving:
                    rooms = [r for r in self.rooms if r not in {page.room, *page.person.out}]
                    if rooms and page.present:
                        await page.switch(self.random.choice(rooms))

    # What pages show

    @property
    def present(self) -> list[Page]:
        """Return the pages that show a room."""
        return [page for page in self.pages if page.present]

    async def recovered(self, since: float, within: float = 60.0) -> float:
        """Wait until every page has shown a message that was sent to its room after `since`.
        Returns how many seconds that took. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while any(p.newest < since for p in self.present if p.name.startswith("page")):
                await asyncio.sleep(0.02)
        return time.monotonic() - since

    def people_here(self, room: str) -> int:
        """Return how many members of a room have a page open."""
        uids = {p.person.uid for p in self.pages if p.socket and room not in p.person.out}
        return len(uids)

    async def settled(self, within: float) -> float:
        """Wait until every page shows who is online. Returns how many seconds that took. The
        checker finds pages that do not."""
        begun, self.wandering = time.monotonic(), False
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._told_who_is_here():
                    await asyncio.sleep(0.1)
        for page in self.present:
            really = self.people_here(page.room)
            self.journal.write(
                page.name, "presence", room=page.room, told=page.people_here, really=really
            )
        self.wandering = True
        return time.monotonic() - begun

    def _told_who_is_here(self) -> bool:
        here = {room: self.people_here(room) for room in self.rooms}
        return all(p.socket and p.people_here == here[p.room] for p in self.present)

    @asynccontextmanager
    async def steady(self) -> AsyncIterator[None]:
        """A context in which nobody comes or goes, and no page may show otherwise. It begins when
        everything has settled."""
        await self.settled(60.0)
        self.wandering = False
        here = {room: self.people_here(room) for room in self.rooms}
        self.journal.write("harness", "steady", rooms=here)
        try:
            yield
        finally:
            self.journal.write("harness", "unsteady")
            self.wandering = True

    async def look_at_read_numbers(self) -> None:
        """Record what counts as read."""
        with suppress(Exception):  # during some faults the database cannot be asked
            numbers = await asyncio.to_thread(self._read_numbers)
            await asyncio.sleep(0.5)  # so that earlier confirmations are recorded
            for room, uid, seq in numbers:
                self.journal.write(uid, "read", room=room, seq=seq)

    def _read_numbers(self) -> list[tuple[str, str, int]]:
        return [
            (room, uid, int(seq))
            for room in self.rooms
            for uid, seq in self.client_of(keys.room(room)).hgetall(keys.read(room)).items()
        ]

    async def quiet(self, within: float = 60.0) -> None:
        """Stop posting, and wait until every message is answered and every page has all of them.
        The checker finds pages that do not."""
        self.talking = self.wandering = False
        try:
            async with asyncio.timeout(within):
                while any(page.pending for page in self.pages):
                    await asyncio.sleep(0.05)
                while not await asyncio.to_thread(self._current):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pass

    def _current(self) -> bool:
        tops = {}
        for page in self.present:
            if page.room not in tops:
                key = keys.room(page.room)
                tops[page.room] = int(self.client_of(key).hget(key, "seq"))
        return all(page.last == tops[page.room] for page in self.present)

    async def emptied(self, within: float = 60.0) -> None:
        """After `end_pages`, wait until no worker has a page, room or subscription. Records what
        remains."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while any(count for *_, count in await self._hubs()):
                    await asyncio.sleep(0.5)
        for host, gauge, count in await self._hubs():
            self.journal.write("harness", "remains", host=host, what=HUB_GAUGES[gauge], count=count)

    async def _hubs(self) -> list[tuple[str, str, float]]:
        """Yield what each worker has: the name of its host, the metric, and the number."""
        found = []
        for host in self.hosts:
            for pid, gauges in (await hub_sizes(host)).items():
                name = f"worker {pid} of {host.data.name}"
                found += [(name, gauge, count) for gauge, count in gauges.items()]
        return found

    def streams(self) -> Streams:
        """Return the events of every room."""
        return streams(self.clients())

    def ours(self) -> list[str]:
        """Return the lines of the hosts' logs about unexpected exceptions."""
        lines = [line for host in self.hosts for line in host.log().splitlines()]
        return [line for line in lines if any(word in line for word in FAULTS_OF_OURS)]

    # What people do

    async def leave(self, page: Page) -> str:
        """Let the person of a page leave the room in another tab. Returns the room."""
        room, person = page.room, page.person
        async with person.moving:
            person.out.add(room)
            status, _ = await request(self.fronts[0].port, person, f"/rooms/{room}/leave")
            for other in self._pages_of(person, room):
                if status == 303:
                    other.here = False
                    self.journal.write(other.name, "left", room=room)
        return room

    async def join(self, person: Person, room: str) -> None:
        """Let the person join the room again, and reload its pages."""
        async with person.moving:
            await ask_until([front.port for front in self.fronts], person, f"/rooms/{room}/join")
            person.out.discard(room)
            for page in self._pages_of(person, room):
                await page.load()
                page.here = True
                page.watch()

    def _pages_of(self, person: Person, room: str) -> list[Page]:
        return [page for page in self.pages if page.person is person and page.room == room]

    async def change_profile(self, person: Person, name: str, zone: str) -> None:
        """Change somebody's name and time zone."""
        begun = time.monotonic()
        person.name, person.zone = name, zone
        ports = [front.port for front in self.fronts]
        await ask_until(ports, person, "/me", name=name, zone=zone)
        self._write_profile(person, begun)

    async def restart(self, host: Server) -> None:
        await asyncio.to_thread(host.stop)
        await asyncio.to_thread(host.start)

    async def repoint(self) -> None:
        """Make the replica the primary, and the old primary its replica."""
        self.primary, self.replica = self.replica, self.primary
        for link in self.links:
            link.target = self.primary.port
            link.drop()
        if self.replica.process is None:
            await asyncio.to_thread(self.replica.start)
        await asyncio.to_thread(self.replica.follow, self.primary)
