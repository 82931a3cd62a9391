"""`chat serve`: the embedded database, the workers, the indexer, and what happens when one dies.

Each worker is a single process with a listening socket of its own on the shared port
(SO_REUSEPORT), so that the kernel spreads connections over them and one that dies takes only
its own along. Workers and database are started again when they end by themselves. SIGHUP, or
`chat reload`, lets new workers take over from the old ones without a request failing.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from ..auth import setup_link
from ..bridge.sockets import listen
from ..config import Settings
from ..observability.log_setup import OPERATOR
from ..observability.replaced_processes import ReplacedCounts
from ..redis_client import urls
from ..runtime.heartbeat import STACK_SIGNAL
from ..store import Store
from ..store.migrations import TooNew
from . import data_folder
from .embedded_valkey import CannotStart, EmbeddedValkey
from .purge import Purge
from .valkey_watch import LEAST_LIMIT, ValkeyWatch
from .watchdog import START_FACTOR, ObservedTime, Patience, Silence
from .watched_process import STOPS_WITHIN, WatchedProcess

operator = logging.getLogger(OPERATOR)

OLDEST_REDIS = (7, 0)
TOO_SOON = 1.0  # seconds; a database that lives shorter is not started again at once
SETTLED = 5.0  # seconds; a worker that lives shorter is not started again at once, ...
LONGEST_WAIT = 30.0  # ... but after 1 s, 2 s, 4 s and so on, up to this
STARTS_WITHIN = 60.0  # seconds; then a worker that is to take over is given up


class Supervisor:
    """Runs until SIGTERM or SIGINT; `serve` raises CannotStart. SIGHUP lets new workers take
    over from the old ones."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = False
        self.valkey: EmbeddedValkey | None = None
        self.valkey_watch: ValkeyWatch | None = None
        self.observed = ObservedTime(time.monotonic())
        # How long the start of a worker, by number, and the silence of the indexer may last.
        self.starts = [Patience(START_FACTOR * settings.watchdog) for _ in range(settings.workers)]
        self.patience = Patience(settings.watchdog)
        self.purge: Purge | None = None
        self.listeners: list[socket.socket] = []
        self.env = dict(os.environ)
        # By number, which is that of their listener.
        self.workers: dict[int, WatchedProcess] = {}
        self.failures: Counter[int] = Counter()  # deaths one soon after the other
        self.due: dict[int, float] = {}  # when a worker that died is started again
        self.asked = False  # to reload
        self.old: list[int] = []  # workers to be replaced yet
        self.next: WatchedProcess | None = (
            None  # the one that is to take over from the first of these
        )
        self.leaving: list[WatchedProcess] = []
        self.indexer: WatchedProcess | None = None
        self.pidfile: IO[str] | None = None

    def serve(self) -> None:
        """Start everything, watch over it, and stop it in order."""
        self._listen()
        try:
            make_private(self.settings.data)
            self._database()
            self.env["SECRET_KEY"] = self.settings.secret_key or secret(self.settings.data)
            self.replaced = ReplacedCounts.new()
            self._lifeline, self._held = os.pipe()
            os.set_inheritable(self._lifeline, True)
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, self._stop)
            signal.signal(signal.SIGHUP, self._ask_reload)
            # Inherited: a process that has only begun would be ended by it.
            signal.signal(STACK_SIGNAL, signal.SIG_IGN)
            # From here on `chat reload` finds this process: SIGHUP would have ended it before.
            self.pidfile = write_pidfile(self.settings.data)
            for number in range(self.settings.workers):
                self.workers[number] = self._start(number)
            host, port = self.listeners[0].getsockname()[:2]
            say(f"Chat is on http://{f'[{host}]' if ':' in host else host}:{port}")
            self._say_setup_link(port)
            while not self.stopping:
                self._look_after()
                self._reload()
                if self.purge and self.valkey_watch and not self.valkey_watch.is_silent:
                    self.purge.look()
                time.sleep(0.1)
        finally:
            self._end()

    def _listen(self) -> None:
        """One listening socket per worker, kept here so that no connection is refused while a
        worker is being replaced."""
        host, port = self.settings.host, self.settings.port
        try:
            # Without SO_REUSEPORT first: with it, the port of another chat could be shared.
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

    def _database(self) -> None:
        url = self.settings.redis_url
        if not url:
            self.valkey = EmbeddedValkey(self.settings.data / "valkey", self.settings.fsync)
            self.valkey.start()
            limit = max(self.settings.watchdog, LEAST_LIMIT)
            self.valkey_watch = ValkeyWatch(self.valkey, limit, self.settings.watchdog)
            self.purge = Purge(self.valkey, self.settings.purge_seconds)
            url = self.valkey.url
        check_redis(url)
        prepare(url)
        self.env["REDIS_URL"] = url

    def _say_setup_link(self, port: int) -> None:
        """Print the link for the first admin while there is none."""
        try:
            with urls.client(self.env["REDIS_URL"]) as client:
                store = Store(client)
                if setup_link.is_needed(self.settings, store):
                    # Never logged: the link is a secret.
                    notice = setup_link.notice(self.settings, store.setup_links.make(), port)
                    print(notice, flush=True)
        except (RedisError, RedisClusterException, OSError) as error:
            say(f"no link for the first admin could be made ({error}): say `chat admin link`")

    def _start(self, number: int) -> WatchedProcess:
        passed = self.listeners[number].fileno(), self._lifeline, self.replaced.descriptor
        limit = self.settings.watchdog
        start_limit = self.starts[number].limit(time.monotonic())
        silence = Silence(limit, start_limit, limit)
        return WatchedProcess("worker", passed, self.env, silence)

    def _look_after(self) -> None:
        seconds = self.observed.step(time.monotonic())
        if self.valkey and self.valkey_watch:
            self._look_after_valkey(self.valkey, self.valkey_watch, seconds)
        for number, worker in self.workers.items():
            if problem := worker.look(seconds):
                say(f"worker {number + 1} {problem}")
                if not worker.silence.has_started and not worker.is_stopped:
                    self.starts[number].killed(time.monotonic())
            if worker.ended():
                self._replace(number, worker)
        self._look_after_indexer(seconds)

    def _look_after_valkey(
        self, valkey: EmbeddedValkey, watch: ValkeyWatch, seconds: float
    ) -> None:
        if problem := watch.look(seconds):
            say(problem)
        is_due = time.monotonic() - valkey.spawned >= TOO_SOON
        if is_due and valkey.process and valkey.process.poll() is not None:
            if not watch.has_hung:
                say("the embedded Valkey has died; starting it again")
            self.replaced.add("valkey", "hung" if watch.has_hung else "died")
            valkey.spawn()

    def _look_after_indexer(self, seconds: float) -> None:
        """See to it that the index for the search is kept (chat.search.indexer). Nobody needs it at
        once, so one that ended is started again after SETTLED."""
        if self.indexer and (problem := self.indexer.look(seconds)):
            say(f"the indexer {problem}")
            if not self.indexer.is_stopped:
                self.patience.killed(time.monotonic())
        if self.indexer and not self.indexer.ended():
            return
        if self.indexer is None or self.indexer.age() > SETTLED:
            if self.indexer:
                if self.indexer.process.returncode:  # 0: it was asked to end (_reload)
                    self.replaced.add("indexer", "hung" if self.indexer.was_killed else "died")
                self.indexer.close()
            limit = self.patience.limit(time.monotonic())
            silence = Silence(limit, START_FACTOR * limit, self.settings.watchdog)
            self.indexer = WatchedProcess("indexer", [self._lifeline], self.env, silence)

    def _replace(self, number: int, dead: WatchedProcess) -> None:
        """Start another worker instead of one that died by itself: at once, or later when that
        happens one time after the other."""
        if number not in self.due:
            self.failures[number] = self.failures[number] + 1 if dead.age() < SETTLED else 0
            wait = min(2.0 ** (self.failures[number] - 1), LONGEST_WAIT)
            wait = wait if self.failures[number] else 0.0
            if not dead.was_killed:
                when = f" in {wait:.0f} s" if wait else ""
                code = dead.process.returncode
                say(f"worker {number + 1} has died (exit {code}); another starts{when}")
            self.replaced.add("worker", "hung" if dead.was_killed else "died")
            self.due[number] = time.monotonic() + wait
        if time.monotonic() >= self.due[number]:
            del self.due[number]
            dead.close()
            self.workers[number] = self._start(number)

    def _reload(self) -> None:
        """Let new workers take over, one by one: each listens beside the old one before that is
        asked to leave, so that somebody accepts at every moment."""
        for worker in [worker for worker in self.leaving if worker.ended()]:
            worker.close()
            self.leaving.remove(worker)
        for worker in self.leaving:
            if worker.age() > STOPS_WITHIN:
                worker.process.kill()
        if self.asked and not self.old:
            self.asked = False
            self.old = list(self.workers)
            say("new workers take over")
            if self.indexer:
                self.indexer.process.terminate()
        if self.old and self.next is None and not self.leaving:
            self.next = self._start(self.old[0])
        if self.next is not None:
            self._hand_over(self.next)

    def _hand_over(self, new: WatchedProcess) -> None:
        if new.ended() or new.age() > STARTS_WITHIN:
            new.process.kill()
            new.close()
            say(f"a new worker did not start (exit {new.process.returncode}); the old ones stay")
            self.next, self.old = None, []
        elif new.is_ready():
            number = self.old.pop(0)
            old, self.workers[number], self.next = self.workers[number], new, None
            old.leave(signal.SIGHUP)
            self.leaving.append(old)
            self.due.pop(number, None)
            say(f"worker {number + 1} is new" + ("" if self.old else "; that was the last"))

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _ask_reload(self, *_: object) -> None:
        self.asked = True

    def _end(self) -> None:
        # First, so that nobody waits for an answer of a worker that accepts nothing any more.
        for sock in self.listeners:
            sock.close()
        workers = [*self.workers.values(), *self.leaving, *([self.next] if self.next else [])]
        for worker in workers:
            worker.leave(signal.SIGTERM)
        for worker in workers:
            worker.close()
        if self.indexer:  # when nothing more is deleted: it takes that in before it ends
            self.indexer.leave(signal.SIGTERM)
            self.indexer.close()
        if self.valkey:
            if self.purge and self.valkey.answers():
                self.purge.finish()
            self.valkey.stop()
        if self.pidfile:
            self.pidfile.close()


