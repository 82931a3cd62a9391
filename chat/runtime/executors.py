"""Thread pools for blocking work: a small one for each kind of work.

asyncio has one pool for everything, in which six slow jobs of one person would make everybody wait.
So it is not used. The pools here serve people in turn, however many jobs each of them has, and
refuse jobs when too many are waiting.
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
    """Runs jobs in threads. Askers (people or networks) take turns, and each has at most one job
    running. Everything but the jobs themselves runs on the event loop.

    name: of the threads.
    threads: how many jobs run at the same time.
    most_each: how many jobs of one asker may wait.
    most: how many jobs may wait in total.
    newest: with one job too many, the asker's oldest waiting job is refused; otherwise the new one.
    """

    def __init__(
        self, name: str, threads: int, most_each: int, most: int, newest: bool = False
    ) -> None:
        self.threads = threads
        self.most_each = most_each
        self.most = most
        self.newest = newest
        self._running: set[str] = set()  # the askers who have a job running
        self._queues: OrderedDict[str, deque[_Job]] = OrderedDict()  # the next turn comes first
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def waiting(self) -> int:
        """The number of waiting jobs."""
        return sum(map(len, self._queues.values()))

    def run(self, asker: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work for `asker` in a thread; only the calling greenlet waits. Raises Busy if
        too many jobs are waiting, and what `work` raises."""
        result: T = await_(self.arun(asker, work, *args, **kwargs))
        return result

    async def arun(self, asker: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, for coroutines."""
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
        """Start the next jobs while there are free threads."""
        while len(self._running) < self.threads:
            asker = next((one for one in self._queues if one not in self._running), None)
            if asker is None:
                return
            queue = self._queues.pop(asker)
            job = queue.popleft()
            if queue:
                self._queues[asker] = queue  # at the end
            if job.result.done():
                continue  # its caller has stopped waiting
            self._running.add(asker)
            future = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            future.add_done_callback(partial(self._ended, asker, job))

    def _ended(self, asker: str, job: _Job, future: "asyncio.Future[Any]") -> None:
        self._running.remove(asker)
        error = future.exception()  # always read: asyncio logs errors that nobody has read
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
"""Rating and hashing passwords. The asker is a network: a whole school is one. A hash takes 64 MiB.
"""

SEARCH = Pool("search", threads=4, most_each=1, most=64, newest=True)
"""Reading the index. The asker is a person: only the latest query of a person waits."""

DOCUMENTS = Pool("documents", threads=1, most_each=2, most=8)
"""Parsing documents of other sites. The asker is the document's address."""

_PROCESSORS = os.cpu_count() or 1
IMAGES = Pool("images", threads=max(2, min(4, _PROCESSORS)), most_each=8, most=64)
"""Waiting for the child process of an image (chat.media.images). The asker is a person."""

SLOW_IMAGES = Pool("slow-images", threads=max(1, min(2, _PROCESSORS // 2)), most_each=8, most=64)
"""The same, for images that take long. The largest takes 750 MB."""
