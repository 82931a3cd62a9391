"""`make soak`: people come, write and go for an hour. `make soak ARGS="--seconds 600"`.

The run fails when the memory or the file descriptors of a worker grow, when the hubs grow or keep
anything after all pages have gone, when the event loop is late by more than 50 ms at the 99th
percentile, when a message is refused, or when the log has an exception that nobody expected.

Limits are on. The load generator is a proxy to the chat (CHAT_PROXIES) and gives each person an
address of their own, so that nobody exceeds a limit by design.

A worker grows if a straight line through the second half of its samples rises by more than MOST_MB
or MOST_DESCRIPTORS: that is 12 MB an hour in an hour, and 72 in ten minutes. The hubs of all
workers together grow when such a line rises by more than MOST_SHARE of what they have.
"""

import argparse
import asyncio
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from statistics import linear_regression, median

import httpx

from ..running import Server, Visitor, opened
from .deployment import FAULTS_OF_OURS, WORDS
from .hubs import HUB_GAUGES, hub_sizes
from .journal import Journal
from .pages import Page, Person

PEOPLE_IN_ROOM, ROOMS_OF_PERSON, PAGES_OF_PERSON = 50, 4, 10
FIRST_ADDRESS = ip_address("10.1.0.0")
STAYS = 30.0, 300.0  # seconds a page is open
SAMPLE_EVERY = 5.0  # seconds
MOST_MB, MOST_DESCRIPTORS = 6.0, 20.0
MOST_SHARE = 0.1
PAGES = "chat_connections"  # the metric that counts a worker's pages
EMPTY_WITHIN = 60.0  # seconds after which the hubs must be empty
LATEST = "0.05"  # seconds that the loop may be late in 99 % of cases; one of metrics.LAG_BUCKETS


