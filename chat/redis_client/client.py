"""redis-py's blocking API on the event loop.

The store is written against redis-py's synchronous client. The server gives it this client
instead: it has the same methods, but each call waits in its greenlet and needs no thread. The
commands of all greenlets in one turn of the loop leave as one write on one connection, and none
waits for the answers to earlier ones.

Many callers share the connection, and only the order of the replies tells which reply belongs to
whom. So a command is packed when it is issued: if it cannot be packed, only its caller gets an
error, and it never enters the queue. The queue contains exactly what was written. Anything
unexpected closes the connection, and every caller that waits gets `connection.OutcomeUnknown`.

No command is ever sent twice: a write whose answer was lost may have happened, and only the
caller knows whether it is safe to repeat it (redis-py's default retries turned one XADD into two).
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
from .urls import TIMEOUT_SECONDS

MAX_SHARED_NAMES = 1000  # names of permitted commands that are cached; Redis has hundreds
LATE_READ_SECONDS = 0.05  # for a loop that was blocked to read what has arrived meanwhile
LOOK_SECONDS = TIMEOUT_SECONDS / 4  # between two checks whether anything moves on the connection

# The types of replies in RESP 2, apart from errors. Any other is no answer to a command.
_REPLY_TYPES = frozenset({str, int, list, type(None)})

# Commands that change the connection for everyone who shares it, or that do not get exactly one
# reply.
_NOT_SHARED = frozenset(
    {
        *("AUTH", "CLIENT", "CLIENT REPLY", "CLIENT TRACKING", "HELLO", "QUIT", "RESET", "SELECT"),
        *("DISCARD", "EXEC", "MULTI", "UNWATCH", "WATCH", "MONITOR", "PSYNC", "REPLCONF", "SYNC"),
        *("PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE"),
        *("ASKING", "READONLY", "READWRITE", "SHUTDOWN"),
    }
)
_shared: set[str] = set()  # commands that were checked and are not among them


def _check_shared(name: str) -> None:
    """Raise DataError for a command that is not permitted on a shared connection."""
    if name.upper() in _NOT_SHARED:
        raise DataError(f"{name} cannot be asked on a connection that others use too")
    if name.isupper() and len(_shared) < MAX_SHARED_NAMES:
        _shared.add(name)


# A command on its way: its bytes, the future for its answer, its name, redis-py's options for
# reading the answer, and what a cluster needs to route it. A tuple costs half as much as an object.
_NO_OPTIONS: dict[str, Any] = {}
Command = tuple[bytes, "asyncio.Future[Any]", str, dict[str, Any], Any]


class Asking(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """Sends the commands that redis-py's methods build. `await_` waits for an awaitable and blocks
    only the greenlet."""

    _event_dispatcher: Any = None  # a part of redis-py's interface that is not used here

    def __init__(self, await_: Callable[[Awaitable[Any]], Any]) -> None:
        self.await_ = await_
        self.loop = asyncio.get_running_loop()
        self._future = self.loop.create_future

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and return its answer. Raises what redis-py raises."""
        return self.await_(self.ask(args, options))

    def pipeline(self, transaction: bool = False) -> "LoopPipeline":
        """Return a pipeline, whose commands are sent together. They are not a transaction."""
        return LoopPipeline(self)

    def register_script(self, script: str) -> "LoadedScript":  # type: ignore[override, unused-ignore]
        return LoadedScript(self, script)

    def ask(self, words: tuple[Any, ...], options: dict[str, Any]) -> "asyncio.Future[Any]":
        """Send a command at the end of this turn of the loop. Returns a future for the answer.
        Raises DataError if the command is invalid; then nothing is sent."""
        command = self.make(words, options)
        self.put(command)
        return command[1]

    def make(self, words: tuple[Any, ...], options: dict[str, Any]) -> Command:
        """Return a command that `put` can send. Raises DataError if it is invalid."""
        packed = pack(words)
        if (name := words[0]) not in _shared:
            _check_shared(name)
        return packed, self._future(), name, options, None

    def make_script(self, sha: str, keys: Sequence[str], args: Sequence[Any]) -> Command:
        """Like `make`, for EVALSHA."""
        return pack_script(sha, keys, args), self._future(), "EVALSHA", _NO_OPTIONS, None

    def put(self, command: Command) -> None:
        """Send a command at the end of this turn of the loop."""
        raise NotImplementedError

    def _fail(self, commands: Iterable[Command], kind: type[Exception], text: str) -> None:
        """Fail the commands whose answer is still missing, with an error of this type."""
        for _, answer, *_ in commands:
            if not answer.done():
                answer.set_exception(kind(text))

    def wait_all(self, answers: "Sequence[asyncio.Future[Any]]") -> list[Any]:
        """Return the results of all answers, in the same order. Raises the first error."""
        # Answers arrive in order, so as a rule it is enough to wait for the last one.
        try:
            for answer in reversed(answers):
                if not answer.done():
                    with suppress(Exception):  # the first error is raised below
                        self.await_(answer)
        except BaseException:  # the caller was cancelled; nobody will look at the other answers
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()
            raise
        if failed := [error for answer in answers if (error := answer.exception())]:
            raise failed[0]
        return [answer.result() for answer in answers]


