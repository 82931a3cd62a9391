"""A process of the chat that the supervisor has started, and its pipe (chat.runtime.heartbeat)."""

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

STOPS_WITHIN = 15.0  # seconds; then a process is killed


class WatchedProcess:
    """`chat NAME DESCRIPTOR...` as a process of its own.

    command: the name, such as `worker`.
    descriptors: open files that it is passed, and that its command line names; the last argument
        of the command line is the pipe's.
    silence: how long it may say nothing.
    """

    def __init__(
        self, command: str, descriptors: Sequence[int], env: Mapping[str, str], silence: Silence
    ) -> None:
        self.began = time.monotonic()
        self.silence = silence
        self.was_killed = False  # because it hung
        self.is_stopped = False  # by a signal, such as SIGSTOP
        self._pipe, told = os.pipe()
        os.set_blocking(self._pipe, False)
        passed = (*descriptors, told)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chat", command, *map(str, passed)],
            env=env,
            pass_fds=passed,
            # Ctrl-C in the terminal reaches the supervisor only, which stops its processes.
            start_new_session=True,
        )
        os.close(told)

    @property
    def pid(self) -> int:
        return self.process.pid

    def age(self) -> float:
        """Seconds since it was started, or asked to leave."""
        return time.monotonic() - self.began

    def is_ready(self) -> bool:
        """True from its first byte on."""
        self._listen()
        return self.silence.has_started

    def ended(self) -> bool:
        return self.process.poll() is not None

    def look(self, seconds: float) -> str:
        """Look whether it hangs, `seconds` after the last look. When it does: ask for its stacks,
        and later kill it. Returns what is to be said when it is killed, "" otherwise."""
        if self._listen() or self.was_killed or self.ended():
            return ""
        letter = state(self.pid)
        self.is_stopped = letter == STOPPED
        step = self.silence.passed(0.0 if letter == DISK else seconds, self.is_stopped)
        if step is Step.ASK and not self.is_stopped:  # which writes nothing before it is let go on
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
        """Ask it to end; it has STOPS_WITHIN from now on."""
        self.began = time.monotonic()
        self.process.send_signal(name)

    def close(self) -> None:
        """Wait for its end, or bring it about."""
        try:
            self.process.wait(max(0.1, STOPS_WITHIN - self.age()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._pipe)

    def _listen(self) -> bool:
        """Whether anything has come over the pipe since the last time."""
        with suppress(BlockingIOError):
            if os.read(self._pipe, 4096):
                self.silence.heard()
                return True
        return False
