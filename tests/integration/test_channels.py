"""Subscriptions on a real Valkey, in any order."""

import asyncio
import sys

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.redis_client.pubsub import PubSub
from chat.redis_client.topology import SingleServer

NAMES = [f"chat:test:{{{letter}}}" for letter in "abc"]
steps = st.lists(
    st.tuples(st.sampled_from(["toggle", "toggle", "toggle", "relink"]), st.sampled_from(NAMES))
    | st.just(("turn", ""))
    | st.just(("settle", "")),
    max_size=20,
)


PATIENCE = 20.0  # seconds for what must come


async def wait_for(true):
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Listening:
    """Channels that run; `heard` is what was published, `stood` what stands since it was added."""

    def __init__(self, url, client, kind=PubSub):
        self.client, self.heard, self.stood = client, [], set()
        self.channels = kind(
            SingleServer(url), lambda *said: self.heard.append(said), self.on_subscribed
        )
        self.running = asyncio.create_task(self.channels.run())

    def on_subscribed(self, name, again):
        assert name in self.channels.names
        self.stood.add(name)

    async def do(self, what, name):
        if what == "turn":
            await asyncio.sleep(0)
        elif what == "settle":
            for wanted in list(self.channels.names):
                await self.channels.ready(wanted, PATIENCE)
        elif what == "relink":
            if name in self.channels.names:
                self.channels.reconnect(name)
                self.stood.clear()  # all of them stand again on the next connection
        elif name in self.channels.names:
            self.channels.drop(name)
            self.stood.discard(name)
        else:
            self.channels.add(name)

    async def check(self):
        """What is wanted is subscribed to, and nothing else, and what is said is heard once."""
        for name in list(self.channels.names):
            await self.channels.ready(name, PATIENCE)
        wanted = set(self.channels.names)
        await wait_for(lambda: self.stood >= wanted)
        await wait_for(lambda: set(self.client.pubsub_shardchannels()) & set(NAMES) == wanted)
        self.heard.clear()
        for name in NAMES:
            assert self.client.execute_command("SPUBLISH", name, "word") == (name in wanted)
        await wait_for(lambda: len(self.heard) >= len(wanted))
        assert sorted(self.heard) == sorted((name, "word") for name in wanted)

    async def close(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.channels.topology.aclose()
        await wait_for(lambda: not self.client.pubsub_shardchannels())


def tell(url, client, story, kind=PubSub):
    async def run():
        listening = Listening(url, client, kind)
        try:
            await wait_for(lambda: listening.channels.connected)
            for what, name in story:
                await listening.do(what, name)
            await listening.check()
        finally:
            await listening.close()

    asyncio.run(run())


@given(steps)
@settings(max_examples=40)
def test_what_is_wanted_is_heard_and_nothing_else(valkey, story):
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        tell(valkey.url, client, story)


def test_dropped_and_wanted_again_before_the_first_answer(valkey, client):
    """The three answers are those of three commands: a relink and a drop do what they say."""
    a = NAMES[0]
    thrice = [("toggle", a), ("turn", ""), ("toggle", a), ("turn", ""), ("toggle", a)]
    tell(valkey.url, client, thrice)
    tell(valkey.url, client, [*thrice, ("settle", ""), ("toggle", a)])
    tell(valkey.url, client, [*thrice, ("settle", ""), ("relink", a), ("turn", "")])


def test_only_what_was_lost_stands_again(valkey, client):
    async def story():
        told = []
        channels = PubSub(
            SingleServer(valkey.url),
            lambda *_: None,
            lambda name, again: told.append((name, again)),
        )
        running = asyncio.create_task(channels.run())
        a, b, c = NAMES
        channels.add(a)
        await channels.ready(a, 20)
        channels.reconnect(a)
        channels.add(b)
        await wait_for(lambda: len(told) == 3)
        channels.add(c)
        await channels.ready(c, 20)
        channels.drop(b)
        channels.add(b)
        await channels.ready(b, 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await channels.topology.aclose()
        return told

    told = asyncio.run(story())
    assert sorted(told[:3]) == [(NAMES[0], False), (NAMES[0], True), (NAMES[1], False)]
    assert told[3:] == [(NAMES[2], False), (NAMES[1], False)]


class Mixed(PubSub):
    """As it was: an answer is taken for the newest command's."""

    def _take(self, place, reply):
        kind, name = reply[0], reply[1]
        if kind == "smessage":
            self.on_message(name, reply[2])
        elif name in self._wanted and self._place_of[name] == place:
            if kind == "ssubscribe":
                if not self._wanted[name].done():
                    self._wanted[name].set_result(None)
                self.on_subscribed(name, False)
            elif kind == "sunsubscribe" and self._wanted[name].done():
                self._place_of[name] = ""
                self.topology.invalidate()


def test_answers_that_are_mixed_up_are_found(valkey, client, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 2.0)  # it never comes
    a = NAMES[0]
    story = [("toggle", a), ("turn", ""), ("toggle", a), ("turn", ""), ("toggle", a)]
    with pytest.raises((AssertionError, TimeoutError)):
        tell(valkey.url, client, [*story, ("settle", ""), ("turn", ""), ("toggle", a)], Mixed)
