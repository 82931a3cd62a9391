"""The workers: each has a slot with a listening socket, and is replaced when it ends.

All sockets listen on the same port (SO_REUSEPORT). The kernel spreads connections over them, so a
worker that dies takes only its own connections along.
"""

import signal
import socket
import time
from collections.abc import Sequence

from ..observability.log_setup import say
from .watchdog import START_FACTOR, Patience
from .watched_process import MAX_STOP_SECONDS, Launcher, WatchedProcess

# A worker that dies within SETTLED_SECONDS of its start is started again after 1 s, and when that
# repeats after 2 s, 4 s and so on, up to MAX_PAUSE_SECONDS.
SETTLED_SECONDS = 5.0
MAX_PAUSE_SECONDS = 30.0
MAX_START_SECONDS = 60.0  # for a replacement to become ready, before it is given up


class WorkerSlot:
    """A listening socket and the worker that accepts on it.

    number: counted from 1, for people.
    """

    def __init__(self, number: int, listener: socket.socket, launcher: Launcher) -> None:
        self.number = number
        self._listener = listener.fileno()
        self._launcher = launcher
        self._start_patience = Patience(START_FACTOR * launcher.watchdog_seconds)
        self._early_deaths = 0  # in a row
        self._restart_at: float | None = None  # by the monotonic clock; None while it runs
        self.worker = self.start()

    def start(self) -> WatchedProcess:
        """Start a worker on this socket, which other workers may share."""
        start_limit = self._start_patience.limit(time.monotonic())
        return self._launcher.worker(self._listener, start_limit)

    def look(self, seconds: float) -> None:
        """Kill the worker if it hangs, and start another one if it has ended. `seconds` have
        passed since the last look."""
        if problem := self.worker.look(seconds):
            say(f"worker {self.number} {problem}")
            if not self.worker.silence.has_started and not self.worker.is_stopped:
                self._start_patience.killed(time.monotonic())
        if self.worker.ended():
            self._replace_dead()

    def hand_over(self, new: WatchedProcess) -> WatchedProcess:
        """Let `new`, which is ready, serve from now on. Returns the old worker, which was asked to
        leave."""
        old, self.worker, self._restart_at = self.worker, new, None
        old.leave(signal.SIGHUP)
        return old

    def _replace_dead(self) -> None:
        if self._restart_at is None:
            pause = self._pause()
            if not self.worker.was_killed:
                when = f" in {pause:.0f} s" if pause else ""
                code = self.worker.process.returncode
                say(f"worker {self.number} has died (exit {code}); another starts{when}")
            self._launcher.replaced.add("worker", "hung" if self.worker.was_killed else "died")
            self._restart_at = time.monotonic() + pause
        if time.monotonic() >= self._restart_at:
            self._restart_at = None
            self.worker.close()
            self.worker = self.start()

    def _pause(self) -> float:
        """Count this death, and return the seconds to wait before the worker is started again."""
        if self.worker.age() >= SETTLED_SECONDS:
            self._early_deaths = 0
            return 0.0
        self._early_deaths += 1
        return float(min(2 ** (self._early_deaths - 1), MAX_PAUSE_SECONDS))


class WorkerPool:
    """All workers. `reload` replaces them one by one: the new worker accepts on the same socket
    before the old one is asked to leave, so there is always a worker that accepts connections."""

    def __init__(self, listeners: Sequence[socket.socket], launcher: Launcher) -> None:
        self._slots = [WorkerSlot(n, sock, launcher) for n, sock in enumerate(listeners, 1)]
        self._to_replace: list[WorkerSlot] = []
        self._new: WatchedProcess | None = None  # will serve the first of these slots
        self._leaving: list[WatchedProcess] = []

    @property
    def is_reloading(self) -> bool:
        return bool(self._to_replace)

    def reload(self) -> None:
        """Begin to replace all workers; `look` goes on with it."""
        self._to_replace = list(self._slots)
        say("new workers take over")

    def look(self, seconds: float) -> None:
        """Look after each worker, and take the next step of a reload. `seconds` have passed since
        the last look."""
        for slot in self._slots:
            slot.look(seconds)
        self._end_leaving()
        if self._to_replace and self._new is None and not self._leaving:
            self._new = self._to_replace[0].start()
        if self._new is not None:
            self._hand_over(self._new)

    def stop(self) -> None:
        """Ask all workers to end, and wait until they have."""
        workers = [slot.worker for slot in self._slots] + self._leaving
        if self._new is not None:
            workers.append(self._new)
        for worker in workers:
            worker.leave(signal.SIGTERM)
        for worker in workers:
            worker.close()

    def _hand_over(self, new: WatchedProcess) -> None:
        if new.ended() or new.age() > MAX_START_SECONDS:
            new.process.kill()
            new.close()
            code = new.process.returncode
            say(f"a new worker did not start (exit {code}); the old workers stay")
            self._new, self._to_replace = None, []
        elif new.is_ready():
            slot = self._to_replace.pop(0)
            self._leaving.append(slot.hand_over(new))
            self._new = None
            say(f"worker {slot.number} is new" + ("" if self._to_replace else "; all are new"))

    def _end_leaving(self) -> None:
        for worker in [worker for worker in self._leaving if worker.ended()]:
            worker.close()
            self._leaving.remove(worker)
        for worker in self._leaving:
            if worker.age() > MAX_STOP_SECONDS:
                worker.process.kill()
