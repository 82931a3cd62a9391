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


class _Alarm:
    armed = False

    @classmethod
    def ring(cls, *_: Any) -> None:
        if cls.armed:
            raise OutOfTime


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return the result of `work`. Raises OutOfTime when it has used this much processor time.
    Calls must not be nested. There is no limit in other threads than the main one, because signals
    reach only the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    signal.signal(signal.SIGVTALRM, _Alarm.ring)
    try:
        _Alarm.armed = True
        # Repeated, because Python ignores exceptions in destructors.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_SECONDS)
        return work()
    finally:
        _Alarm.armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
