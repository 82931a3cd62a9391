"""The process that keeps the search index (chat.search.indexer), started again when it ends.

No request needs it at once, so it is started again RESTART_SECONDS after the last start.
"""

import signal
import time

from ..observability.log_setup import say
from .watchdog import Patience
from .watched_process import Launcher

RESTART_SECONDS = 5.0


class IndexerProcess:
    """The indexer that runs now, and its successors."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._patience = Patience(launcher.watchdog_seconds)
        self._process = launcher.indexer(self._patience)

    def look(self, seconds: float) -> None:
        """Kill the process if it hangs, and start another one if it has ended. `seconds` have
        passed since the last look."""
        if problem := self._process.look(seconds):
            say(f"the indexer {problem}")
            if not self._process.is_stopped:
                self._patience.killed(time.monotonic())
        if self._process.ended() and self._process.age() > RESTART_SECONDS:
            if self._process.process.returncode:  # 0: `restart` asked it to end
                reason = "hung" if self._process.was_killed else "died"
                self._launcher.replaced.add("indexer", reason)
            self._process.close()
            self._process = self._launcher.indexer(self._patience)

    def restart(self) -> None:
        """Ask the process to end; `look` starts the next one, with the code on the disk."""
        self._process.process.terminate()

    def stop(self) -> None:
        """End the process, after it has indexed everything that was written."""
        self._process.leave(signal.SIGTERM)
        self._process.close()
