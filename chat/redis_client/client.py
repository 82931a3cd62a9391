"""redis-py's blocking API on the event loop.

The store is written against redis-py's synchronous client. In the server it is handed this
one: the same methods, but each call awaits in its greenlet and costs no thread. What all
greenlets ask in one turn of the loop leaves as one write on one connection, and nobody waits
for what others asked before.

Many callers share the connection, and only the order of the replies says which reply is whose. So a
command is packed when it is asked for: what cannot be packed is an error of its caller alone, and
never enters the queue. What is in the queue is exactly what was written. Anything unexpected closes
the connection, and everyone who waits gets `link.OutcomeUnknown`.

No command is ever sent twice: a write whose answer was lost may have happened, and only the
caller knows whether repeating it is safe (redis-py's default retries turned one XADD into two).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.client import EMPTY_RESPONSE
from redis.commands.core import CoreCommands
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse, NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeout

from .connection import Link, OutcomeUnknown, pack, pack_script
from .urls import TIMEOUT

MAX_NAMES = 1000  # of commands that are known to be harmless; Redis has some hundred
HELD_UP = 0.05  # seconds in which a loop that was held up reads what came meanwhile
LOOK_EVERY = TIMEOUT / 4  # seconds between two looks at whether the connection moves

# The types of replies in RESP 2 beside errors. Others, such as what a server pushes, are nobody's.
_REPLY_TYPES = frozenset({str, int, list, type(None)})

# What changes the connection for all who share it, or is not answered by exactly one reply.
_NOT_SHARED = frozenset(
    {
        *("AUTH", "CLIENT", "CLIENT REPLY", "CLIENT TRACKING", "HELLO", "QUIT", "RESET", "SELECT"),
        *("DISCARD", "EXEC", "MULTI", "UNWATCH", "WATCH", "MONITOR", "PSYNC", "REPLCONF", "SYNC"),
        *("PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE"),
        *("ASKING", "READONLY", "READWRITE", "SHUTDOWN"),
    }
)
_shared: set[str] = set()  # commands that were found to be none of those


def _check_shared(name: str) -> None:
    """Raise DataError for what cannot be asked on a connection that is shared."""
    if name.upper() in _NOT_SHARED:
        raise DataError(f"{name} cannot be asked on a connection that others use too")
    if name.isupper() and len(_shared) < MAX_NAMES:
        _shared.add(name)


# A command on its way: its bytes, who waits for its answer, its name, what redis-py says of how the
# answer is read, and what a cluster keeps of it. A tuple, which costs half of what an object does.
_NO_OPTIONS: dict[str, Any] = {}
Command = tuple[bytes, "asyncio.Future[Any]", str, dict[str, Any], Any]


class Asking(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """What redis-py needs to make commands of its methods, over `ask`. `await_` blocks the
    greenlet only."""

    _event_dispatcher: Any = None  # a part of redis-py's interface that is not used here

    def __init__(self, await_: Callable[[Awaitable[Any]], Any]) -> None:
        self.await_ = await_
        self.loop = asyncio.get_running_loop()
        self._future = self.loop.create_future

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command; returns its answer or raises what redis-py raises."""
        return self.await_(self.ask(args, options))

    def pipeline(self, transaction: bool = False) -> "LoopPipeline":
        """Collect commands and send them together; they are not a transaction."""
        return LoopPipeline(self)

    def register_script(self, script: str) -> "Script":  # type: ignore[override, unused-ignore]
        return Script(self, script)

    def ask(self, words: tuple[Any, ...], options: dict[str, Any]) -> "asyncio.Future[Any]":
        """Send a command when this turn of the loop is over; returns the answer to come. Raises
        DataError, and then nothing is sent."""
        command = self.make(words, options)
        self.put(command)
        return command[1]

    def make(self, words: tuple[Any, ...], options: dict[str, Any]) -> Command:
        """A command that can be sent; raises DataError for one that cannot."""
        packed = pack(words)
        if (name := words[0]) not in _shared:
            _check_shared(name)
        return packed, self._future(), name, options, None

    def make_script(self, sha: str, keys: Sequence[str], args: Sequence[Any]) -> Command:
        """As `make`, of EVALSHA."""
        return pack_script(sha, keys, args), self._future(), "EVALSHA", _NO_OPTIONS, None

    def put(self, command: Command) -> None:
        """Send a command when this turn of the loop is over."""
        raise NotImplementedError

    def wait_all(self, answers: "Sequence[asyncio.Future[Any]]") -> list[Any]:
        """The results of all answers, as they were asked for; raises the first error of them."""
        # They come in order, so that the last is waited for, as a rule, and no other.
        try:
            for answer in reversed(answers):
                if not answer.done():
                    with suppress(Exception):  # it is raised below, if it is the first
                        self.await_(answer)
        except BaseException:  # the caller was cancelled, and nobody looks at the others
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()
            raise
        if failed := [error for answer in answers if (error := answer.exception())]:
            raise failed[0]
        return [answer.result() for answer in answers]