class Silent(Journal):
    """A journal that keeps only why messages were refused, because the run lasts an hour."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def is_new(self, *line):
        return False

    def write(self, who, op, **fields):
        self.sent.clear()
        if op == "refused":
            self.refused.append(fields["why"])
        return time.monotonic()


class Soak:
    """`size` pages that together send `rate` messages a second, for `seconds`."""

    def __init__(self, folder: Path, size: int, rate: float, seconds: float, workers: int) -> None:
        self.server = Server(folder, CHAT_PROXIES="127.0.0.1", CHAT_WORKERS=str(workers))
        self.size, self.rate, self.seconds = size, rate, seconds
        self.people: list[tuple[Person, list[str]]] = []
        self.journal = Silent()
        self.open: dict[Page, asyncio.Task] = {}
        self.opened = 0
        self.acked = 0
        self.samples: dict[int, list[tuple[int, int]]] = {}  # worker: kB, descriptors
        self.hubs: dict[str, list[float]] = {}  # the totals of all hubs, by metric
        self.remains: dict[str, float] = {}  # what is left in the hubs at the end

    async def run(self) -> dict[int, dict[str, float]]:
        """Run, and return how the event loop's metrics of each worker have changed."""
        await asyncio.to_thread(self.server.start)
        await asyncio.to_thread(self._invite)
        talking = asyncio.create_task(self._talk())
        coming = asyncio.create_task(self._keep_open())
        while len(self.open) < self.size:
            await asyncio.sleep(0.5)
        print(f"{self.size} pages are open", flush=True)
        before, end = await self._lag(), time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(SAMPLE_EVERY, left))
            self._sample(await hub_sizes(self.server))
        after = await self._lag()
        for task in (talking, coming, *self.open.values()):
            task.cancel()
        await asyncio.gather(talking, coming, *self.open.values(), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(EMPTY_WITHIN):
                while any((await self._in_hubs()).values()):
                    await asyncio.sleep(1.0)
        self.remains = await self._in_hubs()
        return {
            pid: {
                edge: after[pid][edge] - before.get(pid, {}).get(edge, 0.0) for edge in after[pid]
            }
            for pid in after
        }

    def _invite(self) -> None:
        rooms: list[str] = []
        for n in range(max(1, self.size // PAGES_OF_PERSON)):
            visitor, address = Visitor(self.server.url), str(FIRST_ADDRESS + n)
            visitor.http.headers["X-Forwarded-For"] = address
            visitor.sign_in(f"Person {n}")
            if len(rooms) < max(1, self.size // PEOPLE_IN_ROOM):
                rooms.append(visitor.create_room(f"Room {n}"))
            mine = random.sample(rooms, min(len(rooms), ROOMS_OF_PERSON))
            for room in mine:
                visitor.join(room)
            self.people.append((Person(visitor.cookie, visitor.uid, address), mine))
            opened.pop_all().close()

    async def _keep_open(self) -> None:
        """Replace each page that closes by another one. The first pages open one after another."""
        while True:
            for page, task in list(self.open.items()):
                if task.done():
                    del self.open[page]
                    self.acked += page.acked
            while len(self.open) < self.size:
                self._come()
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)

    def _come(self) -> None:
        # In turn, because at random somebody would have more pages open than allowed.
        person, rooms = self.people[self.opened % len(self.people)]
        self.opened += 1
        page = Page(
            f"page{self.opened}",
            person,
            random.choice(rooms),
            [self.server.port],
            self.journal,
            self.opened,
        )
        self.open[page] = asyncio.create_task(_stay(page))

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(self.rate))
            page = random.choice(list(self.open) or [None])
            if page is not None and page.socket is not None:
                page.send(" ".join(random.choices(WORDS, k=8)))

    def _sample(self, sizes: dict[int, dict[str, float]]) -> None:
        for pid, size in sizes.items():
            status = Path(f"/proc/{pid}/status").read_text()
            memory = int(re.search(r"VmRSS:\s+(\d+)", status)[1])
            # The number of a worker's pages varies, and each page has a descriptor.
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir())) - int(size[PAGES])
            self.samples.setdefault(pid, []).append((memory, descriptors))
        for gauge, count in _sums(sizes).items():
            self.hubs.setdefault(gauge, []).append(count)

    async def _in_hubs(self) -> dict[str, float]:
        return _sums(await hub_sizes(self.server))

    async def _lag(self) -> dict[int, dict[str, float]]:
        """Return how often the event loop was late by at most how much, for each worker."""
        found: dict[int, dict[str, float]] = {}
        wanted = set(self.server.workers())
        pattern = r'chat_loop_lag_seconds_(?:bucket|count)\{(?:le="([^"]+)",)?pid="(\d+)"\} (\S+)'
        async with httpx.AsyncClient(headers={"Connection": "close"}, timeout=30) as client:
            while set(found) != wanted:
                text = (await client.get(f"{self.server.url}/metrics")).text
                for edge, pid, count in re.findall(pattern, text):
                    found.setdefault(int(pid), {})[edge or "all"] = float(count)
        return found

    def problems(self, lag: dict[int, dict[str, float]]) -> list[str]:
        """Print what was measured, and return what is wrong, in words."""
        found = []
        for pid, samples in self.samples.items():
            memory = [kb / 1024 for kb, _ in samples]
            descriptors = [float(n) for _, n in samples]
            in_time = lag[pid][LATEST] / lag[pid]["all"] if pid in lag else 0.0
            print(
                f"worker {pid}: {course(memory)} MB, growth {rise(memory):+.1f}; "
                f"{course(descriptors)} descriptors besides those of its pages, growth "
                f"{rise(descriptors):+.0f}; the loop "
                f"was at most {LATEST} s late in {100 * in_time:.2f} % of cases"
            )
            if rise(memory) > MOST_MB:
                found.append(f"the memory of worker {pid} grows")
            if rise(descriptors) > MOST_DESCRIPTORS:
                found.append(f"the file descriptors of worker {pid} grow")
            if in_time < 0.99:
                found.append(f"the event loop of worker {pid} is late")
        for gauge, what in HUB_GAUGES.items():
            counts = self.hubs.get(gauge, [])
            print(f"{what}: {course(counts)}, growth {rise(counts):+.0f}")
            if counts and rise(counts) > MOST_SHARE * median(counts):
                found.append(f"the {what} in the hubs grow")
            if self.remains.get(gauge):
                found.append(f"the hubs keep {self.remains[gauge]:.0f} {what} after all pages left")
        if len(self.samples) != int(self.server.env["CHAT_WORKERS"]):
            found.append("a worker has died")
        found += [f"a message was refused: {why}" for why in sorted(set(self.journal.refused))]
        lines = self.server.log().splitlines()
        found += [line for line in lines if any(word in line for word in FAULTS_OF_OURS)]
        stuck = [page.name for page in self.open if page.over.is_set()]
        return found + [f"{name} was closed for good" for name in stuck]


def _sums(sizes: dict[int, dict[str, float]]) -> dict[str, float]:
    return {gauge: sum(size[gauge] for size in sizes.values()) for gauge in HUB_GAUGES}


def rise(values: Sequence[float]) -> float:
    """Return by how much a straight line through the second half of the values rises. The values
    are evenly spaced; the first half is warm-up."""
    half = values[len(values) // 2 :]
    if len(half) < 2:
        return 0.0
    return linear_regression(range(len(half)), half).slope * (len(half) - 1)


def course(values: Sequence[float]) -> str:
    """Return the medians of the four quarters of a run, in words."""
    size = max(1, len(values) // 4)
    quarters = [values[n : n + size] for n in range(0, len(values), size)][:4]
    return ", ".join(f"{median(quarter):.0f}" for quarter in quarters)


async def _stay(page: Page) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(random.uniform(*STAYS)):
            await page.run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chat-soak-"))
    soak = Soak(folder, options.pages, options.rate, options.seconds, options.workers)
    try:
        lag = asyncio.run(soak.run())
        print(f"{soak.opened} pages were opened; closed pages posted {soak.acked} messages")
        problems = soak.problems(lag)
    finally:
        soak.server.clean_up()
    for problem in problems[:20]:
        print(f"PROBLEM: {problem}")
    if problems:
        print(f"the log is {folder / 'chat.log'}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
