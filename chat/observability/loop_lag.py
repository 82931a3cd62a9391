"""Measures how late the event loop is, and logs what held it.

While the loop runs one piece of work, all pages of the process wait. The delay is measured for
`/metrics`. When the loop is late, a thread looks at what the loop's thread is running, so the log
names the work. The thread wakes ten times a second to read a number.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from pathlib import Path

from .metrics import LAG
from .once_per_minute import OncePerMinute

log = logging.getLogger(__name__)

MEASURE_SECONDS = 0.1  # between two measurements
LATE_SECONDS = 0.1  # with more lag, the log says what was running
MAX_FRAMES = 8  # of the stack in a log line, the innermost first

_PACKAGE = Path(__file__).parents[2]


class LoopLag:
    """Measures the loop in which it runs."""

    def __init__(self) -> None:
        self._due = 0.0  # when the loop should continue `run` (time.monotonic)
        self._seen = ""  # what the loop was running when it was late
        self._lines = OncePerMinute()

    async def run(self) -> None:
        """Measure until cancelled."""
        self._due = time.monotonic() + MEASURE_SECONDS
        stopped = threading.Event()
        args = threading.get_ident(), stopped
        threading.Thread(target=self._watch, args=args, name="loop-lag", daemon=True).start()
        try:
            while True:
                self._seen = ""
                due = self._due = time.monotonic() + MEASURE_SECONDS
                await asyncio.sleep(MEASURE_SECONDS)
                lag = max(0.0, time.monotonic() - due)
                LAG.observe(lag)
                if lag > LATE_SECONDS:
                    running = self._seen or "something that ended before it could be seen"
                    self._lines.warn(log, "the event loop was held for %.2f s by: %s", lag, running)
        finally:
            stopped.set()

    def _watch(self, loop_thread: int, stopped: threading.Event) -> None:
        """Look once at the stack of the loop's thread whenever the loop is late. Runs in a thread
        of its own."""
        looked = 0.0  # the `_due` for which this was done last
        pause = MEASURE_SECONDS
        while not stopped.wait(pause):
            due = self._due
            pause = due + LATE_SECONDS - time.monotonic()
            if pause > 0:
                continue
            pause = MEASURE_SECONDS
            if due != looked:
                looked = due
                frame = sys._current_frames().get(loop_thread)
                self._seen = stack_line(traceback.extract_stack(frame)) if frame else ""


def stack_line(stack: traceback.StackSummary) -> str:
    """Return a stack as one line, the innermost frame first. Paths are relative to the chat's
    folder or to that of its libraries."""
    frames = [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(stack)]
    line = " < ".join(frames[:MAX_FRAMES])
    return f"{line} < …" if len(frames) > MAX_FRAMES else line


def _short(path: str) -> str:
    _, found, library = path.rpartition("site-packages/")
    if found:
        return library
    return str(Path(path).relative_to(_PACKAGE)) if Path(path).is_relative_to(_PACKAGE) else path
