"""The log of a late event loop names what was running."""

import asyncio
import logging
import re
import sys
import time
import traceback

import greenback
import pytest

from chat.observability import loop_lag, once_per_minute
from chat.observability.loop_lag import LoopLag, stack_line
from chat.observability.metrics import LAG


def hold_the_loop(watched: LoopLag) -> None:
    """Until it was seen to."""
    end = time.monotonic() + 30
    while not watched._seen and time.monotonic() < end:
        pass


async def until(true) -> None:
    """Wait for a state, with turns of the loop in between."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def one_more() -> None:
    """Until the loop was measured once more."""
    count = observed()
    await until(lambda: observed() > count)


async def measured(watched: LoopLag, *works) -> None:
    """Do works on the loop while it is measured, each when the one before was noticed."""
    measuring = asyncio.create_task(watched.run())
    for work in works:
        await one_more()  # a measurement begins anew
        work()
        await one_more()
    measuring.cancel()
    await asyncio.gather(measuring, return_exceptions=True)


def observed() -> int:
    return int(sum(bucket.get() for bucket in LAG._buckets))


def late() -> int:
    """How often the loop was more than 0.1 s late."""
    above = LAG._upper_bounds.index(0.1) + 1
    return int(sum(bucket.get() for bucket in LAG._buckets[above:]))


@pytest.fixture
def often(monkeypatch):
    """A line each time, because a busy machine may be late by itself."""
    monkeypatch.setattr(once_per_minute, "MINUTE_SECONDS", 0.0)


def test_the_log_names_what_held_the_loop(caplog, often):
    before, watched = late(), LoopLag()
    asyncio.run(measured(watched, lambda: hold_the_loop(watched)))
    (line,) = [line for line in caplog.messages if "hold_the_loop <" in line]
    assert "tests/unit/test_loop_lag.py" in line
    assert line.startswith("the event loop was held for ")
    assert late() > before


def test_it_names_what_a_greenlet_does(caplog, often):
    watched = LoopLag()

    async def story():
        measuring = asyncio.create_task(watched.run())
        await asyncio.sleep(0)
        await greenback.with_portal_run_sync(hold_the_loop, watched)
        await until(lambda: any(line.endswith("hold_the_loop") for line in caplog.messages))
        measuring.cancel()

    asyncio.run(story())


def test_one_line_a_minute_says_how_often_it_was_late(caplog, monkeypatch):
    watched = LoopLag()
    works = [lambda: hold_the_loop(watched)] * 3
    asyncio.run(measured(watched, *works))
    assert len(caplog.messages) == 1
    monkeypatch.setattr(once_per_minute, "MINUTE_SECONDS", 0.0)
    watched._lines._next = float("-inf")
    asyncio.run(measured(watched, lambda: hold_the_loop(watched)))
    more = re.search(r"\(and (\d+) more times since the last line like this\)$", caplog.messages[1])
    assert int(more[1]) >= 2


def test_a_loop_that_is_on_time_is_not_talked_of(caplog):
    caplog.set_level(logging.DEBUG, "chat.observability.loop_lag")
    asyncio.run(measured(LoopLag(), lambda: None, lambda: None))
    assert not [line for line in caplog.messages if "hold_the_loop" in line]


def test_a_line_has_the_innermost_frames_and_no_folders_of_the_machine():
    def deep(left: int) -> str:
        if left:
            return deep(left - 1)
        return stack_line(traceback.extract_stack(sys._getframe()))

    line = deep(20)
    assert line.count(" < ") == loop_lag.MAX_FRAMES
    assert line.startswith("tests/unit/test_loop_lag.py:")
    assert line.endswith(" < …")
