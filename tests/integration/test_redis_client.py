"""The Redis client of the event loop compared with redis-py's: the same answers, to the right
callers."""

import asyncio
import contextlib
import os
import signal

import greenback
import hiredis
import pytest
import uvloop
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ReadOnlyError, ResponseError

from chat.bridge import await_
from chat.bridge.wsgi import all_done
from chat.redis_client.client import LoopRedis
from chat.redis_client.connection import Link, OutcomeUnknown
from chat.redis_client.pubsub import PubSub
from chat.redis_client.topology import SingleServer
from chat.redis_client.urls import TIMEOUT_SECONDS, connect


@pytest.fixture
def talk(valkey, client):
    """Run a coroutine with a client of the event loop, in an empty database."""

    def run(conversation):
        async def main():
            redis = LoopRedis(connect(valkey.url), await_)
            try:
                await asyncio.wait_for(conversation(redis), 20)
            finally:
                await redis.aclose()

        asyncio.run(main())

    return run


def ask(redis, *words):
    return redis.ask(words, {})


def test_answers_come_to_who_asked_however_many_ask_at_once(talk, client):
    async def conversation(redis):
        asked = [ask(redis, "ECHO", f"word {n}") for n in range(1000)]
        assert await asyncio.gather(*asked) == [f"word {n}" for n in range(1000)]

    talk(conversation)


def test_answers_are_read_as_redis_py_reads_them(talk, client):
    client.hset("h", mapping={"a": "1", "ü": "é"})
    client.zadd("z", {"x": 1.5})
    client.sadd("s", "one")

    async def conversation(redis):
        assert await ask(redis, "HGETALL", "h") == client.hgetall("h")
        assert await ask(redis, "ZSCORE", "z", "x") == client.zscore("z", "x")
        assert await ask(redis, "SMEMBERS", "s") == client.smembers("s")
        assert await ask(redis, "GET", "none") is None

    talk(conversation)


def test_a_script_is_learned_again_by_a_server_that_has_forgotten_it(talk, client):
    async def conversation(redis):
        add = redis.register_script("return {redis.call('INCRBY', KEYS[1], ARGV[1]), 'é'}")
        for total in (2, 4):
            answer = await greenback.with_portal_run_sync(add, keys=["n"], args=[2])
            assert answer == [total, "é"]
        client.script_flush()
        assert await greenback.with_portal_run_sync(add, keys=["n"], args=[2]) == [6, "é"]

    talk(conversation)


def test_an_error_is_only_for_the_command_it_answers(talk):
    async def conversation(redis):
        good, bad = ask(redis, "SET", "k", "v"), ask(redis, "LPUSH", "k", "x")
        for unsendable in (object(), "\ud800", 10**5000):
            with pytest.raises(DataError):
                ask(redis, "SET", "k", unsendable)
        last = ask(redis, "GET", "k")
        assert await good is True
        with pytest.raises(ResponseError, match="wrong kind"):
            await bad
        assert await last == "v"

    talk(conversation)


def test_who_stops_waiting_shifts_nobodys_answer(talk):
    async def conversation(redis):
        await ask(redis, "PING")
        asked = [ask(redis, "ECHO", str(n)) for n in range(100)]
        await asyncio.sleep(0)
        for answer in asked[::2]:
            answer.cancel()
        assert await asyncio.gather(*asked[1::2]) == [str(n) for n in range(1, 100, 2)]

    talk(conversation)


def test_a_lost_connection_fails_what_was_sent_and_is_made_again(talk, client):
    async def conversation(redis):
        await ask(redis, "CLIENT SETNAME", "doomed")
        waiting = ask(redis, "BLPOP", "nothing", 10)
        await asyncio.sleep(0)  # it leaves
        doomed = [c["id"] for c in client.client_list() if c["name"] == "doomed"]
        client.client_kill_filter(_id=doomed[0])
        with pytest.raises(RedisConnectionError):
            await waiting
        assert await ask(redis, "ECHO", "again") == "again"

    talk(conversation)


def test_a_silent_redis_is_given_up_and_nothing_is_sent_twice(talk, client, valkey):
    async def conversation(redis):
        await ask(redis, "DEL", "count")
        os.kill(valkey.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutcomeUnknown, match="nothing came"):
                await ask(redis, "INCR", "count")
        finally:
            os.kill(valkey.process.pid, signal.SIGCONT)
        assert await ask(redis, "ECHO", "there") == "there"
        assert client.get("count") == "1", "it happened, once"

    talk(conversation)


def test_after_a_refusal_for_being_a_replica_the_address_is_looked_up_anew(talk, client):
    """In a failover behind a name the old primary may live on, a replica with its connections."""

    async def conversation(redis):
        first = await ask(redis, "CLIENT ID")
        assert await ask(redis, "CLIENT ID") == first
        client.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(ReadOnlyError):
                await ask(redis, "SET", "k", "v")
            later = await ask(redis, "CLIENT ID")
            while later == first:
                later = await ask(redis, "CLIENT ID")
            asked = [ask(redis, "SET", "k", "v"), ask(redis, "ECHO", "others are answered")]
            refused, echo = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(refused, ReadOnlyError)
            assert echo == "others are answered"
        finally:
            client.replicaof("NO", "ONE")
        assert await ask(redis, "SET", "k", "v")

    talk(conversation)


