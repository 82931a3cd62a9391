"""How a process tells the supervisor that it is alive: with a byte a second over a pipe.

The byte comes from what does the work (the event loop of a worker, the loop of the indexer) and
not from a thread beside it, for a thread goes on where the work hangs. What happens when the
bytes stay out is the business of chat.server.watchdog.
"""

import asyncio
import faulthandler
import os
import signal
import time
from contextlib import suppress
from typing import NoReturn

BEAT_SECONDS = 1.0
STACK_SIGNAL = signal.SIGUSR1


def write_stacks_when_asked() -> None:
    """Have STACK_SIGNAL write the stacks of all threads to the log (standard error). It is written
    by C code in a signal handler, so also while Python runs nothing."""
    faulthandler.register(STACK_SIGNAL, all_threads=True)


class Heartbeat:
    """`descriptor` is the end of the pipe that is written to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._due = 0.0  # by the monotonic clock
        os.set_blocking(descriptor, False)

    def beat(self) -> None:
        """Say that there was progress; costs next to nothing where the last byte is young."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + BEAT_SECONDS
            # The pipe is full where the supervisor hangs, and closed where it is gone.
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._descriptor, b".")

    def sleep(self, seconds: float) -> None:
        """Wait, and go on saying so."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.beat()
            time.sleep(min(left, BEAT_SECONDS))

    async def run(self) -> NoReturn:
        """Beat from the event loop until cancelled."""
        while True:
            self._due = 0.0
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)
