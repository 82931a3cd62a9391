"""A warning that every request could cause, written once a minute."""

import logging
import time

MINUTE_SECONDS = 60.0


class OncePerMinute:
    """For one kind of warning in this process."""

    def __init__(self) -> None:
        self._next = float("-inf")
        self._more = 0

    def warn(self, log: logging.Logger, text: str, *args: object) -> None:
        """Write the warning, unless one was written less than a minute ago; the next one says how
        many there were since."""
        if time.monotonic() < self._next:
            self._more += 1
            return
        if self._more:
            text += f" (and {self._more} more times since the last line like this)"
        self._next, self._more = time.monotonic() + MINUTE_SECONDS, 0
        log.warning(text, *args)
