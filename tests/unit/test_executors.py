"""The thread pools: askers take turns, and jobs are refused when too many are waiting."""

import ast
import asyncio
import threading
from pathlib import Path

import pytest

import chat
from chat.domain.errors import Busy
from chat.runtime.executors import Pool

# The process that works on pictures has a limit of its own (one at a time).
OTHERS = {"pictures.py"}


class Work:
    """Jobs that run until they are let go, and say in which order they began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.together = 0
        self.most_together = 0
        self._lock = threading.Lock()
        self._go = threading.Event()

    def job(self, name: str) -> str:
        with self._lock:
            self.begun.append(name)
            self.together += 1
            self.most_together = max(self.most_together, self.together)
        assert self._go.wait(30)
        with self._lock:
            self.together -= 1
        return name

    def let_go(self) -> None:
        self._go.set()


async def ask(pool: Pool, work: Work, *jobs: str) -> list[asyncio.Task[str]]:
    """Jobs named `<asker><number>`, asked for in this order."""
    tasks = [asyncio.ensure_future(pool.arun(job[0], work.job, job)) for job in jobs]
    await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: list[asyncio.Task[str]]) -> list[str]:
    """What each answered; "busy" where it was refused."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return ["busy" if isinstance(one, Busy) else str(one) for one in found]


def test_an_asker_has_one_job_running_and_all_take_turns():
    async def story() -> None:
        work, pool = Work(), Pool("test", threads=2, most_each=9, most=99)
        tasks = await ask(pool, work, "a1", "a2", "a3", "a4", "b1", "b2", "c1")
        assert pool.waiting == 5
        work.let_go()
        assert await outcomes(tasks) == ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        assert work.most_together <= 2
        assert set(work.begun[:2]) == {"a1", "b1"}, "nobody's second job before another's first"
        assert work.begun.index("c1") < work.begun.index("a3"), "and they take turns"

    asyncio.run(story())


def test_a_job_too_many_of_one_asker_is_refused_and_nobody_elses():
    async def story() -> None:
        work, pool = Work(), Pool("test", threads=1, most_each=2, most=99)
        tasks = await ask(pool, work, "a1", "a2", "a3", "a4", "b1")
        work.let_go()
        assert await outcomes(tasks) == ["a1", "a2", "a3", "busy", "b1"]

    asyncio.run(story())


def test_more_than_may_wait_is_refused():
    async def story() -> None:
        work, pool = Work(), Pool("test", threads=1, most_each=9, most=3)
        tasks = await ask(pool, work, "a1", "b1", "c1", "d1", "e1", "a2")
        assert pool.waiting == 3
        work.let_go()
        assert await outcomes(tasks) == ["a1", "b1", "c1", "d1", "busy", "busy"]
        assert pool.waiting == 0
        assert await pool.arun("a", work.job, "a3") == "a3", "and it goes on"

    asyncio.run(story())


def test_the_newest_job_takes_the_place_of_the_one_that_waits():
    async def story() -> None:
        work, pool = Work(), Pool("test", threads=1, most_each=1, most=9, newest=True)
        tasks = await ask(pool, work, "a1", "a2", "a3", "b1", "a4")
        work.let_go()
        assert await outcomes(tasks) == ["a1", "busy", "busy", "b1", "a4"]

    asyncio.run(story())


def test_who_has_gone_costs_nothing():
    async def story() -> None:
        work, pool = Work(), Pool("test", threads=1, most_each=9, most=9)
        tasks = await ask(pool, work, "a1", "a2", "b1")
        tasks[1].cancel()
        await asyncio.sleep(0)
        work.let_go()
        assert await tasks[2] == "b1"
        assert work.begun == ["a1", "b1"]

    asyncio.run(story())


def test_what_the_work_raises_is_the_askers():
    def fail() -> None:
        raise ValueError("no")

    async def story() -> None:
        pool = Pool("test", threads=1, most_each=9, most=9)
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await pool.arun("a", fail)
        assert await pool.arun("a", str, 1) == "1"

    asyncio.run(story())


def test_nothing_runs_in_the_pool_that_everything_shares():
    """asyncio.to_thread, and run_in_executor without a pool."""
    found = []
    for file in Path(chat.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            first = ast.unparse(node.args[0]) if node.args else ""
            if "to_thread" in called or ("run_in_executor" in called and first == "None"):
                found.append(f"{file.name}:{node.lineno}")
    assert [place for place in found if place.partition(":")[0] not in OTHERS] == []
