"""A child process of the supervisor, with the pipe of its heartbeat (chat.runtime.heartbeat)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..runtime.heartbeat import STACK_SIGNAL
from ..runtime.process_state import DISK, STOPPED, state
from .watchdog import Silence, Step

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

    @property
    def pid(self) -> int:
        return self.process.pid

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
        letter = state(self.pid)
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
            f"(process {self.pid}) {what} {self.silence.seconds:.0f} s{why}. "
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
