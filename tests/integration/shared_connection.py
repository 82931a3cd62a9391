"""Many callers on one connection to Redis, over a network that delays, cuts and corrupts it. Each
caller asks for something unique. At the end, each has its own answer, or an error that fits what
happened.
"""

import asyncio
import itertools
from contextlib import suppress

import greenback
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError

from chat.bridge import await_
from chat.redis_client.client import LoopRedis
from chat.redis_client.urls import connect

WAITS = 20  # seconds until an answer that does not come is one that never will
SHREDDED = 200  # bytes at the beginning of what Redis says that arrive in pieces


class Network:
    """Passes TCP on to a Unix socket. While it holds, nothing arrives in that direction."""

    def __init__(self, path):
        self.path = path
        self.commands, self.replies = asyncio.Event(), asyncio.Event()
        self.piece = 1 << 16
        self.cuts = 0  # since the connection was known to be whole
        self.writers, self.tasks = set(), set()
        self.release()

    async def start(self):
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    def release(self):
        self.commands.set()
        self.replies.set()

    def cut(self):
        """What has not arrived never will."""
        self.cuts += 1
        for writer in list(self.writers):
            writer.transport.abort()

    async def stop(self):
        self.server.close()
        self.cut()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _pass(self, reader, writer):
        there, back = await asyncio.open_unix_connection(self.path)
        self.writers |= {writer, back}
        self._run(self._pump(reader, back, self.commands))
        self._run(self._pump(there, writer, self.replies))

    def _run(self, pump):
        task = asyncio.ensure_future(pump)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _pump(self, reader, writer, passes):
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await passes.wait()
                size = self.piece if passes is self.replies else 1 << 16
                for n in range(0, min(len(data), SHREDDED), size):
                    self._write(writer, data[n : min(n + size, SHREDDED)])
                    await asyncio.sleep(0)
                self._write(writer, data[SHREDDED:])
        writer.transport.abort()
        self.writers.discard(writer)

    def _write(self, writer, data):
        if not writer.transport.is_closing():
            writer.write(data)


class Caller:
    """Somebody who asks. `ask` is run in a greenlet, with the client; it raises AssertionError
    for the answer of somebody else. `refuses` are the errors that fit what is asked."""

    refuses: tuple = ()
    must_fail = False

    def __init__(self, number):
        self.own = f"own-{number}"
        self.cancelled = False
        self.task = None

    def ask(self, redis):
        raise NotImplementedError

    def check_stored(self, client):
        """What is in the database is what was asked for, once at most."""


class Echo(Caller):
    def ask(self, redis):
        assert redis.execute_command("ECHO", self.own) == self.own


class Long(Caller):
    def ask(self, redis):
        text = self.own.ljust(1 << 20, "x")
        assert redis.execute_command("ECHO", text) == text


class Once(Caller):
    """Counts, and is counted once, however its answer was lost."""

    def ask(self, redis):
        assert redis.incr(self.own) == 1
        assert redis.get(self.own) == "1"

    def check_stored(self, client):
        assert client.get(self.own) in (None, "1"), "a command was sent twice"


class Scripted(Caller):
    """In turns a server that has forgotten the script is asked."""

    def ask(self, redis):
        script = redis.register_script("return {KEYS[1], ARGV[1], ARGV[2]}")
        assert script(keys=[self.own], args=["é", len(self.own)]) == [
            self.own,
            "é",
            str(len(self.own)),
        ]


class Piped(Caller):
    """Its answers come in order; one of them is an error of Redis."""

    refuses = (ResponseError,)
    must_fail = True

    def ask(self, redis):
        pipeline = redis.pipeline()
        for n in range(5):
            pipeline.execute_command("ECHO", f"{self.own}-{n}")
        assert pipeline.execute() == [f"{self.own}-{n}" for n in range(5)]
        pipeline.set(self.own, "text")
        pipeline.lpush(self.own, "x")
        pipeline.get(self.own)
        pipeline.execute()

    def check_stored(self, client):
        assert client.get(self.own) in (None, "text")


