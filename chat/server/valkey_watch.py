"""Detects that the embedded Valkey hangs, by sending PING once a second without waiting.

Any answer counts, including LOADING, BUSY (a script is running) and the error for too many clients.
The Redis of REDIS_URL is not watched.
"""

import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress

from ..runtime.process_state import STOPPED, state, waits_for_disk
from .embedded_valkey import EmbeddedValkey
from .watchdog import Patience, Silence, Step

# Valkey answers BUSY during a long script only after 5 s (busy-reply-threshold in valkey.conf).
MIN_LIMIT_SECONDS = 10.0
PING_SECONDS = 1.0  # between an answer and the next PING


class ValkeyWatch:
    """Kills Valkey when it hangs.

    limit: seconds without an answer after which it is killed. It doubles with each kill within ten
        minutes, because a server that is only slow would have to load its file again.
    stopped_limit: the same while it is stopped by a signal (default: `limit`). It never doubles.
    """

    def __init__(
        self, valkey: EmbeddedValkey, limit: float, stopped_limit: float | None = None
    ) -> None:
        self.valkey = valkey
        self.has_hung = False  # and was killed
        self._probe = Probe(valkey.socket)
        self._patience = Patience(limit)
        self._stopped_limit = stopped_limit or limit
        self._spawned = 0.0  # when the watched process was started, by the monotonic clock
        self._silence = Silence(limit, limit, self._stopped_limit)

    @property
    def is_silent(self) -> bool:
        """Whether an answer has been missing for some seconds."""
        return self._silence.seconds > 2 * PING_SECONDS

    def look(self, seconds: float) -> str:
        """Kill the process if it hangs. `seconds` have passed since the last look. Returns a line
        for the operator when it was killed, "" otherwise."""
        process = self.valkey.process
        if process is None or process.poll() is not None:
            return ""
        if self._spawned != self.valkey.spawned:
            self._begin()
        if self._probe.is_answered():
            self._silence.heard()
            return ""
        is_stopped = state(process.pid) == STOPPED
        waits = self.is_silent and waits_for_disk(process.pid)
        step = self._silence.passed(0.0 if waits else seconds, is_stopped)
        if step is Step.ASK and not is_stopped:
            _abort(process)
        elif step is Step.KILL:
            process.kill()
        if step is Step.WAIT or self.has_hung or (is_stopped and step is Step.ASK):
            return ""
        self.has_hung = True
        if not is_stopped:
            self._patience.killed(time.monotonic())
        why = " (stopped by a signal)" if is_stopped else "; its stacks are in valkey.log"
        return (
            f"the embedded Valkey (process {process.pid}) did not answer for "
            f"{self._silence.seconds:.0f} s{why}. It was killed and starts again"
        )

    def _begin(self) -> None:
        """Begin to watch a new process."""
        self._spawned, self.has_hung = self.valkey.spawned, False
        limit = self._patience.limit(time.monotonic())
        self._silence = Silence(limit, limit, self._stopped_limit)
        self._probe.reset()


def _abort(process: subprocess.Popen[bytes]) -> None:
    """Make Valkey write its stacks to its log and end. As after SIGKILL, everything that it has
    acknowledged is in its file."""
    with suppress(AttributeError, OSError):  # Linux only: leave no core dump on the disk
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    process.send_signal(signal.SIGABRT)


class Probe:
    """Asks the server on the unix socket `path` whether it is alive."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._due = 0.0  # when the next PING is due, by the monotonic clock

    def is_answered(self) -> bool:
        """Return True if an answer has arrived since the last call. Never waits."""
        try:
            if self._socket is None:
                if time.monotonic() < self._due:
                    return False
                self._ask()
            assert self._socket is not None
            answer = self._socket.recv(1024)
        except BlockingIOError:
            return False
        except OSError:  # nobody listens, or the server ended
            answer = b""
        self.reset()
        self._due = time.monotonic() + PING_SECONDS
        return bool(answer)

    def reset(self) -> None:
        """Stop waiting for an answer, and ask again at the next call."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._due = None, 0.0

    def _ask(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        self._socket.connect(self._path)  # succeeds at once or fails
        self._socket.send(b"PING\r\n")