class LoadedScript:
    """A Lua script. Each server gets its text when it does not know it yet. (redis-py's class would
    send the text to one node of a cluster only, and checks the type of its client at each call.)"""

    def __init__(self, client: Asking, text: str) -> None:
        self.client = client
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run the script and return its answer. All keys must be in one slot. Raises what redis-py
        raises."""
        client = self.client
        try:
            command = client.make_script(self.sha, keys, args)
            client.put(command)
            return client.await_(command[1])
        except NoScriptError:
            words = ("EVAL", self.text, len(keys), *keys, *args)
            return client.await_(client.ask(words, _NO_OPTIONS))

    def many(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Run the script several times and return the answers. Each call is a pair of keys, which
        must be in one slot, and arguments; all are sent together. Raises the first error."""
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
        # A plain copy: redis-py's dictionary converts each name to capitals, and ours are capitals.
        self._callbacks: Any = dict(client.response_callbacks)
        self._asked: list[Command] = []  # in this turn of the loop, or while there is no link
        self._sent: deque[Command] = deque()  # waiting for answers, which arrive in this order
        self._since = 0.0  # when the first of them began to wait, or its bytes last moved
        # The first of them at the last look, and how many of its bytes were unsent then.
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
        """Call `_write` at the end of this turn of the loop."""
        if self._over:
            raise RedisConnectionError("the server is stopping")
        self.loop.call_soon(self._write)

    def drop(self, why: str) -> None:
        """Close the connection, because its replies are out of step; the next command opens another
        one. Callers that wait get OutcomeUnknown. store.verified calls this (by getattr) when it
        gets the answer to another question."""
        if self._link is not None:
            self._link.close(InvalidResponse(why))

    async def aclose(self) -> None:
        """Close the connection. Callers that still wait get an error."""
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
            return  # `_lost` is about to open another connection
        asked, self._asked = self._asked, []
        if not self._sent:
            self._since = self.loop.time()
        # From here on these commands wait for replies, in this order. If the write fails, the
        # connection is closed, because it is unknown how much of it reaches Redis.
        self._sent.extend(asked)
        try:
            self._link.write(b"".join([command[0] for command in asked]))
        except Exception as error:
            self._link.close(error)
        if self._watch is None:
            self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

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
        """Pass a reply to the caller that waits for it. An exception from here would close the
        connection for everyone, so an error in reading the reply is raised to its caller only."""
        try:
            command = self._sent.popleft()
        except IndexError:
            raise InvalidResponse("a reply that nobody waits for") from None
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
            return  # the greenlet was cancelled; its command kept its place in the queue
        try:
            read = self._callbacks.get(name)
            if read is not None:
                reply = read(reply, **_reading_options(options)) if options else read(reply)
        except StopIteration as error:  # a future does not accept this exception
            answer.set_exception(InvalidResponse(f"{name}: {error!r}"))
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(reply)

    def _refused(self, command: Command, reply: Any) -> Exception | None:
        """Return the error that answers a command, or None if another server is asked instead.
        Raises an error for a reply that answers no command; then the command waits on."""
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
        """Return True if this server has not run a command and another one is asked instead."""
        if isinstance(error, ReadOnlyError):
            self.loop.call_soon(self._look_elsewhere)
        return False

    def _look_elsewhere(self) -> None:
        """This server has become a replica: connect again, to the server that the address means
        now, as soon as nobody waits for an answer on the old connection."""
        if self._link is None or self._link.ended.done():
            return
        if self._sent:
            self.loop.call_later(0.02, self._look_elsewhere)
        else:
            self._link.close(RedisConnectionError("Redis has become a replica"))

    def _look(self, doubted: float = -1.0) -> None:
        """Close the connection if answers are due and nothing has moved for TIMEOUT_SECONDS. A long
        answer may take longer while bytes arrive, and a long command while its bytes leave. If the
        event loop itself was blocked for so long, this checks once more after it has read;
        `doubted` is then the time when something last moved."""
        self._watch = None
        if not self._sent or self._link is None:
            self._leaving = None, 0
            return
        if self._leaves():
            self._since = self.loop.time()
        moved = max(self._since, self._link.heard)
        left = moved + TIMEOUT_SECONDS - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(min(left, LOOK_SECONDS), self._look)
        elif moved != doubted:
            self._watch = self.loop.call_later(LATE_READ_SECONDS, self._look, moved)
        else:
            self._link.close(RedisTimeout(f"nothing came for {TIMEOUT_SECONDS:.0f} seconds"))

    def _leaves(self) -> bool:
        """Return True if more of the first waiting command has left since the last look. What was
        written after it does not count: the host may accept that although Redis is dead."""
        assert self._link is not None
        first, before = self._sent[0], self._leaving
        behind = sum(len(command[0]) for command in self._sent) - len(first[0])
        unsent = max(0, self._link.unsent() - behind)
        self._leaving = first, unsent
        return before[0] is first and unsent < before[1]

    def _lost(self, ended: "asyncio.Future[Exception | None]") -> None:
        """The connection is lost. Commands that were sent may have run or not: their callers get
        OutcomeUnknown, and nothing is repeated."""
        self._link = None
        sent, self._sent = self._sent, deque()
        self._fail(sent, OutcomeUnknown, str(ended.result() or "the connection was closed"))
        if self._asked:
            self._write()


class LoopPipeline(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """Collects commands; `execute` sends them together."""

    _event_dispatcher: Any = None

    def __init__(self, client: Asking) -> None:
        self.client = client
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **options: Any) -> "LoopPipeline":
        self._commands.append((args, options))
        return self

    def execute(self) -> list[Any]:
        """Send all commands and return their answers in order. Raises the first error among them,
        or DataError if one of the commands is invalid; then none is sent."""
        commands, self._commands = self._commands, []
        made = [self.client.make(words, options) for words, options in commands]
        for command in made:
            self.client.put(command)
        return self.client.wait_all([answer for _, answer, *_ in made])


def _reading_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that redis-py's parser of the answer gets; `keys` is for its cache."""
    return {name: options[name] for name in options if name not in ("keys", EMPTY_RESPONSE)}