def test_a_redis_that_is_not_there_is_told_to_who_asks():
    async def conversation():
        redis = LoopRedis(connect("redis://127.0.0.1:1"), await_)
        with pytest.raises(RedisConnectionError):
            await ask(redis, "PING")
        await redis.aclose()

    asyncio.run(conversation())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_link_that_is_over_takes_words_and_does_nothing(run, valkey, client):
    """Who writes in the turn in which Redis goes away learns it from `ended`, not by an error
    that ends a page."""

    async def conversation():
        redis = connect(valkey.url)
        link = await Link.open(redis, lambda reply: None)
        link.command("QUIT")
        await asyncio.wait_for(link.ended, 5)
        link.command("PING")
        await asyncio.sleep(0)
        link.command("PING")
        await redis.aclose()

    run(conversation())


def test_of_a_pipeline_with_a_command_that_cannot_be_sent_nothing_is(talk, client):
    async def conversation(redis):
        def ask_three():
            pipeline = redis.pipeline()
            pipeline.set("k", "v")
            pipeline.set("k", "\ud800")
            pipeline.set("k", "w")
            with pytest.raises(DataError):
                pipeline.execute()

        await greenback.with_portal_run_sync(ask_three)
        assert await ask(redis, "GET", "k") is None

    talk(conversation)


@pytest.mark.parametrize(
    "words",
    [
        ("MULTI",),
        ("SUBSCRIBE", "c"),
        ("ssubscribe", "c"),
        ("MONITOR",),
        ("SELECT", 1),
        ("CLIENT REPLY", "OFF"),
        ("CLIENT", "REPLY", "OFF"),
        ("HELLO", 3),
        ("QUIT",),
    ],
    ids=str,
)
def test_what_would_change_the_connection_for_all_is_not_sent(talk, words):
    async def conversation(redis):
        with pytest.raises(DataError):
            ask(redis, *words)
        assert await ask(redis, "ECHO", "as before") == "as before"

    talk(conversation)


@pytest.mark.parametrize("error", [KeyError("k"), StopIteration(), MemoryError(), OSError("odd")])
def test_who_cannot_read_an_answer_is_alone_with_it(talk, error):
    async def conversation(redis):
        def fails(reply):
            raise error

        number = await ask(redis, "CLIENT ID")
        redis._callbacks["DBSIZE"] = fails
        asked = [ask(redis, "ECHO", "a"), ask(redis, "DBSIZE"), ask(redis, "ECHO", "b")]
        a, failed, b = await asyncio.gather(*asked, return_exceptions=True)
        assert (a, b) == ("a", "b")
        assert isinstance(failed, Exception)
        assert await ask(redis, "CLIENT ID") == number, "the connection is another one"

    talk(conversation)


def test_a_connection_that_ends_while_it_is_made_is_an_error_of_redis(monkeypatch):
    """uvloop's transport raises what redis-py does not expect."""

    async def ended(self):
        raise RuntimeError("unable to perform operation; the handler is closed")

    monkeypatch.setattr(AbstractConnection, "connect", ended)

    async def conversation():
        redis = connect("redis://127.0.0.1:1")
        with pytest.raises(RedisConnectionError):
            await Link.open(redis, lambda reply: None)
        await redis.aclose()

    asyncio.run(conversation())


def test_an_error_of_connecting_that_is_made_of_more_than_a_text_is_told_too(monkeypatch):
    async def conversation():
        async def fail(client, take):
            b"\xff".decode()

        monkeypatch.setattr(Link, "open", fail)
        redis = LoopRedis(connect("redis://127.0.0.1:1"), await_)
        with pytest.raises(RedisConnectionError):
            await asyncio.wait_for(ask(redis, "PING"), 5)
        await redis.aclose()

    asyncio.run(conversation())


# What a server says that has lost its way


class Strange:
    """A server for one client, whose connections to it are counted. `say` writes to the last."""

    def __init__(self):
        self.connections, self.asked = 0, asyncio.Queue()
        self.serving = set()

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        self.writer = writer
        commands = hiredis.Reader()
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(65536):
                commands.feed(data)
                while (words := commands.gets()) is not False:
                    if words[0] == b"CLIENT":  # redis-py says who it is
                        writer.write(b"+OK\r\n")
                    else:
                        self.asked.put_nowait(words)

    def say(self, data):
        self.writer.write(data)


@pytest.fixture
def strange():
    """Run a coroutine with a client and the strange server it is connected to."""

    def run(conversation, loop=asyncio.run):
        async def main():
            server = Strange()
            await server.start()
            redis = LoopRedis(connect(server.url), await_)
            try:
                await asyncio.wait_for(conversation(redis, server), 20)
            finally:
                await redis.aclose()
                server.server.close()
                await all_done(server.serving, 5)

        loop(main())

    return run


