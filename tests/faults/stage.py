"""What faults happen to: two databases, two hosts before them, and pages that talk."""

import asyncio
import random
import time
from contextlib import suppress
from pathlib import Path

from ..proxy import Proxy
from ..running import Server, Visitor, opened
from .crowd import Page, Person, request
from .database import Database
from .journal import Journal
from .wires import Space, several

WORKERS = ("2", "1")  # of each host
SECRET = "a secret that all hosts have in common"
FAULTS_OF_OURS = ("Traceback", "Exception in callback", "never retrieved", "Unhandled")
WORDS = ("tea", "cup", "rain", "wind", "sun", "north", "river", "bread", "salt", "stone", "bird")


class Stage:
    """`pages` in `rooms`, who send `rate` messages a second between them. `apart`: each host is in
    a network namespace of its own, where there can be one."""

    def __init__(
        self, folder: Path, seed: int, pages: int, rooms: int, rate: float, apart: bool = False
    ) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.size, self.rate = pages, rate
        (folder / "pages").mkdir(parents=True)
        self.journal = Journal(folder / "pages")
        self.primary, self.replica = (Database(folder / f"valkey{n}") for n in (1, 2))
        self.rooms: list[str] = [""] * rooms
        self.hosts: list[Server] = []
        self.spaces: list[Space] = several(len(WORKERS)) if apart else []
        self.links: list[Proxy] = []  # from each host to the database
        self.fronts: list[Proxy] = []  # from the browsers to each host
        self.pages: list[Page] = []
        self.people: list[Person] = []
        self.tasks: list[asyncio.Task] = []
        self.talking = True

    # Beginning and end

    async def open(self) -> None:
        for database in (self.primary, self.replica):
            await asyncio.to_thread(database.start)
        await asyncio.to_thread(self.replica.follow, self.primary)
        for number, workers in enumerate(WORKERS):
            space = self.spaces[number] if self.spaces else None
            here = space.back.near if space else "127.0.0.1"
            link = await Proxy(self.primary.port, here=here).start()
            self.links.append(link)
            host = Server(
                self.folder / f"host{number + 1}",
                REDIS_URL=f"redis://{here}:{link.port}",
                SECRET_KEY=SECRET,
                CHAT_WORKERS=workers,
                CHAT_LIMITS="off",
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
        self.tasks.append(asyncio.create_task(self._talk()))

    def _invite(self) -> None:
        """People sign in and join: each room has a third as many as it has pages."""
        url = self.hosts[0].url
        visitors = [
            Visitor(url, f"Person {n}") for n in range(max(len(self.rooms), self.size // 3))
        ]
        self.rooms = [visitors[0].create_room(f"Room {n}") for n in range(len(self.rooms))]
        for visitor in visitors:
            for room in self.rooms:
                visitor.join(room)
            self.people.append(Person(visitor.cookie, visitor.uid))
        opened.pop_all().close()

    def come(self, name: str, person: Person, room: str, number: int) -> Page:
        """A page is opened. One in three comes to the first host always, one to the second, and one
        to either, another each time: nobody may need to come back to where they were."""
        ports = [front.port for front in self.fronts]
        ports = [*([port] for port in ports), ports][number % (len(ports) + 1)]
        page = Page(name, person, room, ports, self.journal, self.random.getrandbits(32))
        self.pages.append(page)
        self.tasks.append(asyncio.create_task(page.run()))
        return page

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for proxy in (*self.links, *self.fronts):
            proxy.close()
        for host in self.hosts:
            await asyncio.to_thread(host.clean_up)
        for space in self.spaces:
            await asyncio.to_thread(space.close)
        for database in (self.primary, self.replica):
            database.clean_up()
        self.journal.close()

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(self.rate))
            page = self.random.choice(self.pages)
            if self.talking and page.here and page.last and page.name.startswith("page"):
                page.send(" ".join(self.random.choices(WORDS, k=self.random.randint(1, 12))))

    # What is seen

    @property
    def present(self) -> list[Page]:
        """The pages that show a room."""
        return [page for page in self.pages if page.here]

    async def recovered(self, since: float, within: float = 60.0) -> float:
        """Wait until every page was shown something that was sent after `since`, by each room's
        own traffic; the seconds that took. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while any(p.newest < since for p in self.present if p.name.startswith("page")):
                await asyncio.sleep(0.02)
        return time.monotonic() - since

    async def quiet(self, within: float = 60.0) -> None:
        """Nobody writes any more; wait until what was sent is answered and everyone has all of
        it. Who does not is found by the checker."""
        self.talking = False
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
                tops[page.room] = int(self.primary.client.hget(f"chat:room:{{{page.room}}}", "seq"))
        return all(page.last == tops[page.room] for page in self.present)

    def ours(self) -> list[str]:
        """Lines of the hosts' logs that tell of an exception nobody expected."""
        lines = [line for host in self.hosts for line in host.log().splitlines()]
        return [line for line in lines if any(word in line for word in FAULTS_OF_OURS)]

    # What happens to it

    async def leave(self, page: Page) -> None:
        """The person of a page leaves the room by another page, and joins again after a while."""
        port = self.fronts[0].port
        status, _ = await request(port, page.person, f"/rooms/{page.room}/leave")
        if status == 303:
            for other in self.pages:
                if other.person is page.person and other.room == page.room:
                    other.here = False
                    self.journal.write(other.name, "left", room=page.room)

    async def join(self, page: Page) -> None:
        """Come back to the room, and load its pages anew."""
        while True:
            with suppress(OSError, TimeoutError):
                port = self.random.choice(self.fronts).port
                if (await request(port, page.person, f"/rooms/{page.room}/join"))[0] == 303:
                    break
            await asyncio.sleep(0.2)
        for other in self.pages:
            if other.person is page.person and other.room == page.room:
                await other.load()
                other.here = True
                other.watch()

    async def restart(self, host: Server) -> None:
        await asyncio.to_thread(host.stop)
        await asyncio.to_thread(host.start)

    async def repoint(self) -> None:
        """The replica is the database from now on, and the old one its replica."""
        self.primary, self.replica = self.replica, self.primary
        for link in self.links:
            link.target = self.primary.port
            link.drop()
        if self.replica.process is None:
            await asyncio.to_thread(self.replica.start)
        await asyncio.to_thread(self.replica.follow, self.primary)