class Unreadable(Caller):
    """redis-py cannot read the answer."""

    refuses = (KeyError,)
    must_fail = True

    def ask(self, redis):
        redis.execute_command("DBSIZE")


class ScriptFails(Caller):
    refuses = (ResponseError,)
    must_fail = True

    def ask(self, redis):
        script = redis.register_script("return redis.call('LPUSH', KEYS[1])")
        script(keys=[self.own])


class Bad(Caller):
    """Asks for what cannot be sent. Nothing of it is, and nobody else notices."""

    refuses = (DataError,)
    must_fail = True

    def __init__(self, number, value, place):
        super().__init__(number)
        self.value, self.place = value, place

    def ask(self, redis):
        if self.place == "command":
            redis.execute_command("SET", self.own, self.value)
        elif self.place == "name":
            redis.execute_command(self.value, self.own)
        elif self.place == "script":
            redis.register_script("return 1")(keys=[self.own], args=[self.value])
        elif self.place == "key":
            redis.register_script("return 1")(keys=[self.own, self.value])
        else:
            pipeline = redis.pipeline()
            pipeline.set(self.own, "before")
            pipeline.execute_command("SET", self.own, self.value)
            pipeline.set(self.own, "behind")
            pipeline.execute()

    def check_stored(self, client):
        assert client.get(self.own) is None, "a part of what could not be sent was sent"


# By names, for hypothesis prints what it tries, and not all of these can be.
BAD = {
    "a lone surrogate": "\ud800",
    "a surrogate in a text": "a\udfff" * 100,
    "a number too long to be written": 10**5000,
    "a number of 65 bits": 1 << 64,
    "a truth": True,
    "nothing": None,
    "an object": object(),
    "a list": ["x"],
    "a dict": {},
    "an array of bytes": bytearray(b"x"),
    "a view": memoryview(b"x"),
    "a complex number": 1j,
}
KINDS = (Echo, Echo, Long, Once, Scripted, Piped, Unreadable, ScriptFails)
PLACES = ("command", "name", "script", "key", "pipeline")


def unreadable(reply):
    raise KeyError(reply)


