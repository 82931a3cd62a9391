"""Whether the embedded Valkey hangs: it is asked PING once a second, without waiting.

Any answer says that it lives, also that it is loading its file (LOADING), busy with a script (BUSY)
or has as many clients as it takes. A Redis that somebody else runs (REDIS_URL) is not looked at.
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

# A script that takes long is answered for (BUSY) after 5 s, valkey.conf's busy-reply-threshold.
LEAST_LIMIT = 10.0
PING_SECONDS = 1.0  # between an answer and the next question


class ValkeyWatch:
    """limit: seconds without an answer after which it is killed. It doubles with each kill in ten
        minutes, for a server that is only slow would have to read all its file again.
    stopped_limit: the same while it is stopped by a signal (default: `limit`); never doubles.
    """

    def __init__(
        self, valkey: EmbeddedValkey, limit: float, stopped_limit: float | None = None
    ) -> None:
        self.valkey = valkey
        self.has_hung = False  # so that it was killed
        self._probe = Probe(valkey.socket)
        self._patience = Patience(limit)
        self._stopped_limit = stopped_limit or limit
        self._spawned = 0.0  # when the process was started that is watched
        self._silence = Silence(limit, limit, self._stopped_limit)

    @property
    def is_silent(self) -> bool:
        """True when an answer has been due for some seconds."""
        return self._silence.seconds > 2 * PING_SECONDS

    def look(self, seconds: float) -> str:
        """Look whether it hangs, `seconds` after the last look, and kill it then. Returns what is
        to be said when it is killed, "" otherwise."""
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
        """Watch another process."""
        self._spawned, self.has_hung = self.valkey.spawned, False
        limit = self._patience.limit(time.monotonic())
        self._silence = Silence(limit, limit, self._stopped_limit)
        self._probe.reset()


def _abort(process: subprocess.Popen[bytes]) -> None:
    """Have Valkey write its stacks to its log and end. What it has acknowledged is in its file, as
    after SIGKILL."""
    with suppress(AttributeError, OSError):  # Linux only: its memory is not to be left on the disk
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    process.send_signal(signal.SIGABRT)


class Probe:
    """Asks the server on the unix socket `path` whether it lives."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._due = 0.0  # of the next question, by the monotonic clock

    def is_answered(self) -> bool:
        """True when an answer has come since the last look. Never waits."""
        try:
            if self._socket is None:
                if time.monotonic() < self._due:
                    return False
                self._ask()
            assert self._socket is not None
            answer = self._socket.recv(1024)
        except BlockingIOError:
            return False
        except OSError:  # nobody listens, or it ended
            answer = b""
        self.reset()
        self._due = time.monotonic() + PING_SECONDS
        return bool(answer)

    def reset(self) -> None:
        """Do not wait for the present answer any more."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._due = None, 0.0

    def _ask(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        self._socket.connect(self._path)  # at once, or not at all
        self._socket.send(b"PING\r\n")
