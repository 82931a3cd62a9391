"""One connection to Redis with nothing between its bytes and those who wait for them.

redis-py makes the connection, which may mean TLS, a password, a database number; then its
transport is taken over. From there on commands are packed and replies are read by hiredis, as
they come, in order: no lock, no stream, no timer for each.

Replies carry no number: the n-th reply answers the n-th command. So a connection on which anything
unexpected happens is closed, and a command that cannot be packed is refused before it is sent.
"""

import asyncio
import fcntl
import logging
import struct
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NoReturn

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeout

log = logging.getLogger(__name__)

PING_EVERY = 5.0  # seconds without a word after which Redis is asked for one
MAX_INT = 1 << 64  # beyond any number in a command; Redis counts with 64 bits
MAX_HEADS = 1024  # of scripts, each with its keys, that are kept as bytes
MAX_COMMAND_BYTES = 1 << 26  # of one packed command; Redis closes the connection at 512 MB

_NOTHING = object()


class OutcomeUnknown(RedisConnectionError):
    """The connection ended before Redis answered: the command may have run, or may not have."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Redis gave no answer ({why}), so it is not known if the command ran")


def _nowhere(data: bytes) -> None:
    """What writes once the connection is over: uvloop's transport would raise."""


def _drop(reply: Any) -> None:
    """What takes replies once the connection is over."""


def pack(words: tuple[Any, ...]) -> bytes:
    """A command as bytes. The first of its words is text, and may be two, as in `SCRIPT LOAD`; the
    others are text, bytes or numbers. Raises redis.exceptions.DataError, and nothing else, for what
    Redis cannot take. redis-py's own takes three times as long."""
    try:
        if " " in words[0]:
            words = (*words[0].split(" "), *words[1:])
        return _packed(words)
    except Exception as error:
        raise DataError(f"This command cannot be sent to Redis: {error}") from error


def pack_script(sha: str, keys: Sequence[str], args: Sequence[Any]) -> bytes:
    """EVALSHA as `pack` makes it, in less time: what does not change from call to call is kept."""
    try:
        count, head = _head(sha, tuple(keys))
        tail = _packed(tuple(args))
        return b"*%d\r\n%b%b" % (count + len(args), head, tail[tail.index(b"$") :] if args else b"")
    except Exception as error:
        raise DataError(f"This script cannot be sent to Redis: {error}") from error


@lru_cache(maxsize=MAX_HEADS)
def _head(sha: str, keys: tuple[str, ...]) -> tuple[int, bytes]:
    """How many words EVALSHA has before its arguments, and these as bytes."""
    words = ("EVALSHA", sha, len(keys), *keys)
    packed = _packed(words)
    return len(words), packed[packed.index(b"$") :]


def _packed(words: tuple[Any, ...]) -> bytes:
    for word in words:
        if type(word) is not str and (type(word) is not int or not -MAX_INT < word < MAX_INT):
            _check(word)
    packed: bytes = hiredis.pack_command(words)
    if len(packed) > MAX_COMMAND_BYTES:
        raise DataError(f"it is longer than {MAX_COMMAND_BYTES} bytes")
    return packed


def _check(word: Any) -> None:
    """Raise DataError for what hiredis must not be given. Its C code does not look at whether
    Python could write a number out: an int of more than 4,300 digits, or a float of a class of its
    own, ends the process."""
    kind = type(word)
    if kind is int:
        raise DataError("a number has more than 64 bits")
    if kind is not bytes and kind is not float and not isinstance(word, str):
        raise DataError(f"{kind.__name__} is neither text, bytes nor a number")


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
        """Send a command; its reply goes where all go. Raises DataError, and then nothing was
        sent."""
        self.write(pack(words))

    def unsent(self) -> int:
        """How many bytes were written and have not reached Redis's host yet: those in the
        transport, and those in the system's buffer for the socket (SIOCOUTQ, tcp(7), which is 0
        where the system does not tell it)."""
        size: int = self._transport.get_write_buffer_size()
        if (sock := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError, ValueError):  # ValueError: it was closed meanwhile
                held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
                size += struct.unpack("i", held)[0]
        return size

    def close(self, error: Exception | None = None) -> None:
        """End the connection, because of `error`. Replies that came and were not taken are
        dropped."""
        if not self.ended.done():
            self.ended.set_result(error)
        self.write = _nowhere
        self._take = _drop
        self._transport.abort()
        self._connection._close()

    def data_received(self, data: bytes) -> None:
        """Give away each reply that is complete. Whatever goes wrong here ends the connection,
        for it is not known any more which reply is whose."""
        self.heard = self.loop.time()
        try:
            self._reader.feed(data)
            gets = self._reader.gets
            while (reply := gets()) is not _NOTHING:
                self._take(reply)
        except Exception as error:
            log.exception("a reply of Redis cannot be used; its connection is closed")
            self.close(error)
        except BaseException:
            self.close(RedisConnectionError("the server is stopping"))
            raise

    def connection_lost(self, error: Exception | None) -> None:
        self.close(RedisConnectionError(str(error or "Redis closed the connection")))
