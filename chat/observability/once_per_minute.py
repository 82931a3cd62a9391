"""Limits warnings that every request could cause to one line a minute."""

import logging
import time

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
