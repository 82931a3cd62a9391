"""Tells the supervisor that a process is alive: one byte per second through a pipe.

The code that does the work writes it (the event loop of a worker, the loop of the indexer), not a
separate thread, which would continue while the work hangs. chat.server.watchdog decides what
happens when no bytes arrive.
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
    """Let STACK_SIGNAL write the stacks of all threads to the log (standard error). C code in a
    signal handler does it, so it works even if Python code does not run."""
    faulthandler.register(STACK_SIGNAL, all_threads=True)


class Heartbeat:
    """Writes to the pipe `descriptor`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._due = 0.0  # by the monotonic clock
        os.set_blocking(descriptor, False)

    def beat(self) -> None:
        """Report progress. Costs almost nothing if the last byte is recent."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + BEAT_SECONDS
            # The pipe is full if the supervisor hangs, and closed if it has ended.
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._descriptor, b".")

    def sleep(self, seconds: float) -> None:
        """Wait, and report progress meanwhile."""
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
