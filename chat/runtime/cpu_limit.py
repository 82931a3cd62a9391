"""Limits the processor time of a piece of work by a signal.

A timer of the process's processor time (setitimer(2), ITIMER_VIRTUAL) raises an exception in the
middle of the work. It can interrupt a regular expression, too: `re` checks for signals.
"""

import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

AGAIN_SECONDS = 0.01  # of processor time, after which the signal is repeated

T = TypeVar("T")


class OutOfTime(Exception):
    """The work took more processor time than allowed."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return the result of `work`. Raises OutOfTime when it has used this much processor time.
    Calls must not be nested. There is no limit in other threads than the main one, because signals
    reach only the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    is_over = False

    def ring(*_: Any) -> None:
        if not is_over:
            raise OutOfTime

    signal.signal(signal.SIGVTALRM, ring)
    try:
        # Repeated, because Python ignores exceptions in destructors.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_SECONDS)
        return work()
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
