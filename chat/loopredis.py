"""redis-py's blocking API on the event loop.

The store is written against redis-py's synchronous client. In the server it is handed this
one: the same methods, but each call awaits in its greenlet and costs no thread. Commands of
all greenlets that ask in the same turn of the loop, or while a pipeline is on its way, share
the next pipeline, so that a busy server makes few round trips.

No command is ever sent twice: a write whose answer was lost may have happened, and only the
caller knows whether repeating it is safe (redis-py's default retries turned one XADD into two).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import CoreCommands
from redis.exceptions import ConnectionError as RedisConnectionError

Command = tuple[tuple[Any, ...], dict[str, Any], "asyncio.Future[Any]"]


def connect(url: str, timeout: float = 2.0, **options: Any) -> "Redis":
    """An asyncio client with no retries; `timeout` in seconds for connecting and each answer."""
    return Redis.from_url(
        url,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=0,
        **options,
    )


class LoopRedis(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """A client that looks synchronous to a greenlet. `await_` blocks the greenlet only."""

    _event_dispatcher: Any = None  # a part of redis-py's interface that is not used here

    def __init__(self, client: "Redis", await_: Callable[[Awaitable[Any]], Any]) -> None:
        self.client = client
        self.await_ = await_
        self.loop = asyncio.get_running_loop()
        self._waiting: list[Command] = []
        self._task: asyncio.Task[None] | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command; returns its answer or raises what redis-py raises."""
        return self.await_(self._add(args, options))

    def pipeline(self, transaction: bool = False) -> "LoopPipeline":
        """Collect commands and send them together; they are not a transaction."""
        return LoopPipeline(self)

    def get_encoder(self) -> Any:
        return self.client.get_encoder()  # type: ignore[no-untyped-call]

    def _add(self, args: tuple[Any, ...], options: dict[str, Any]) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self.loop.create_future()
        self._waiting.append((args, options, answer))
        if self._task is None:
            # The task starts after this turn of the loop, and takes what is there by then.
            self._task = self.loop.create_task(self._send_all())
        return answer

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send(batch)
        finally:
            self._task = None

    async def _send(self, batch: list[Command]) -> None:
        try:
            pipeline = self.client.pipeline(transaction=False)
            for args, options, _ in batch:
                pipeline.execute_command(*args, **options)
            answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            answers = [error] * len(batch)
        except asyncio.CancelledError:
            answers = [RedisConnectionError("the server is stopping")] * len(batch)
        for (_, _, waiting), answer in zip(batch, answers, strict=True):
            if waiting.done():
                continue  # the greenlet that asked was cancelled
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)


class LoopPipeline(CoreCommands):  # type: ignore[type-arg, unused-ignore]
    """Commands that leave together; `execute` returns their answers in order."""

    _event_dispatcher: Any = None

    def __init__(self, client: LoopRedis) -> None:
        self.client = client
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **options: Any) -> "LoopPipeline":
        self._commands.append((args, options))
        return self

    def execute(self) -> list[Any]:
        """Send all; raises the first error among the answers."""
        commands, self._commands = self._commands, []
        answers = [self.client._add(args, options) for args, options in commands]
        results = self.client.await_(asyncio.gather(*answers, return_exceptions=True))
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return list(results)
