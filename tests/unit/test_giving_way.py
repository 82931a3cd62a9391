"""Long computations let other tasks run, after a certain time and only where they can wait."""

import asyncio

import greenback
import pytest

from chat.runtime import cooperation
from chat.runtime.cooperation import give_way, in_pieces


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a millisecond with each look at it."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            self.now += 0.001
            return self.now

    ticking = Clock()
    monkeypatch.setattr(cooperation, "time", ticking)
    monkeypatch.setattr(cooperation, "_began", 0.0)
    return ticking


def turns_during(work):
    """What `work` did in a greenlet, as a list in which "turn" stands for another task's turn."""
    said = []

    async def other():
        while True:
            said.append("turn")
            await asyncio.sleep(0)

    async def story():
        going = asyncio.create_task(other())
        await asyncio.sleep(0)
        said.clear()
        await greenback.with_portal_run_sync(work, said)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)

    asyncio.run(story())
    return said


def test_others_have_a_turn_after_five_milliseconds_of_work(clock):
    def work(said):
        for n in in_pieces(range(40)):
            said.append(n)

    said = turns_during(work)
    pieces = [len(piece.split()) for piece in " ".join(map(str, said)).split("turn")]
    assert max(pieces) <= 7
    assert said.count("turn") >= 40 // 7
    assert [n for n in said if n != "turn"] == list(range(40))


def test_little_work_is_not_interrupted(clock):
    assert turns_during(lambda said: said.extend(in_pieces(range(4)))) == [0, 1, 2, 3]


def test_where_nobody_can_wait_it_does_nothing(clock):
    assert list(in_pieces(range(40))) == list(range(40)), "no loop runs"

    async def story():
        done = asyncio.get_running_loop().create_future()
        call = asyncio.get_running_loop().call_soon
        call(lambda: done.set_result(list(in_pieces(range(40)))))
        assert await done == list(range(40)), "a callback"
        assert list(in_pieces(range(40))) == list(range(40)), "a task without a greenlet"

    asyncio.run(story())


def test_a_loop_that_ended_in_the_middle_is_forgotten(clock):
    async def cut_off():
        give_way()

    asyncio.run(cut_off())
    cooperation._began = 1.0  # as if the loop had ended before its turn did
    test_others_have_a_turn_after_five_milliseconds_of_work(clock)
