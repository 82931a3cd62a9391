"""Reads that decide who somebody is and what they may do. Each reply proves which question it
answers.

Many callers share a connection to Redis, and replies have no numbers. The client keeps them in
order (`chat.redis_client.client`). If that ever failed, nobody may be mistaken for somebody else.
So such a read is a script that returns a token of the question before the answers, and a reply with
another token, or without one, is refused. When many people or rooms are read at once, each record
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
    """Redis sent the answer to another question, or the record of somebody else."""


class Verified:
    """Commands whose replies are checked, over a redis-py client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._script = Script(client, "verified")
        self._tokens: Iterator[str] = map(f"{secrets.token_hex(8)}-%d".__mod__, itertools.count())

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Return the replies to some commands, in one round trip. The second word of each command
        is its key, and all keys are in one slot. Replies are as Redis sends them: a hash is a list
        of names and values. If the reply answers another question, closes the connection and raises
        WrongReply."""
        token = next(self._tokens)
        words = [word for command in commands for word in (len(command), *command)]
        reply = self._script([command[1] for command in commands], token=token, rest=words)
        if not isinstance(reply, list) or len(reply) != 1 + len(commands) or reply[0] != token:
            if drop := getattr(self._client, "drop", None):
                drop("a reply to another question")
            raise refused(commands[0][1])
        return reply[1:]

    def one(self, *words: Any) -> Any:
        """Return the answer to one command, as `ask` does."""
        return self.ask(words)[0]


def check_own(key: str, own: str, values: Any, count: int) -> None:
    """Raise WrongReply for a reply to a question about `key` that is not the record with the id
    `own`: a list of `count` values that begins with the id. A record of an earlier version begins
    with None, and so does one that does not exist."""
    if type(values) is not list or len(values) != count or values[0] not in (own, None):
        raise refused(key)


def refused(key: str) -> WrongReply:
    """The error for a reply that is not about `key`. Logs it."""
    log.error("Redis was asked about %s and answered something else; the reply is refused", key)
    return WrongReply("Redis answered another question")


def hset(key: str, fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """The command that stores these fields of a hash."""
    return ("HSET", key, *itertools.chain.from_iterable(fields.items()))


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Return a hash as a dictionary, from the answer to HGETALL."""
    names = iter(flat)
    return dict(zip(names, names, strict=True))
