"""The log while Redis is away: every page and every request finds out, and one line says it."""

import logging
import time

from redis.exceptions import RedisError

EVERY = 60.0  # seconds between two lines of a process


class Outage(logging.Filter):
    """For a handler: of the warnings about an error of Redis or of the line to it, lets one through
    in EVERY seconds, which also says how many there were since the one before. A warning is about
    an error when that is one of its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self._next = float("-inf")
        self._more = 0

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        about = any(isinstance(arg, RedisError | OSError) for arg in args)
        if record.levelno != logging.WARNING or not about:
            return True
        if time.monotonic() < self._next:
            self._more += 1
            return False
        if self._more:
            record.msg = f"{record.msg} (and {self._more} more times since the last line like this)"
        self._next, self._more = time.monotonic() + EVERY, 0
        return True
