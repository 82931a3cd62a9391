"""The supervisor's child processes, and the pipes of their heartbeats (chat.runtime.heartbeat)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..observability.replaced_processes import ReplacedCounts
from ..runtime.heartbeat import STACK_SIGNAL
from ..runtime.process_state import DISK, STOPPED, state
from .watchdog import START_FACTOR, Patience, Silence, Step

MAX_STOP_SECONDS = 15.0  # for a process to end, before it is killed


class WatchedProcess:
    """Starts `chat COMMAND DESCRIPTOR...` as a process.

    command: `worker` or `indexer`.
    descriptors: open file descriptors that it inherits. They are its arguments; the descriptor of
        the heartbeat is added as the last one.
    silence: how long it may be silent.
    """

    def __init__(
        self, command: str, descriptors: Sequence[int], env: Mapping[str, str], silence: Silence
    ) -> None:
        self.began = time.monotonic()
        self.silence = silence
        self.was_killed = False  # by `look`
        self.is_stopped = False  # by a signal such as SIGSTOP
        self._pipe, heartbeat = os.pipe()
        os.set_blocking(self._pipe, False)
        passed = (*descriptors, heartbeat)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chat", command, *map(str, passed)],
            env=env,
            pass_fds=passed,
            # Ctrl-C in the terminal reaches the supervisor only, which stops its processes.
            start_new_session=True,
        )
        os.close(heartbeat)

    def age(self) -> float:
        """Return the seconds since the process was started or asked to leave."""
        return time.monotonic() - self.began

    def is_ready(self) -> bool:
        """Return True once the process has sent its first heartbeat."""
        self._has_beaten()
        return self.silence.has_started

    def ended(self) -> bool:
        return self.process.poll() is not None

    def look(self, seconds: float) -> str:
        """Ask a process that hangs for its stacks, and kill it later. `seconds` have passed since
        the last look. Returns a line for the operator when it was killed, "" otherwise."""
        if self._has_beaten() or self.was_killed or self.ended():
            return ""
        letter = state(self.process.pid)
        self.is_stopped = letter == STOPPED
        step = self.silence.passed(0.0 if letter == DISK else seconds, self.is_stopped)
        if step is Step.ASK and not self.is_stopped:  # a stopped process would write nothing
            self.process.send_signal(STACK_SIGNAL)
        if step is not Step.KILL:
            return ""
        self.was_killed = True
        self.process.kill()
        what = "was silent for" if self.silence.has_started else "was not ready within"
        why = " (stopped by a signal)" if self.is_stopped else ""
        return (
            f"(process {self.process.pid}) {what} {self.silence.seconds:.0f} s{why}. "
            "It was killed; another one starts"
        )

    def leave(self, name: signal.Signals) -> None:
        """Ask the process to end. It has MAX_STOP_SECONDS from now."""
        self.began = time.monotonic()
        self.process.send_signal(name)

    def close(self) -> None:
        """Wait until the process ends, and kill it if it takes too long."""
        try:
            self.process.wait(max(0.1, MAX_STOP_SECONDS - self.age()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._pipe)

    def _has_beaten(self) -> bool:
        """Return True if a heartbeat has arrived since the last call."""
        with suppress(BlockingIOError):
            if os.read(self._pipe, 4096):
                self.silence.heard()
                return True
        return False


class Launcher:
    """Starts workers and indexers.

    env: their environment, with REDIS_URL and SECRET_KEY.
    replaced: counts the processes that were replaced; workers read it for `/metrics`.
    watchdog_seconds: the silence after which a process is killed.
    """

    def __init__(
        self, env: Mapping[str, str], replaced: ReplacedCounts, watchdog_seconds: float
    ) -> None:
        self.env = env
        self.replaced = replaced
        self.watchdog_seconds = watchdog_seconds
        # Children hold the end to read from. It closes when the supervisor dies, however it dies.
        self._lifeline, self._held_open = os.pipe()
        os.set_inheritable(self._lifeline, True)

    def worker(self, listener: int, start_limit: float) -> WatchedProcess:
        """Start a worker that accepts on the file descriptor `listener`, and that has `start_limit`
        seconds to become ready."""
        limit = self.watchdog_seconds
        descriptors = listener, self._lifeline, self.replaced.descriptor
        return WatchedProcess("worker", descriptors, self.env, Silence(limit, start_limit, limit))

    def indexer(self, patience: Patience) -> WatchedProcess:
        """Start an indexer, whose limits grow with each kill."""
        limit = patience.limit(time.monotonic())
        silence = Silence(limit, START_FACTOR * limit, self.watchdog_seconds)
        return WatchedProcess("indexer", [self._lifeline], self.env, silence)
