"""When a process that says nothing is taken to hang.

The supervisor looks at its processes ten times a second. It counts silence in seconds that it has
seen itself (`ObservedTime`): when the machine was suspended, or had no processor time for anybody,
the supervisor did not look either, and what it did not see does not count. So nobody is killed
because a laptop was closed.

A process is silent when nothing comes over its pipe (chat.runtime.heartbeat) or, for the embedded
Valkey, when PING is not answered (chat.server.valkey_watch). Time in which the kernel has it wait
for a disk does not count: it cannot be killed then, and its successor would wait for the same disk.
"""

from enum import Enum

MAX_STEP_SECONDS = 2.0  # that one look counts for, however long ago the one before was
STACK_SECONDS = 2.0  # before a process is killed, in which it can write its stacks to the log, ...
STACK_SHARE = 0.2  # ... and no more than this share of its limit
START_FACTOR = 3.0  # times as long as it may be silent later, a new process may need to be ready
MAX_DOUBLINGS = 4
FORGET_SECONDS = 600.0  # without a kill, after which limits are what they were at first


class Step(Enum):
    """What is to be done with a process."""

    WAIT = 0
    ASK = 1  # for its stacks
    KILL = 2


class ObservedTime:
    """Seconds between two looks, as far as the supervisor itself can have been running."""

    def __init__(self, now: float) -> None:
        self._last = now

    def step(self, now: float) -> float:
        """`now` is the monotonic clock's; returns seconds, 0 to MAX_STEP_SECONDS."""
        seconds, self._last = now - self._last, now
        return min(max(seconds, 0.0), MAX_STEP_SECONDS)


class Silence:
    """How long one process has been silent.

    limit: seconds of silence after which it is killed.
    start_limit: the same until it is heard for the first time.
    stopped_limit: the same while it is stopped by a signal: it is not slow then.
    """

    def __init__(self, limit: float, start_limit: float, stopped_limit: float) -> None:
        self.seconds = 0.0
        self.has_started = False
        self._limits = limit, start_limit, stopped_limit
        self._was_asked = False

    def heard(self) -> None:
        """It has said something."""
        self.has_started = True
        self.seconds, self._was_asked = 0.0, False

    def passed(self, seconds: float, is_stopped: bool = False) -> Step:
        """Nothing was heard for `seconds` more."""
        self.seconds += seconds
        limit, start_limit, stopped_limit = self._limits
        if is_stopped:
            limit = stopped_limit
        elif not self.has_started:
            limit = start_limit
        if self.seconds >= limit:
            return Step.KILL
        grace = min(STACK_SECONDS, STACK_SHARE * limit)
        if self.seconds >= limit - grace and not self._was_asked:
            self._was_asked = True
            return Step.ASK
        return Step.WAIT


class Patience:
    """A limit that doubles with each kill in short succession, so that what is only slow (a start
    on a small machine, Valkey before a slow disk) is not killed again and again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kills = 0
        self._last = float("-inf")

    def limit(self, now: float) -> float:
        """Seconds, from the one at first up to its 2 ** MAX_DOUBLINGS."""
        if now - self._last > FORGET_SECONDS:
            self._kills = 0
        return float(self._seconds * 2 ** min(self._kills, MAX_DOUBLINGS))

    def killed(self, now: float) -> None:
        """The limit was reached."""
        self._kills += 1
        self._last = now
