"""A slow connection to Redis: the chat waits as long as bytes move, and gives up on silence."""

import asyncio
import os
import signal
import threading

import pytest
import uvloop
from redis.exceptions import RedisError

from chat.bridge import await_
from chat.domain.validation import MAX_BODY_CHARS
from chat.redis_client import client as loopredis
from chat.redis_client.client import LoopRedis
from chat.redis_client.connection import OutcomeUnknown
from chat.redis_client.urls import connect
from chat.store import Store
from chat.store.message_reads import MAX_MISSED_CHARS

from ..faults.reading import Refused, told
from ..proxy import Proxy
from ..running import Server, Visitor, opened
from .page import Page

RATE = 400_000  # bytes a second
LONG = 2 * RATE  # bytes that take longer than Redis may be silent in these tests
SILENT = 0.8  # seconds


@pytest.fixture
def slowly(valkey, client, monkeypatch):
    """Run a coroutine with a client that is connected through a slow line."""
    monkeypatch.setattr(loopredis, "TIMEOUT_SECONDS", SILENT)
    monkeypatch.setattr(loopredis, "LOOK_SECONDS", SILENT / 4)

    def run(conversation):
        async def main():
            line = await Proxy(0, there=str(valkey.socket), rate=RATE).start()
            redis = LoopRedis(connect(f"redis://127.0.0.1:{line.port}"), await_)
            try:
                await asyncio.wait_for(conversation(redis), 60)
            finally:
                await redis.aclose()
                line.close()

        uvloop.run(main())

    return run


def ask(redis, *words):
    return redis.ask(words, {})


def one_value(client):
    client.set("long", "x" * LONG)
    return [("GET", "long")]


def many_values(client):
    pipeline = client.pipeline(transaction=False)
    for n in range(1, 301):
        pipeline.xadd("stream", {"data": "x" * (LONG // 300)}, id=f"{n}-0")
    pipeline.execute()
    return [("XRANGE", "stream", "-", "+")]


def many_answers(client):
    client.set("some", "x" * (LONG // 20))
    return [("GET", "some")] * 20


def one_long_command(client):
    return [("SET", "sent", "x" * LONG)]


def several_long_commands(client):
    return [("SET", f"sent {n}", "x" * (LONG // 2)) for n in range(4)]


def both_ways(client):
    return [*one_long_command(client), *one_value(client)]


@pytest.mark.parametrize(
    "what",
    [
        *(one_value, many_values, many_answers),
        *(one_long_command, several_long_commands, both_ways),
    ],
)
def test_what_takes_long_and_moves_is_waited_for_by_all_behind_it(slowly, client, what):
    commands = what(client)

    async def conversation(redis):
        first = await ask(redis, "CLIENT ID")
        asked = [ask(redis, *words) for words in commands]
        behind = []
        while not all(answer.done() for answer in asked):
            behind.append(ask(redis, "ECHO", str(len(behind))))
            await asyncio.sleep(SILENT / 10)
        await asyncio.gather(*asked)
        assert await asyncio.gather(*behind) == [str(n) for n in range(len(behind))]
        assert await ask(redis, "CLIENT ID") == first, "the connection was kept"

    slowly(conversation)


@pytest.mark.parametrize("words", [("ECHO", "a"), ("SET", "long", "x" * 100_000)])
def test_what_is_silent_is_given_up_although_others_go_on_writing(slowly, valkey, words):
    """Redis's host takes what is sent, and Redis is dead."""

    async def conversation(redis):
        await ask(redis, "ECHO", "the connection is there")
        os.kill(valkey.process.pid, signal.SIGSTOP)
        try:
            first, others = ask(redis, *words), []
            while not first.done():
                others.append(ask(redis, "SET", "other", "x" * 1000))
                await asyncio.sleep(0.01)
            with pytest.raises(OutcomeUnknown, match="nothing came"):
                await first
        finally:
            os.kill(valkey.process.pid, signal.SIGCONT)
        told = await asyncio.gather(*others, return_exceptions=True)
        assert all(isinstance(one, RedisError) or one is True for one in told)

    slowly(conversation)


class Line(threading.Thread):
    """A slow line to the Valkey at a socket, in a thread of its own; `url` is its other end."""

    def __init__(self, there):
        super().__init__()
        self.there, self.stop, self.ready = there, asyncio.Event(), threading.Event()

    def run(self):
        asyncio.run(self._pass_on())

    async def _pass_on(self):
        self.loop = asyncio.get_running_loop()
        line = await Proxy(0, there=self.there, rate=RATE).start()
        self.url = f"redis://127.0.0.1:{line.port}"
        self.ready.set()
        await self.stop.wait()
        line.close()
        while line.ends:  # noqa: ASYNC110  what was aborted is closed in the next turns
            await asyncio.sleep(0)

    def close(self):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.join()


@pytest.fixture
def slow_server(valkey, client, tmp_path):
    """A chat behind a slow line to Redis."""
    line = Line(str(valkey.socket))
    line.start()
    line.ready.wait()
    running = Server(tmp_path / "chat", REDIS_URL=line.url, CHAT_LIMITS="off", CHAT_WORKERS="1")
    yield running.start()
    opened.pop_all().close()
    running.clean_up()
    line.close()


def test_others_are_acknowledged_while_a_page_far_behind_gets_its_room(slow_server, client):
    ann, bob = Visitor(slow_server.url, "Ann"), Visitor(slow_server.url, "Bob")
    long, tea = ann.create_room("Long"), ann.create_room("Tea")
    bob.join(long)
    store, said = Store(client), []
    by = store.people.get(ann.uid)
    for n in range(300):
        said.append(f"{n:04}" + "😀" * (MAX_BODY_CHARS - 4))
        store.messages.post(long, by, said[-1])
    writes, behind = Page(ann).watch(tea), Page(bob)
    writes.wait_for("created this room")
    behind.watch(long, after=2)
    first = len(writes.frames)
    for n in range(20):
        writes.post(tea, f"message {n}")
        writes.wait_shown(f"message {n}")
    behind.wait_shown(said[-1])
    assert behind.bodies == said[-len(behind.bodies) :]
    assert behind.order == sorted(behind.order)
    assert len(behind.bodies) == MAX_MISSED_CHARS // MAX_BODY_CHARS
    assert not any(
        isinstance(what, Refused) for text in writes.frames[first:] for what in told(text)
    )
    assert "the connection to Redis" not in slow_server.log()
    assert "nothing came" not in slow_server.log()