STRANGE = {
    "one reply too many": b"+a\r\n+b\r\n+c\r\n",
    "a push": b">2\r\n+message\r\n+b\r\n",
    "a map": b"%1\r\n+a\r\n+b\r\n",
    "a truth": b"#t\r\n",
    "a number of RESP 3": b",1.5\r\n",
    "nonsense": b"GET / HTTP/1.1\r\n",
    "a length that is none": b"$x\r\n",
    "an error that cannot be read": b"-MOVED\r\n",
    "half a reply, and the end": b"$100\r\nabc",
}


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("what", STRANGE)
def test_what_was_not_to_be_expected_ends_the_connection_and_all_waiting(strange, what, loop):
    """Who has an answer already has it; nobody gets the next one's."""

    async def conversation(redis, server):
        asked = [ask(redis, "ECHO", "a"), ask(redis, "ECHO", "b")]
        for _ in asked:
            await server.asked.get()
        server.say(STRANGE[what])
        if what.endswith("the end"):
            server.writer.close()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        if what == "one reply too many":
            assert answers == ["a", "b"]
            await until(lambda: redis._link is None)
        else:
            assert [type(answer) for answer in answers] == [OutcomeUnknown] * 2
        again = ask(redis, "ECHO", "again")
        await server.asked.get()
        assert server.connections == 2
        server.say(b"+again\r\n")
        assert await again == "again"

    strange(conversation, loop)


def test_a_write_that_fails_ends_the_connection_and_all_waiting(strange):
    async def conversation(redis, server):
        first = ask(redis, "ECHO", "a")
        await server.asked.get()

        def fails(data):
            raise RuntimeError("the handler is closed")

        redis._link.write = fails
        second = ask(redis, "ECHO", "b")
        for answer in (first, second):
            with pytest.raises(OutcomeUnknown, match="the handler is closed"):
                await answer
        third = ask(redis, "ECHO", "c")
        assert await server.asked.get() == [b"ECHO", b"c"]
        server.say(b"+c\r\n")
        assert await third == "c"

    strange(conversation)


def test_what_was_not_sent_is_sent_on_the_next_connection(strange):
    """The connection has ended, but nobody has noticed yet."""

    async def conversation(redis, server):
        first = ask(redis, "ECHO", "a")
        await server.asked.get()
        second = ask(redis, "ECHO", "b")
        redis._link.close()
        with pytest.raises(OutcomeUnknown):
            await first
        assert await server.asked.get() == [b"ECHO", b"b"]
        server.say(b"+b\r\n")
        assert await second == "b"

    strange(conversation)


async def until(true):
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0)


class Clock:
    """The loop with a clock of its own; what is to be called later is when the test says so."""

    def __init__(self, loop):
        self.loop, self.now, self.later = loop, loop.time(), []

    def time(self):
        return self.now

    def call_later(self, wait, call, *args):
        self.later.append(lambda: call(*args))
        return self.loop.call_later(0, lambda: None)

    def __getattr__(self, name):
        return getattr(self.loop, name)


def test_bytes_that_keep_coming_are_waited_for_and_silence_is_not(strange):
    """A long answer on a slow line: other people's commands wait behind it."""

    async def conversation(redis, server):
        redis.loop = clock = Clock(redis.loop)
        asked = [ask(redis, "GET", "long"), ask(redis, "ECHO", "b")]
        await server.asked.get()
        redis._link.loop = clock
        redis._since = clock.now
        for byte in (b"$5\r\nabcde\r\n+").hex(" ").split():
            clock.now += 0.9 * TIMEOUT_SECONDS
            server.say(bytes.fromhex(byte))
            await until(lambda: redis._link.heard == clock.now)
            redis._look()
            clock.later.pop()()
        assert await asked[0] == "abcde"
        clock.now += 1.1 * TIMEOUT_SECONDS
        redis._look()
        assert not redis._link.ended.done(), "a loop that was held up reads first"
        clock.later.pop()()
        with pytest.raises(OutcomeUnknown, match="nothing came"):
            await asked[1]

    strange(conversation)


def test_after_the_end_nothing_is_sent(strange):
    async def conversation(redis, server):
        waits = ask(redis, "ECHO", "a")
        await server.asked.get()
        queued = ask(redis, "ECHO", "b")
        await redis.aclose()
        for answer in (waits, queued):
            with pytest.raises(RedisConnectionError, match="stopping"):
                await answer
        with pytest.raises(RedisConnectionError, match="stopping"):
            ask(redis, "ECHO", "c")
        assert server.connections == 1

    strange(conversation)


def test_a_channel_that_cannot_be_sent_takes_no_other_along(valkey, client):
    async def conversation():
        channels = PubSub(SingleServer(valkey.url), lambda *_: None, lambda *_: None)
        running = asyncio.create_task(channels.run())
        channels.add("before")
        with pytest.raises(DataError):
            channels.add("chat:user:{\ud800}")
        channels.add("behind")
        for name in ("before", "behind"):
            await channels.ready(name, 10)
        assert sorted(channels.names) == ["before", "behind"]
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await channels.topology.aclose()

    asyncio.run(conversation())