class Machine(RuleBasedStateMachine):
    """Set `path` (the Unix socket of Valkey), `client` (of redis-py) and `make` (the class of what
    is tried), and `found` to a list."""

    path = client = None
    make = LoopRedis
    found: tuple | list = ()  # all that was found to be wrong

    def __init__(self):
        super().__init__()
        self.client.flushdb()
        self.numbers, self.callers, self.wrong = itertools.count(), [], []
        self.is_judged = False
        self.runner = asyncio.Runner()
        self.runner.run(self.start())

    async def start(self):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: self.wrong.append(context))
        self.network = Network(self.path)
        url = f"redis://127.0.0.1:{await self.network.start()}"
        self.redis = self.make(connect(url), await_)
        self.redis._callbacks["DBSIZE"] = unreadable
        await self.redis.ask(("PING",), {})

    def call(self, caller):
        """Begin to ask; it goes on while other rules run the loop."""

        async def begin():
            run = greenback.with_portal_run_sync(caller.ask, self.redis)
            caller.task = asyncio.ensure_future(run)

        self.callers.append(caller)
        self.runner.run(begin())

    # What happens

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    def some_ask(self, kinds):
        for kind in kinds:
            self.call(kind(next(self.numbers)))

    @rule(value=st.sampled_from(sorted(BAD)), place=st.sampled_from(PLACES), others=st.booleans())
    def somebody_asks_for_what_cannot_be_sent(self, value, place, others):
        if others:
            self.call(Echo(next(self.numbers)))
        self.call(Bad(next(self.numbers), BAD[value], place))
        if others:
            self.call(Echo(next(self.numbers)))

    @rule(turns=st.integers(1, 12))
    def time_goes_by(self, turns):
        async def wait():
            for _ in range(turns):
                await asyncio.sleep(0)

        self.runner.run(wait())

    @rule(which=st.integers(0, 20), after=st.integers(0, 6))
    def somebody_stops_waiting(self, which, after):
        async def cancel():
            for _ in range(after):
                await asyncio.sleep(0)
            waiting = [caller for caller in self.callers if not caller.task.done()]
            if waiting:
                caller = waiting[which % len(waiting)]
                caller.cancelled = True
                caller.task.cancel()

        self.runner.run(cancel())

    @rule(commands=st.booleans())
    def nothing_arrives(self, commands):
        (self.network.commands if commands else self.network.replies).clear()

    @rule()
    def all_arrives(self):
        self.network.release()

    @rule(size=st.sampled_from((1, 3, 50, 1 << 16)))
    def replies_come_in_pieces_of(self, size):
        self.network.piece = size

    @rule()
    def the_line_is_cut(self):
        async def cut():
            self.network.cut()

        self.runner.run(cut())

    @rule()
    def an_answer_is_lost(self):
        """Redis has run the command, but its answer is lost."""

        async def lose(caller):
            self.network.release()
            self.network.replies.clear()
            for n in range(200):
                await asyncio.sleep(0)
                if caller.task.done() or (n % 10 == 9 and self.client.exists(caller.own)):
                    break
            self.network.cut()
            self.network.release()

        caller = Once(next(self.numbers))
        self.call(caller)
        self.runner.run(lose(caller))

    @rule()
    def redis_forgets_its_scripts(self):
        self.client.script_flush()

    @rule()
    def all_are_answered(self):
        self.runner.run(self.settle())

    # What must hold

    async def settle(self):
        """Everyone has an answer or an error that fits; then the connection answers."""
        try:
            await self.settled()
        except AssertionError as error:
            self.found.append(error)
            raise

    async def settled(self):
        self.network.release()
        self.is_judged = True
        tasks = [caller.task for caller in self.callers]
        if tasks:
            _, waiting = await asyncio.wait(tasks, timeout=WAITS)
            assert not waiting, f"{len(waiting)} wait for ever"
        for caller in self.callers:
            self.judge(caller)
            caller.check_stored(self.client)
        assert not self.wrong, self.wrong
        self.callers = []
        own = f"after-{next(self.numbers)}"
        if self.network.cuts:
            with suppress(RedisConnectionError):
                await self.answer("PING")
        answer = await self.answer("ECHO", own)
        assert answer == own, f"{answer} is somebody else's"
        self.is_judged, self.network.cuts = False, 0

    async def answer(self, *words):
        answer = self.redis.ask(words, {})
        await asyncio.wait([answer], timeout=WAITS)
        assert answer.done(), "the connection does not answer any more"
        return answer.result()

    def judge(self, caller):
        who = f"{type(caller).__name__} {caller.own}"
        if caller.task.cancelled():
            assert caller.cancelled, f"{who} was cancelled by nobody"
            return
        error = caller.task.exception()
        if isinstance(error, AssertionError):
            raise error
        if isinstance(error, DataError) or isinstance(caller, Bad):
            assert isinstance(caller, Bad), f"{who}: {error!r}"
            assert isinstance(error, DataError), f"{who}: {error!r}"
        elif isinstance(error, RedisConnectionError):
            assert self.network.cuts, f"{who}: {error!r}, and the line was whole"
        elif error is not None:
            assert isinstance(error, caller.refuses), f"{who}: {error!r}"
        else:
            assert not caller.must_fail, f"{who} was told of no error"

    def teardown(self):
        try:
            if not self.is_judged:  # what was found already is not looked for again
                self.runner.run(self.settle())
        finally:
            self.runner.run(self.stop())
            self.runner.close()

    async def stop(self):
        for caller in self.callers:
            caller.task.cancel()
        await asyncio.gather(*(caller.task for caller in self.callers), return_exceptions=True)
        await self.redis.aclose()
        await self.network.stop()