class Script:
    """A Lua script, which each server learns when it is first asked for it. redis-py's asks what
    its client is each time, and in a cluster would have one node learn it."""

    def __init__(self, client: Asking, text: str) -> None:
        self.client = client
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Its answer; the keys are of one slot. Raises what redis-py raises."""
        client = self.client
        try:
            command = client.make_script(self.sha, keys, args)
            client.put(command)
            return client.await_(command[1])
        except NoScriptError:
            words = ("EVAL", self.text, len(keys), *keys, *args)
            return client.await_(client.ask(words, _NO_OPTIONS))

    def many(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Its answers to several calls (keys, arguments), which leave together; the keys of each
        are of one slot. Raises the first error of them."""
        client = self.client
        commands = [client.make_script(self.sha, keys, args) for keys, args in calls]
        for command in commands:
            client.put(command)
        try:
            return client.wait_all([command[1] for command in commands])
        except NoScriptError:
            words = [("EVAL", self.text, len(keys), *keys, *args) for keys, args in calls]
            return client.wait_all([client.ask(one, _NO_OPTIONS) for one in words])


class LoopRedis(Asking):
    """A client of one server that looks synchronous to a greenlet."""

    def __init__(self, client: "Redis", await_: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__(await_)
        self.client = client
        # As they are now. redis-py's dictionary takes each name into capitals, which ours are in.
        self._callbacks: Any = dict(client.response_callbacks)
        self._asked: list[Command] = []  # in this turn of the loop, or while there is no link
        self._sent: deque[Command] = deque()  # their answers come in this order
        self._since = 0.0  # when the first of them began to be waited for, or moved last
        # The first of them when it was last looked at, and how many of its bytes were unsent then.
        self._leaving: tuple[Command | None, int] = (None, 0)
        self._link: Link | None = None
        self._opening: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._over = False

    def put(self, command: Command) -> None:
        if not self._asked:
            self._wake()
        self._asked.append(command)

    def _wake(self) -> None:
        """Have `_write` called at the end of this turn of the loop."""
        if self._over:
            raise RedisConnectionError("the server is stopping")
        self.loop.call_soon(self._write)

    def drop(self, why: str) -> None:
        """End the connection, which is not to be trusted any more; the next command makes another
        one. Who waits for an answer gets OutcomeUnknown. store.verified calls this, if it gets
        the answer to another question."""
        if self._link is not None:
            self._link.close(InvalidResponse(why))

    async def aclose(self) -> None:
        """End the connection; who still waits is told that the server is stopping."""
        self._over = True
        if self._opening is not None:
            self._opening.cancel()
        if self._watch is not None:
            self._watch.cancel()
        asked, self._asked = self._asked, []
        self._fail(asked, RedisConnectionError, "the server is stopping")
        self._fail(self._sent, OutcomeUnknown, "the server is stopping")
        if self._link is not None:
            self._link.close()
        await self.client.aclose()

    # The link

    def _write(self) -> None:
        if self._link is None:
            if self._opening is None:
                self._opening = self.loop.create_task(self._open())
            return
        if not self._asked or self._link.ended.done():
            return  # `_lost` is about to make another connection
        asked, self._asked = self._asked, []
        if not self._sent:
            self._since = self.loop.time()
        # From here on these wait for replies, in this order. Should writing fail, so does the
        # connection: there is no telling how much of it Redis gets.
        self._sent.extend(asked)
        try:
            self._link.write(b"".join([command[0] for command in asked]))
        except Exception as error:
            self._link.close(error)
        if self._watch is None:
            self._watch = self.loop.call_later(LOOK_EVERY, self._look)

    async def _open(self) -> None:
        try:
            self._link = await Link.open(self.client, self._take)
        except Exception as error:
            asked, self._asked = self._asked, []
            self._fail(asked, RedisConnectionError, f"no connection to Redis: {error}")
        else:
            self._link.ended.add_done_callback(self._lost)
        finally:
            self._opening = None
        if self._asked:
            self._write()

    def _take(self, reply: Any) -> None:
        """Give a reply to who waits for it. What this raises ends the connection, and with it the
        wait of all others: so what a caller's own reading raises is that caller's alone."""
        try:
            command = self._sent.popleft()
        except IndexError:
            raise InvalidResponse("a reply for which nobody waits") from None
        _, answer, name, options, _ = command
        if type(reply) not in _REPLY_TYPES:
            if (refused := self._refused(command, reply)) is None:
                return
            if EMPTY_RESPONSE not in options:
                if not answer.done():
                    answer.set_exception(refused)
                return
            reply = options[EMPTY_RESPONSE]
        if answer.done():
            return  # the greenlet that asked was cancelled; it kept its place
        try:
            read = self._callbacks.get(name)
            if read is not None:
                reply = read(reply, **_told(options)) if options else read(reply)
        except StopIteration as error:  # a future takes none
            answer.set_exception(InvalidResponse(f"{name}: {error!r}"))
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(reply)

    def _refused(self, command: Command, reply: Any) -> Exception | None:
        """The error that answers a command; None when another server is asked instead. Raises, and
        leaves the command among those that wait, for what answers nothing."""
        try:
            if not isinstance(reply, Exception):
                raise InvalidResponse(f"a reply of the type {type(reply).__name__}")
            if not command[1].done() and self._is_elsewhere(command, reply):
                return None
        except BaseException:
            self._sent.appendleft(command)
            raise
        return reply

    def _is_elsewhere(self, command: Command, error: Exception) -> bool:
        """True when this server has not run a command and another one is asked instead."""
        if isinstance(error, ReadOnlyError):
            self.loop.call_soon(self._look_elsewhere)
        return False

    def _look_elsewhere(self) -> None:
        """This server has become a replica: connect anew, to what the address means now, as soon
        as nobody waits for an answer of the old connection."""
        if self._link is None or self._link.ended.done():
            return
        if self._sent:
            self.loop.call_later(0.02, self._look_elsewhere)
        else:
            self._link.close(RedisConnectionError("Redis has become a replica"))

    def _look(self, doubted: float = -1.0) -> None:
        """Give a connection up on which answers are due and nothing has moved for TIMEOUT. An
        answer that is long may take longer, as long as bytes come, and so may a command that is
        long, as long as its bytes leave. A loop that was held up for so long looks (at `doubted`,
        when something last moved) once more, after it has read."""
        self._watch = None
        if not self._sent or self._link is None:
            self._leaving = None, 0
            return
        if self._leaves():
            self._since = self.loop.time()
        moved = max(self._since, self._link.heard)
        left = moved + TIMEOUT - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(min(left, LOOK_EVERY), self._look)
        elif moved != doubted:
            self._watch = self.loop.call_later(HELD_UP, self._look, moved)
        else:
            self._link.close(RedisTimeout(f"nothing came for {TIMEOUT:.0f} seconds"))

    def _leaves(self) -> bool:
        """True when more of the first command that waits has left since the last look. What is
        written behind it does not count: Redis's host may take that and Redis be dead."""
        assert self._link is not None
        first, before = self._sent[0], self._leaving
        behind = sum(len(command[0]) for command in self._sent) - len(first[0])
        unsent = max(0, self._link.unsent() - behind)
        self._leaving = first, unsent
        return before[0] is first and unsent < before[1]

    def _lost(self, ended: "asyncio.Future[Exception | None]") -> None:
        """What was sent may have happened or not; who asked is told, and nothing is repeated."""
        self._link = None
        sent, self._sent = self._sent, deque()
        self._fail(sent, OutcomeUnknown, str(ended.result() or "the connection was closed"))
        if self._asked:
            self._write()

    def _fail(self, commands: Iterable[Command], kind: type[Exception], text: str) -> None:
        fail(commands, kind, text)


class LoopPipeline(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """Commands that leave together; `execute` returns their answers in order."""

    _event_dispatcher: Any = None

    def __init__(self, client: Asking) -> None:
        self.client = client
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **options: Any) -> "LoopPipeline":
        self._commands.append((args, options))
        return self

    def execute(self) -> list[Any]:
        """Send all; raises the first error among the answers. Where one of the commands cannot be
        sent none is, and DataError is raised."""
        commands, self._commands = self._commands, []
        made = [self.client.make(words, options) for words, options in commands]
        for command in made:
            self.client.put(command)
        return self.client.wait_all([answer for _, answer, *_ in made])


def fail(commands: Iterable[Command], kind: type[Exception], text: str) -> None:
    """Answer commands whose answer is still missing with an error of this kind."""
    for _, answer, *_ in commands:
        if not answer.done():
            answer.set_exception(kind(text))


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """What redis-py's reading of an answer is told; `keys` is for its cache."""
    return {name: options[name] for name in options if name not in ("keys", EMPTY_RESPONSE)}
