"""The log while Redis is unavailable: one line a minute, though every page and request fails."""

import logging
import time

from redis.exceptions import RedisError

LINE_SECONDS = 60.0  # between two lines of a process


class OutageFilter(logging.Filter):
    """For a log handler. Of the warnings about an error of Redis, or of the connection to it, one
    passes every LINE_SECONDS, with the number of those since the last one. A warning is about an
    error if one of its arguments is the error."""

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
        self._next, self._more = time.monotonic() + LINE_SECONDS, 0
        return True
