"""A connection to Redis that passes replies on as they arrive.

redis-py opens the connection, with TLS, a password or a database number if necessary; then this
module takes its transport over. From there on hiredis packs the commands and parses the replies,
without a lock, a stream or a timer for each.

Replies have no numbers: the n-th reply answers the n-th command. So a connection is closed when
anything unexpected happens on it, and a command that cannot be packed is refused before it is sent.
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

PING_SECONDS = 5.0  # of silence, after which `outlive` sends PING
MAX_INT = 1 << 64  # numbers in commands are smaller; Redis counts with 64 bits
MAX_CACHED_HEADS = 1024  # beginnings of EVALSHA commands, one for each script and its keys
MAX_COMMAND_BYTES = 1 << 26  # of one packed command; Redis closes the connection at 512 MB

_NOTHING = object()


class OutcomeUnknown(RedisConnectionError):
    """The connection ended before Redis answered: the command may have run, or may not have."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Redis gave no answer ({why}), so it is unknown whether the command ran")


def _drop(content: Any) -> None:
    """Replaces the functions that write and that take replies once the connection is closed,
    because uvloop's transport would raise."""


def pack(words: tuple[Any, ...]) -> bytes:
    """Return a command as bytes. The first of `words` is text, and may be two words, as in
    `SCRIPT LOAD`; the others are text, bytes or numbers. Raises only redis.exceptions.DataError,
    for what Redis cannot accept. redis-py's function takes three times as long."""
    try:
        if " " in words[0]:
            words = (*words[0].split(" "), *words[1:])
        return _packed(words)
    except Exception as error:
        raise DataError(f"This command cannot be sent to Redis: {error}") from error


def pack_script(sha: str, keys: Sequence[str], args: Sequence[Any]) -> bytes:
    """Return an EVALSHA command as bytes. Faster than `pack`, because the part that does not change
    from call to call is cached."""
    try:
        count, head = _head(sha, tuple(keys))
        tail = _packed(tuple(args))
        return b"*%d\r\n%b%b" % (count + len(args), head, tail[tail.index(b"$") :] if args else b"")
    except Exception as error:
        raise DataError(f"This script cannot be sent to Redis: {error}") from error


@lru_cache(maxsize=MAX_CACHED_HEADS)
def _head(sha: str, keys: tuple[str, ...]) -> tuple[int, bytes]:
    """Return the number of words of EVALSHA before its arguments, and these words as bytes."""
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
    """Raise DataError for a word that hiredis must not get. Its C code does not check whether
    Python could convert a number to text: an int of more than 4,300 digits, or an instance of a
    subclass of float, ends the process."""
    kind = type(word)
    if kind is int:
        raise DataError("a number has more than 64 bits")
    if kind is not bytes and kind is not float and not isinstance(word, str):
        raise DataError(f"{kind.__name__} is neither text, bytes nor a number")


class Link(asyncio.Protocol):
    """A connection, made by `Link.open`. The future `ended` is done when it is closed; its result
    is the error that closed it, or None."""

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
        # Writes bytes; does nothing when the connection is closed.
        self.write: Callable[[bytes], None] = self._transport.write

    @classmethod
    async def open(cls, client: Any, take: Callable[[Any], None]) -> "Link":
        """Open a connection of a redis.asyncio `client` for RESP 2. `take` is called with each
        reply, also with errors. Raises what redis-py raises."""
        connection = client.connection_pool.make_connection()
        try:
            await connection.connect()
        except RuntimeError as error:  # from uvloop, if the transport was closed meanwhile
            connection._close()
            raise RedisConnectionError(str(error)) from error
        return cls(connection, take)

    async def outlive(self) -> NoReturn:
        """Wait until the connection is closed, and raise the error that closed it. Closes it if
        Redis is silent for PING_SECONDS and then does not answer a PING."""
        asked = False
        while not self.ended.done():
            heard = self.heard
            await asyncio.wait({self.ended}, timeout=PING_SECONDS)
            if heard != self.heard:
                asked = False
            elif asked:
                self.close(RedisTimeout("no answer to PING"))
            else:
                asked = True
                self.command("PING")
        raise self.ended.result() or RedisConnectionError("closed")

    def command(self, *words: str) -> None:
        """Send a command; its reply is passed on like any other. Raises DataError if the command is
        invalid; then nothing is sent."""
        self.write(pack(words))

    def unsent(self) -> int:
        """Return the number of bytes that were written and have not reached Redis's host yet: those
        in the transport, and those in the kernel's buffer of the socket (SIOCOUTQ, tcp(7); counted
        as 0 where the kernel does not tell)."""
        size: int = self._transport.get_write_buffer_size()
        if (sock := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError, ValueError):  # ValueError: it was closed meanwhile
                held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
                size += struct.unpack("i", held)[0]
        return size

    def close(self, error: Exception | None = None) -> None:
        """Close the connection because of `error`. Replies that have arrived and were not passed on
        are dropped."""
        if not self.ended.done():
            self.ended.set_result(error)
        self.write = _drop
        self._take = _drop
        self._transport.abort()
        self._connection._close()

    def data_received(self, data: bytes) -> None:
        """Pass on each complete reply. Any error closes the connection, because it is then unknown
        which reply belongs to which command."""
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
