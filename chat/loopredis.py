"""redis-py's blocking API on the event loop.

The store is written against redis-py's synchronous client. In the server it is handed this
one: the same methods, but each call awaits in its greenlet and costs no thread. What all
greenlets ask in one turn of the loop leaves as one write on one connection, and nobody waits
for what others asked before.

No command is ever sent twice: a write whose answer was lost may have happened, and only the
caller knows whether repeating it is safe (redis-py's default retries turned one XADD into two).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.client import EMPTY_RESPONSE
from redis.commands.core import CoreCommands
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from .database import TIMEOUT
from .link import Link, pack


class Command:
    """One command on its way, and who waits for its answer."""

    __slots__ = ("answer", "options", "words")

    def __init__(self, words: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        self.words = words
        self.options = options
        self.answer: asyncio.Future[Any] = answer


class Asking(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """What redis-py needs to make commands of its methods, over `ask`. `await_` blocks the
    greenlet only."""

    _event_dispatcher: Any = None  # a part of redis-py's interface that is not used here
    client: "Redis"

    def __init__(self, await_: Callable[[Awaitable[Any]], Any]) -> None:
        self.await_ = await_
        self.loop = asyncio.get_running_loop()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command; returns its answer or raises what redis-py raises."""
        return self.await_(self.ask(args, options))

    def pipeline(self, transaction: bool = False) -> "LoopPipeline":
        """Collect commands and send them together; they are not a transaction."""
        return LoopPipeline(self)

    def get_encoder(self) -> Any:
        return self.client.get_encoder()  # type: ignore[no-untyped-call]

    def register_script(self, script: str) -> "Script":  # type: ignore[override, unused-ignore]
        return Script(self, script)

    def ask(self, words: tuple[Any, ...], options: dict[str, Any]) -> "asyncio.Future[Any]":
        """Send a command when this turn of the loop is over; returns the answer to come."""
        raise NotImplementedError


class Script:
    """A Lua script, which each server learns when it is first asked for it. redis-py's asks what
    its client is each time, and in a cluster would have one node learn it."""

    def __init__(self, client: Asking, text: str) -> None:
        self.client = client
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Its answer; the keys are of one slot."""
        try:
            return self.client.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return self.client.execute_command("EVAL", self.text, len(keys), *keys, *args)


class LoopRedis(Asking):
    """A client of one server that looks synchronous to a greenlet."""

    def __init__(self, client: "Redis", await_: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__(await_)
        self.client = client
        # As they are now. redis-py's dictionary takes each name into capitals, which ours are in.
        self._callbacks: Any = dict(client.response_callbacks)
        self._asked: list[Command] = []  # in this turn of the loop, or while there is no link
        self._sent: deque[Command] = deque()  # their answers come in this order
        self._since = 0.0  # when the first of them began to be waited for
        self._link: Link | None = None
        self._opening: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, words: tuple[Any, ...], options: dict[str, Any]) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.put(Command(words, options, answer))
        return answer

    def put(self, command: Command) -> None:
        """Send a command when this turn of the loop is over."""
        if not self._asked:
            self.loop.call_soon(self._write)
        self._asked.append(command)

    async def aclose(self) -> None:
        """End the connection; who still waits is told that the server is stopping."""
        if self._opening is not None:
            self._opening.cancel()
        if self._watch is not None:
            self._watch.cancel()
        self._fail([*self._sent, *self._asked], RedisConnectionError, "the server is stopping")
        if self._link is not None:
            self._link.close()
        await self.client.aclose()

    # The link

    def _write(self) -> None:
        if self._link is None:
            if self._opening is None:
                self._opening = self.loop.create_task(self._open())
            return
        asked, self._asked = self._asked, []
        packed: list[bytes] = []
        if not self._sent:
            self._since = self.loop.time()
        for command in asked:
            try:
                packed.append(pack(command.words))
            except DataError as error:
                command.answer.set_exception(error)
            else:
                self._sent.append(command)
        self._link.write(b"".join(packed))
        if self._watch is None:
            self._watch = self.loop.call_later(TIMEOUT, self._look)

    async def _open(self) -> None:
        try:
            self._link = await Link.open(self.client, self._take)
        except Exception as error:
            asked, self._asked = self._asked, []
            kind = type(error) if isinstance(error, RedisError) else RedisConnectionError
            self._fail(asked, kind, str(error))
        else:
            self._link.ended.add_done_callback(self._lost)
        finally:
            self._opening = None
        if self._asked:
            self._write()

    def _take(self, reply: Any) -> None:
        command = self._sent.popleft()
        self._since = self._link.heard if self._link is not None else 0.0
        answer = command.answer
        if answer.done():
            return  # the greenlet that asked was cancelled
        if isinstance(reply, Exception):
            if self._is_elsewhere(command, reply):
                return
            if EMPTY_RESPONSE not in command.options:
                answer.set_exception(reply)
                return
            reply = command.options[EMPTY_RESPONSE]
        read = self._callbacks.get(command.words[0])
        try:
            if read is not None:
                reply = read(reply, **_told(command.options)) if command.options else read(reply)
            answer.set_result(reply)
        except Exception as error:
            answer.set_exception(error)

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

    def _look(self) -> None:
        """Give a connection up on which answers are due and none has come for TIMEOUT."""
        self._watch = None
        if not self._sent:
            return
        left = self._since + TIMEOUT - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        elif self._link is not None:
            self._link.close(RedisTimeout("Redis does not answer"))

    def _lost(self, ended: "asyncio.Future[Exception | None]") -> None:
        """What was sent may have happened or not; who asked is told, and nothing is repeated."""
        error = ended.result()
        self._link = None
        sent, self._sent = self._sent, deque()
        self._fail(sent, type(error or RedisConnectionError()), str(error or "closed"))
        if self._asked:
            self._write()

    def _fail(self, commands: Any, kind: type[Exception], text: str) -> None:
        for command in commands:
            if not command.answer.done():
                command.answer.set_exception(kind(text))


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
        """Send all; raises the first error among the answers."""
        commands, self._commands = self._commands, []
        answers = [self.client.ask(words, options) for words, options in commands]
        # They come in order, so that the last is waited for, as a rule, and no other; but what
        # cannot be sent has its answer at once.
        for answer in reversed(answers):
            if not answer.done():
                with suppress(Exception):  # it is raised below, if it is the first
                    self.client.await_(answer)
        if failed := [error for answer in answers if (error := answer.exception())]:
            raise failed[0]
        return [answer.result() for answer in answers]


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """What redis-py's reading of an answer is told; `keys` is for its cache."""
    return {name: options[name] for name in options if name not in ("keys", EMPTY_RESPONSE)}
