"""Limits warnings that every request could cause to one line a minute."""

import logging
import time

from redis.exceptions import RedisError

MINUTE_SECONDS = 60.0


class OncePerMinute:
    """Limits one kind of warning in this process."""

    def __init__(self) -> None:
        self._next = float("-inf")
        self._more = 0

    def ending(self) -> str | None:
        """Return what to add to a warning that is written now: how many warnings there were since
        the last one. Returns None, and counts this warning, if the last one was written less than a
        minute ago."""
        if time.monotonic() < self._next:
            self._more += 1
            return None
        more, self._more = self._more, 0
        self._next = time.monotonic() + MINUTE_SECONDS
        return f" (and {more} more times since the last line like this)" if more else ""

    def warn(self, log: logging.Logger, text: str, *args: object) -> None:
        """Write the warning, unless one was written less than a minute ago."""
        if (ending := self.ending()) is not None:
            log.warning(text + ending, *args)


class OutageFilter(logging.Filter):
    """A filter for a log handler: while Redis is unavailable, every page and request fails. Of the
    warnings about an error of Redis, or of the connection to it, it passes one each minute, and
    adds how many there were since the last one. A warning is about an error if one of its arguments
    is the error."""

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
