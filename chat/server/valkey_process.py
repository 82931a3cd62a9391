"""The embedded Valkey of a running chat: started again when it ends, and purged of deleted text."""

import time

from ..config import Settings
from ..observability.replaced_processes import ReplacedCounts
from .console import say
from .embedded_valkey import EmbeddedValkey
from .purge import Purge
from .valkey_watch import MIN_LIMIT_SECONDS, ValkeyWatch

MIN_RESTART_SECONDS = 1.0  # between two starts


class ValkeyProcess:
    """Starts Valkey in CHAT_DATA; raises CannotStart.

    replaced: counts the processes that were replaced.
    """

    def __init__(self, settings: Settings, replaced: ReplacedCounts) -> None:
        self._valkey = EmbeddedValkey(settings.data / "valkey", settings.fsync)
        self._valkey.start()
        limit = max(settings.watchdog_seconds, MIN_LIMIT_SECONDS)
        self._watch = ValkeyWatch(self._valkey, limit, settings.watchdog_seconds)
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
        process = self._valkey.process
        is_due = time.monotonic() - self._valkey.spawned >= MIN_RESTART_SECONDS
        if is_due and process and process.poll() is not None:
            if not self._watch.has_hung:
                say("the embedded Valkey has died; starting it again")
            self._replaced.add("valkey", "hung" if self._watch.has_hung else "died")
            self._valkey.spawn()
        if not self._watch.is_silent:
            self._purge.look()

    def stop(self) -> None:
        """Purge the file of what was deleted last, and stop Valkey."""
        if self._valkey.answers():
            self._purge.finish()
        self._valkey.stop()
