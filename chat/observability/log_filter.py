"""Limits the log to one line a minute while Redis is unavailable and every page and request
fails."""

import logging

from redis.exceptions import RedisError

from .once_per_minute import OncePerMinute


class OutageFilter(logging.Filter):
    """A filter for a log handler. Of the warnings about an error of Redis, or of the connection to
    it, it passes one each minute, and adds how many there were since the last one. A warning is
    about an error if one of its arguments is the error."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = OncePerMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        about = any(isinstance(arg, RedisError | OSError) for arg in args)
        if record.levelno != logging.WARNING or not about:
            return True
        if (ending := self._lines.ending()) is None:
            return False
        record.msg = f"{record.msg}{ending}"
        return True
