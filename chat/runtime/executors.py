"""The threads in which blocking work is done, a small pool for each kind of it.

asyncio has one pool for everything, where six slow jobs of one person make everybody wait: so
nothing is done there. A pool here does the work of those who ask in turn, however much each of
them asks for, and refuses what is too much to wait for.
"""

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ..bridge import await_
from ..domain.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    result: "asyncio.Future[Any]"


class Pool:
    """name: of its threads.
    threads: how many jobs run at once.
    most_each: jobs of one asker (a person or a network) that may wait.
    most: jobs of everybody that may wait.
    newest: one job too many of an asker takes the place of the one that has waited longest, which
        is refused; otherwise the new one is.

    Askers take turns, and no asker has two jobs running. Everything but the jobs themselves runs on
    the event loop."""

    def __init__(
        self, name: str, threads: int, most_each: int, most: int, newest: bool = False
    ) -> None:
        self.threads = threads
        self.most_each = most_each
        self.most = most
        self.newest = newest
        self._running: set[str] = set()  # the askers whose job it is
        self._queues: OrderedDict[str, deque[_Job]] = OrderedDict()  # the next turn comes first
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return sum(map(len, self._queues.values()))

    def run(self, asker: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work for `asker` in a thread; only the greenlet that calls waits. Raises
        Busy, and what `work` raises."""
        result: T = await_(self.arun(asker, work, *args, **kwargs))
        return result

    async def arun(self, asker: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a coroutine."""
        job = _Job(partial(work, *args, **kwargs), asyncio.get_running_loop().create_future())
        self._put(asker, job)
        self._start()
        result: T = await job.result
        return result

    def _put(self, asker: str, job: _Job) -> None:
        queue = self._queues.get(asker, deque())
        if self.newest and len(queue) >= self.most_each:
            _refuse(queue.popleft())
        if len(queue) >= self.most_each or self.waiting >= self.most:
            raise Busy
        queue.append(job)
        self._queues[asker] = queue

    def _start(self) -> None:
        """Start the jobs whose turn it is, as far as there are threads."""
        while len(self._running) < self.threads:
            asker = next((one for one in self._queues if one not in self._running), None)
            if asker is None:
                return
            queue = self._queues.pop(asker)
            job = queue.popleft()
            if queue:
                self._queues[asker] = queue  # at the end
            if job.result.done():
                continue  # who asked has gone
            self._running.add(asker)
            future = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            future.add_done_callback(partial(self._ended, asker, job))

    def _ended(self, asker: str, job: _Job, future: "asyncio.Future[Any]") -> None:
        self._running.remove(asker)
        error = future.exception()  # asked for even when nobody waits any more: asyncio logs others
        if not job.result.done():
            if error:
                job.result.set_exception(error)
            else:
                job.result.set_result(future.result())
        self._start()


def _refuse(job: _Job) -> None:
    if not job.result.done():
        job.result.set_exception(Busy())


PASSWORDS = Pool("passwords", threads=2, most_each=32, most=64)
"""Rating and hashing, by network: a school that comes in at nine is one. A hash takes 64 MiB."""

SEARCH = Pool("search", threads=4, most_each=1, most=64, newest=True)
"""Reading the index, by person: who types on is answered what was typed last."""

DOCUMENTS = Pool("documents", threads=1, most_each=2, most=8)
"""Reading what other sites publish, by its address."""

_PROCESSORS = os.cpu_count() or 1
IMAGES = Pool("images", threads=max(2, min(4, _PROCESSORS)), most_each=8, most=64)
"""Waiting for a child process that makes an image (chat.media.images), by person."""

SLOW_IMAGES = Pool("slow-images", threads=max(1, min(2, _PROCESSORS // 2)), most_each=8, most=64)
"""The same, for the images that take long. The largest takes 750 MB there."""
