"""Python imports this first where clocks.Clock says so: the time of day is another one.

libfaketime does this for programs in C; with it, `time.sleep` of Python fails. Replaced is what a
Python program can ask the time of day by; the monotonic clock, files' times and timers stay.
"""

import datetime
import os
import time

FILE = os.environ["WRONG_CLOCK"]
LOOK_SECONDS = 0.05  # after which the file is read again

_time, _time_ns, _gmtime, _localtime = time.time, time.time_ns, time.gmtime, time.localtime
_monotonic = time.monotonic
_read = [float("-inf"), 0]  # when, and what: seconds that this clock is ahead


def _ahead() -> int:
    now = _monotonic()
    if now > _read[0] + LOOK_SECONDS:
        try:
            with open(FILE) as file:
                _read[:] = now, int(file.read())
        except OSError:  # a process that may open no files stays with what it knows
            pass
    return int(_read[1])


def _wrong_time() -> float:
    return _time() + _ahead()


def _wrong_time_ns() -> int:
    return _time_ns() + _ahead() * 10**9


class _Like(type):
    """Every date of the real type is one: libraries ask of what they are given."""

    def __instancecheck__(cls, one: object) -> bool:
        is_ours = cls in (_WrongDatetime, _WrongDate)
        return isinstance(one, cls.__mro__[1]) if is_ours else super().__instancecheck__(one)


class _WrongDatetime(datetime.datetime, metaclass=_Like):
    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_wrong_time(), tz)

    @classmethod
    def today(cls):  # type: ignore[no-untyped-def]
        return cls.now()

    @classmethod
    def utcnow(cls):  # type: ignore[no-untyped-def]
        return cls.now(datetime.UTC).replace(tzinfo=None)


class _WrongDate(datetime.date, metaclass=_Like):
    @classmethod
    def today(cls):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_wrong_time())


class _Parts:
    """`time.gmtime` or `time.localtime`. No function, which would become a method of
    `logging.Formatter`."""

    def __init__(self, parts):  # type: ignore[no-untyped-def]
        self._parts = parts

    def __call__(self, secs=None):  # type: ignore[no-untyped-def]
        return self._parts(_wrong_time() if secs is None else secs)


time.time, time.time_ns = _wrong_time, _wrong_time_ns
time.gmtime, time.localtime = _Parts(_gmtime), _Parts(_localtime)
datetime.datetime, datetime.date = _WrongDatetime, _WrongDate  # type: ignore[misc]
