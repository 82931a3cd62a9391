"""How the supervisor starts its child processes."""

import os
import time
from collections.abc import Mapping

from ..observability.replaced_processes import ReplacedCounts
from .watchdog import START_FACTOR, Patience, Silence
from .watched_process import WatchedProcess


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
