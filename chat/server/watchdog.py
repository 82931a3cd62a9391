"""Decides when a silent process hangs.

The supervisor looks at its processes ten times a second and counts only the time during which it
ran itself (`ObservedTime`). Time during which the machine was suspended, or had no processor time
for anybody, does not count. So closing a laptop kills no process.

A process is silent while no heartbeat arrives (chat.runtime.heartbeat). The embedded Valkey is
silent while it does not answer PING (chat.server.valkey_process). Time during which the kernel
makes a process wait for a disk does not count: it cannot be killed then, and its successor would
wait for the same disk.
"""

from enum import Enum

MAX_STEP_SECONDS = 2.0  # that one look adds at most, however long ago the last one was
STACK_SECONDS = 2.0  # for a process to log its stacks before it is killed, ...
STACK_SHARE = 0.2  # ... but no more than this share of its limit
START_FACTOR = 3.0  # how much longer a new process may take to become ready
MAX_DOUBLINGS = 4
FORGET_SECONDS = 600.0  # without a kill, after which a limit is reset


class Step(Enum):
    """What to do with a process."""

    WAIT = 0
    ASK = 1  # it to log its stacks
    KILL = 2


class ObservedTime:
    """Measures the time between two looks, as far as the supervisor can have been running."""

    def __init__(self, now: float) -> None:
        self._last = now

    def step(self, now: float) -> float:
        """Return 0 to MAX_STEP_SECONDS. `now` is the time of the monotonic clock."""
        seconds, self._last = now - self._last, now
        return min(max(seconds, 0.0), MAX_STEP_SECONDS)


class Silence:
    """Counts how long one process has been silent.

    limit: seconds of silence after which it is killed.
    start_limit: the same until its first heartbeat.
    stopped_limit: the same while a signal has stopped it.
    """

    def __init__(self, limit: float, start_limit: float, stopped_limit: float) -> None:
        self.seconds = 0.0
        self.has_started = False
        self._limits = limit, start_limit, stopped_limit
        self._was_asked = False

    def heard(self) -> None:
        """Record a heartbeat."""
        self.has_started = True
        self.seconds, self._was_asked = 0.0, False

    def passed(self, seconds: float, is_stopped: bool = False) -> Step:
        """Record `seconds` more without a heartbeat. Returns what to do."""
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
    """A limit that doubles with each kill in short succession, so that a process that is only slow
    (a start on a small machine, Valkey on a slow disk) is not killed again and again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kills = 0
        self._last = float("-inf")

    def limit(self, now: float) -> float:
        """Return the limit in seconds: the first one, times up to 2 ** MAX_DOUBLINGS."""
        if now - self._last > FORGET_SECONDS:
            self._kills = 0
        return float(self._seconds * 2 ** min(self._kills, MAX_DOUBLINGS))

    def killed(self, now: float) -> None:
        """Record that the limit was reached."""
        self._kills += 1
        self._last = now
