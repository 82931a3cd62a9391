"""The event loop's own way to Redis, against redis-py's: the same answers, to who asked."""

import asyncio
import os
import signal

import greenback
import pytest
import uvloop
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from chat.asgi import await_
from chat.database import connect
from chat.link import Link
from chat.loopredis import LoopRedis


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
        good, bad, unsendable, last = (
            ask(redis, "SET", "k", "v"),
            ask(redis, "LPUSH", "k", "x"),
            ask(redis, "SET", "k", object()),
            ask(redis, "GET", "k"),
        )
        assert await good is True
        with pytest.raises(ResponseError, match="wrong kind"):
            await bad
        with pytest.raises(RedisError):
            await unsendable
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
            with pytest.raises(RedisTimeout):
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


def test_a_pipeline_with_a_command_that_cannot_be_sent_says_so(valkey, client):
    async def conversation():
        redis = LoopRedis(connect(valkey.url), await_)

        def ask_two():
            pipeline = redis.pipeline()
            pipeline.set("k", "v")
            pipeline.set("k", object())
            with pytest.raises(DataError):
                pipeline.execute()

        await greenback.with_portal_run_sync(ask_two)
        await redis.aclose()

    asyncio.run(conversation())


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
