"""`chat serve`: starts the database, the workers and the indexer, and replaces those that end.

SIGHUP, or `chat reload`, replaces the workers one by one without failing a request.
"""

import os
import signal
import socket
import time
from typing import IO

from redis.exceptions import RedisClusterException, RedisError

from ..auth import setup_link
from ..bridge import listen
from ..config import Settings
from ..observability.log_setup import say
from ..observability.replaced_processes import ReplacedCounts
from ..redis_client import urls
from ..runtime.heartbeat import STACK_SIGNAL
from ..store import Store
from . import data_folder, pidfile
from .database import check_redis, prepare_schema
from .embedded_valkey import CannotStart
from .indexer_process import IndexerProcess
from .valkey_process import ValkeyProcess
from .watchdog import ObservedTime
from .watched_process import Launcher
from .worker_pool import WorkerPool

LOOK_SECONDS = 0.1  # between two looks at the processes


def serve(settings: Settings) -> None:
    """Serve the chat until a signal ends it."""
    Supervisor(settings).serve()


class Supervisor:
    """Runs until SIGTERM or SIGINT. `serve` raises CannotStart."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_stopping = False
        self.is_reload_requested = False
        self.observed = ObservedTime(time.monotonic())
        self.replaced = ReplacedCounts.new()
        self.listeners: list[socket.socket] = []
        self.valkey: ValkeyProcess | None = None
        self.workers: WorkerPool | None = None
        self.indexer: IndexerProcess | None = None
        self.pidfile: IO[str] | None = None

    def serve(self) -> None:
        """Start all processes, watch them, and stop them in order."""
        self._listen()
        try:
            data_folder.make_private(self.settings.data)
            url = self._start_database()
            launcher = self._launcher(url)
            self._handle_signals()
            # From here on `chat reload` finds this process; before, SIGHUP would have ended it.
            self.pidfile = pidfile.write(self.settings.data)
            self.workers = WorkerPool(self.listeners, launcher)
            self.indexer = IndexerProcess(launcher)
            self._announce(url)
            while not self.is_stopping:
                self._look(self.workers, self.indexer)
                time.sleep(LOOK_SECONDS)
        finally:
            self._stop()

    def _listen(self) -> None:
        """Open a listening socket for each worker. The supervisor keeps them, so no connection is
        refused while a worker is replaced."""
        host, port = self.settings.host, self.settings.port
        try:
            # Without SO_REUSEPORT first: with it, another chat's port could be shared.
            probe = listen(host, port)
            port = probe.getsockname()[1]
            probe.close()
            for _ in range(self.settings.workers):
                sock = listen(host, port, reuse_port=True)
                sock.set_inheritable(True)
                self.listeners.append(sock)
        except OSError as error:
            raise CannotStart(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with CHAT_BIND"
            ) from None

    def _start_database(self) -> str:
        """Start the embedded Valkey if no other database is set. Returns the address."""
        url = self.settings.redis_url
        if not url:
            self.valkey = ValkeyProcess(self.settings, self.replaced)
            url = self.valkey.url
        check_redis(url)
        prepare_schema(url)
        return url

    def _launcher(self, url: str) -> Launcher:
        secret_key = self.settings.secret_key or data_folder.secret_key(self.settings.data)
        env = {**os.environ, "REDIS_URL": url, "SECRET_KEY": secret_key}
        return Launcher(env, self.replaced, self.settings.watchdog_seconds)

    def _handle_signals(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        # Children inherit this. Otherwise the signal would end a child that has not set its handler
        # yet.
        signal.signal(STACK_SIGNAL, signal.SIG_IGN)

    def _on_stop(self, *_: object) -> None:
        self.is_stopping = True

    def _on_reload(self, *_: object) -> None:
        self.is_reload_requested = True

    def _announce(self, url: str) -> None:
        """Print the address, and a link for the first administrator while the database at `url` has
        none."""
        host, port = self.listeners[0].getsockname()[:2]
        say(f"Chat is on http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            with urls.client(url) as client:
                store = Store(client)
                if setup_link.is_needed(self.settings, store):
                    # Never logged: the link is a secret.
                    notice = setup_link.notice(self.settings, store.setup_links.make(), port)
                    print(notice, flush=True)
        except (RedisError, RedisClusterException, OSError) as error:
            say(f"cannot make a link for the first administrator: {error}; run `chat admin link`")

    def _look(self, workers: WorkerPool, indexer: IndexerProcess) -> None:
        seconds = self.observed.step(time.monotonic())
        for watched in (self.valkey, workers, indexer):
            if watched:
                watched.look(seconds)
        if self.is_reload_requested and not workers.is_reloading:
            self.is_reload_requested = False
            workers.reload()
            indexer.restart()

    def _stop(self) -> None:
        # First, so that nobody waits for a worker that no longer accepts connections.
        for sock in self.listeners:
            sock.close()
        if self.workers:
            self.workers.stop()
        if self.indexer:  # after the workers, so that it indexes their last deletions
            self.indexer.stop()
        if self.valkey:
            self.valkey.stop()
        if self.pidfile:
            self.pidfile.close()
