"""The embedded Valkey of a running chat: started again when it ends or hangs, and purged of deleted
text.

To find out whether it hangs, PING is sent once a second, without waiting. Any answer counts,
including LOADING, BUSY (a script is running) and the error for too many clients. The Redis of
REDIS_URL is not watched.
"""

import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress

from ..config import Settings
from ..observability.log_setup import say
from ..observability.replaced_processes import ReplacedCounts
from ..runtime.process_state import STOPPED, state, waits_for_disk
from .embedded_valkey import EmbeddedValkey
from .purge import Purge
from .watchdog import Patience, Silence, Step

MIN_RESTART_SECONDS = 1.0  # between two starts
# Valkey answers BUSY during a long script only after 5 s (busy-reply-threshold in valkey.conf).
MIN_LIMIT_SECONDS = 10.0
PING_SECONDS = 1.0  # between an answer and the next PING


class ValkeyProcess:
    """Starts Valkey in CHAT_DATA; raises CannotStart.

    replaced: counts the processes that were replaced.
    """

    def __init__(self, settings: Settings, replaced: ReplacedCounts) -> None:
        self._valkey = EmbeddedValkey(settings.data / "valkey", settings.fsync)
        self._valkey.start()
        # A server that is only slow would have to load its file again after each kill.
        self._patience = Patience(max(settings.watchdog_seconds, MIN_LIMIT_SECONDS))
        self._stopped_limit = settings.watchdog_seconds  # while it is stopped by a signal
        self._watch = self._new_watch()
        self._purge = Purge(self._valkey, settings.purge_seconds)
        self._replaced = replaced

    @property
    def url(self) -> str:
        return self._valkey.url

    def look(self, seconds: float) -> None:
        """Kill Valkey if it hangs, start it again if it has ended, and purge its file when that is
        due. `seconds` have passed since the last look."""
        if problem := self._watch.look(seconds):
            say(problem)
            if not self._watch.is_stopped:
                self._patience.killed(time.monotonic())
        is_due = time.monotonic() - self._valkey.spawned >= MIN_RESTART_SECONDS
        if is_due and self._watch.process.poll() is not None:
            if not self._watch.has_hung:
                say("the embedded Valkey has died; starting it again")
            self._replaced.add("valkey", "hung" if self._watch.has_hung else "died")
            self._valkey.spawn()
            self._watch = self._new_watch()
        if not self._watch.is_silent:
            self._purge.look()

    def stop(self) -> None:
        """Purge the file of what was deleted last, and stop Valkey."""
        if self._valkey.answers():
            self._purge.finish()
        self._valkey.stop()

    def _new_watch(self) -> "ValkeyWatch":
        limit = self._patience.limit(time.monotonic())
        return ValkeyWatch(self._valkey, Silence(limit, limit, self._stopped_limit))


class ValkeyWatch:
    """Kills the process that `valkey` runs now if it hangs, which `silence` decides."""

    def __init__(self, valkey: EmbeddedValkey, silence: Silence) -> None:
        assert valkey.process is not None
        self.process = valkey.process
        self.has_hung = False  # and was killed
        self.is_stopped = False  # by a signal such as SIGSTOP
        self._probe = Probe(valkey.socket)
        self._silence = silence

    @property
    def is_silent(self) -> bool:
        """True if an answer has been missing for some seconds."""
        return self._silence.seconds > 2 * PING_SECONDS

    def look(self, seconds: float) -> str:
        """Kill the process if it hangs. `seconds` have passed since the last look. Returns a line
        for the operator when it was killed, "" otherwise."""
        if self._probe.is_answered():
            self._silence.heard()
            return ""
        if self.process.poll() is not None or not self._kills(seconds) or self.has_hung:
            return ""
        self.has_hung = True
        why = " (stopped by a signal)" if self.is_stopped else "; its stacks are in valkey.log"
        return (
            f"the embedded Valkey (process {self.process.pid}) did not answer for "
            f"{self._silence.seconds:.0f} s{why}. It was killed and starts again"
        )

    def _kills(self, seconds: float) -> bool:
        """Take the next step after `seconds` without an answer. Returns whether it ends the
        process."""
        self.is_stopped = state(self.process.pid) == STOPPED
        waits = self.is_silent and waits_for_disk(self.process.pid)
        step = self._silence.passed(0.0 if waits else seconds, self.is_stopped)
        if step is Step.KILL:
            self.process.kill()
        elif step is Step.ASK and not self.is_stopped:
            _abort(self.process)
        else:
            return False
        return True


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
