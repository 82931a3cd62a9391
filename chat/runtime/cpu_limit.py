"""A limit on the processor time of one piece of work, kept by a signal.

A timer of the process's own time (setitimer(2), ITIMER_VIRTUAL) raises an exception in the middle
of the work. It reaches a regular expression too: `re` looks for signals while it matches.
"""

import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

AGAIN_SECONDS = 0.01  # after a signal that ended nothing

T = TypeVar("T")


class OutOfTime(Exception):
    """The work took longer than it may."""


class _Alarm:
    armed = False

    @classmethod
    def ring(cls, *_: Any) -> None:
        if cls.armed:
            raise OutOfTime


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, which may use this much processor time; raises OutOfTime. Calls must
    not be nested. Signals reach the main thread alone: in any other thread there is no limit."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    signal.signal(signal.SIGVTALRM, _Alarm.ring)
    try:
        _Alarm.armed = True
        # Again and again: Python ignores what is raised in a destructor.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_SECONDS)
        return work()
    finally:
        _Alarm.armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
