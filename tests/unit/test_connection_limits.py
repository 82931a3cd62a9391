"""Open pages are counted, whatever fails."""

import asyncio
from types import SimpleNamespace

import pytest
from redis.exceptions import RedisClusterException, RedisError

from chat.config import Settings
from chat.realtime import connection_limits
from chat.realtime.connection_limits import ConnectionLimits


@pytest.mark.parametrize("error", [RedisError(), OSError(), RedisClusterException(), ValueError()])
def test_what_could_not_be_written_is_written_later(monkeypatch, error):
    written: list[dict[str, int]] = []
    there = asyncio.Event()
    fails = [error, error]

    def write(process, pages):
        if fails:
            raise fails.pop()
        written.append(pages)
        there.set()

    async def story():
        store = SimpleNamespace(
            beat=lambda process: [], write=write, enter=lambda *_: True, end=lambda process: None
        )
        pages = ConnectionLimits(SimpleNamespace(connections=store), Settings())
        pages.enter("ann", "192.0.2.1")
        pages.leave("ann", "192.0.2.1")
        running = asyncio.create_task(pages.run())
        waiting = asyncio.create_task(there.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done()
        running.cancel()
        await asyncio.wait({running})

    monkeypatch.setattr(connection_limits, "UPDATE_SECONDS", 0)
    asyncio.run(story())
    assert set(written[0].values()) == {0}
