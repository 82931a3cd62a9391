"""Reads that decide who somebody is, and what they may do: each reply says what it answers.

Many callers share a connection to Redis, and its replies carry no number. The client keeps them in
step (`chat.redis_client.client`). Should that ever fail, nobody must be taken for somebody else:
such a read is a script that returns a token of the question before the answers. A reply with
another token, or without one, is refused. Where many people or rooms are read at once, each record
contains its own id instead, which costs less.
"""

import itertools
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from .lua import Script

log = logging.getLogger(__name__)


class WrongReply(RedisConnectionError):
    """Redis answered with what was asked by, or is about, somebody else."""


class Verified:
    """Commands whose replies are known to be theirs, over a redis-py client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._script = Script(client, "verified")
        self._tokens: Iterator[str] = map(f"{secrets.token_hex(8)}-%d".__mod__, itertools.count())

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers of some commands, each of which has its key as its second word; all keys are
        of one slot. The answers are as Redis gives them: a hash is a list of names and values. One
        round trip. Raises WrongReply, and has the connection closed, for the answer to another
        question."""
        token = next(self._tokens)
        words = [word for command in commands for word in (len(command), *command)]
        reply = self._script([command[1] for command in commands], token=token, rest=words)
        if not isinstance(reply, list) or len(reply) != 1 + len(commands) or reply[0] != token:
            if drop := getattr(self._client, "drop", None):
                drop("a reply to another question")
            raise refused(commands[0][1])
        return reply[1:]

    def one(self, *words: Any) -> Any:
        """The answer of one command; as `ask`."""
        return self.ask(words)[0]


def is_own(own: str, values: Any, count: int) -> bool:
    """False for a reply that is not the record with the id `own`: a list of `count` values that
    begins with the id. An older record begins with None, and so does one that is not there."""
    return type(values) is list and len(values) == count and values[0] in (own, None)


def refused(key: str) -> WrongReply:
    """The error for a reply that is not about `key`; it is in the log."""
    log.error("Redis was asked about %s and answered something else; the reply is refused", key)
    return WrongReply("Redis answered another question")


def hset(key: str, fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """The command that stores these fields of a hash."""
    return ("HSET", key, *itertools.chain.from_iterable(fields.items()))


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """A hash, from the answer to HGETALL."""
    names = iter(flat)
    return dict(zip(names, names, strict=True))