def make_private(folder: Path) -> None:
    """See to it that only this user reads the data folder, and say what was open to others."""
    mended, left = data_folder.mend(folder)
    if mended:
        say(f"{mended} files and folders in {folder} could be read by others; now they cannot")
    if left:
        say(f"others may read {left[0]} and {len(left) - 1} more, which are not this user's")


def write_pidfile(folder: Path) -> IO[str] | None:
    """Write this process's id to `folder`/chat.pid, locked while it lives, for `running`. None
    where that cannot be: who has a Redis and a secret of their own needs no folder."""
    with contextlib.suppress(OSError):
        file = open(folder / "chat.pid", "a+")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file
    return None


def serving_process(folder: Path) -> int | None:
    """The process id of the chat that runs on `folder`, or None. Its lock says that the id is
    not that of another program by now."""
    try:
        with open(folder / "chat.pid") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((folder / "chat.pid").read_text())
    except OSError:
        return None
    return None


def check_redis(url: str) -> None:
    """Raise CannotStart when no Redis 7.0 or newer answers at `url`."""
    try:
        retry = Retry(NoBackoff(), 0)
        with urls.client(url, retry=retry, socket_connect_timeout=5) as client:
            info = client.info("server")
    except (RedisError, RedisClusterException, OSError) as error:
        raise CannotStart(f"cannot reach Redis at {masked(url)}: {error}") from None
    mode = info.get("server_mode") or info.get("redis_mode")  # Valkey's word, and Redis's
    if mode in ("cluster", "sentinel") and "+" not in url:
        form = f"{url.partition(':')[0]}+{mode}://"
        raise CannotStart(f"{masked(url)} leads to a {mode}: REDIS_URL begins with {form} then")
    version = str(info.get("valkey_version") or info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotStart(f"Redis at {masked(url)} is version {version}; 7.0 or newer is needed")


def prepare(url: str) -> None:
    """Bring the database at `url` up to the form that this chat knows; raises CannotStart."""
    try:
        with urls.client(url) as client:
            Store(client).schema.prepare()
    except TooNew as error:
        raise CannotStart(str(error)) from None
    except (RedisError, RedisClusterException, OSError) as error:
        raise CannotStart(f"cannot write to Redis at {masked(url)}: {error}") from None


def masked(url: str) -> str:
    """`url` without its passwords, for people and logs."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def secret(folder: Path) -> str:
    """The key that signs sessions, made once and kept in `folder`/secret (0600)."""
    path = folder / "secret"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            descriptor, made = tempfile.mkstemp(dir=folder)  # 0600
            with open(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
            # All at once, and the first one stays, should two start at the same time.
            with contextlib.suppress(FileExistsError):
                os.link(made, path)
            os.unlink(made)
        return path.read_text()
    except OSError as error:
        raise CannotStart(f"cannot write to the data folder {folder}: {error.strerror}") from None


def say(text: str) -> None:
    """Tell the operator, on standard output or in the JSON log."""
    operator.info("%s", text)
