"""One connection to Redis with nothing between its bytes and those who wait for them.

redis-py makes the connection, which may mean TLS, a password, a database number; then its
transport is taken over. From there on commands are packed and replies are read by hiredis, as
they come, in order: no lock, no stream, no timer for each.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeout

PING_EVERY = 5.0  # seconds without a word after which Redis is asked for one

_NOTHING = object()


def _nowhere(data: bytes) -> None:
    """What writes once the connection is over: uvloop's transport would raise."""


def pack(words: tuple[Any, ...]) -> bytes:
    """A command as bytes. The first of its words may be two, as in `SCRIPT LOAD`; the others are
    text, bytes or numbers. Raises redis.exceptions.DataError for what Redis cannot take. redis-py's
    own looks through all words first, which takes three times as long."""
    if " " in words[0]:
        words = (*words[0].split(" "), *words[1:])
    try:
        packed: bytes = hiredis.pack_command(words)
    except TypeError as error:
        raise DataError(str(error)) from error
    return packed


class Link(asyncio.Protocol):
    """Make one with `Link.open`. `ended` is done when the connection is over; its result is the
    error that ended it, or None."""

    def __init__(self, connection: Any, take: Callable[[Any], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Exception | None] = self.loop.create_future()
        self.heard = self.loop.time()  # when Redis last sent something
        self._connection = connection
        self._take = take
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,
            encoding="utf-8",
            errors="replace",
            notEnoughData=_NOTHING,
        )
        self._transport = connection._writer.transport
        self._transport.set_protocol(self)
        if not self._transport.is_reading():
            self._transport.resume_reading()
        # Takes bytes; nothing happens once the connection is over.
        self.write: Callable[[bytes], None] = self._transport.write

    @classmethod
    async def open(cls, client: Any, take: Callable[[Any], None]) -> "Link":
        """A new connection of a redis.asyncio `client` that speaks RESP 2; each reply, errors
        among them, goes to `take`. Raises what redis-py raises."""
        connection = client.connection_pool.make_connection()
        try:
            await connection.connect()
        except RuntimeError as error:  # uvloop's, of a transport that was closed meanwhile
            connection._close()
            raise RedisConnectionError(str(error)) from error
        return cls(connection, take)

    async def outlive(self) -> NoReturn:
        """Wait until the connection is over, which it is too when Redis says nothing for
        PING_EVERY and then does not answer a PING; raises what ended it."""
        asked = False
        while not self.ended.done():
            heard = self.heard
            await asyncio.wait({self.ended}, timeout=PING_EVERY)
            if heard != self.heard:
                asked = False
            elif asked:
                self.close(RedisTimeout("no answer to PING"))
            else:
                asked = True
                self.command("PING")
        raise self.ended.result() or RedisConnectionError("closed")

    def command(self, *words: str) -> None:
        """Send a command; its reply goes where all go."""
        self.write(pack(words))

    def close(self, error: Exception | None = None) -> None:
        """End the connection, because of `error`."""
        if not self.ended.done():
            self.ended.set_result(error)
        self.write = _nowhere
        self._transport.abort()
        self._connection._close()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self._take(reply)
        except InvalidResponse as error:
            self.close(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.close(RedisConnectionError(str(error or "Redis closed the connection")))
