"""`chat serve`: the embedded database, the workers, and what happens when one of them dies.

Each worker is a single process with a listening socket of its own on the shared port
(SO_REUSEPORT), so that the kernel spreads connections over them and one that dies takes only
its own along. Workers and database are started again when they end by themselves.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from .embedded import CannotStart, EmbeddedValkey
from .serving import listen
from .settings import Settings
from .store import Store
from .store.schema import TooNew

OLDEST_REDIS = (7, 0)
TOO_SOON = 1.0  # seconds; what lives shorter is not started again at once
STOPS_WITHIN = 15.0  # seconds; then a worker is killed


class Supervisor:
    """Runs until SIGTERM or SIGINT; `serve` raises CannotStart."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = False
        self.valkey: EmbeddedValkey | None = None
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.started: dict[int, float] = {}
        self.listeners: list[socket.socket] = []
        self.env = dict(os.environ)

    def serve(self) -> None:
        """Start everything, watch over it, and stop it in order."""
        self._listen()
        try:
            self._database()
            self.env["SECRET_KEY"] = self.settings.secret_key or secret(self.settings.data)
            self._lifeline, self._held = os.pipe()
            os.set_inheritable(self._lifeline, True)
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, self._stop)
            for number in range(self.settings.workers):
                self._start(number)
            host, port = self.listeners[0].getsockname()[:2]
            say(f"Chat is on http://{f'[{host}]' if ':' in host else host}:{port}")
            while not self.stopping:
                self._look_after()
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
            url = self.valkey.url
        check_redis(url)
        prepare(url)
        self.env["REDIS_URL"] = url

    def _start(self, number: int) -> None:
        listener = self.listeners[number].fileno()
        self.started[number] = time.monotonic()
        self.workers[number] = subprocess.Popen(
            [sys.executable, "-m", "chat", "worker", str(listener), str(self._lifeline)],
            env=self.env,
            pass_fds=(listener, self._lifeline),
            # Ctrl-C in the terminal reaches the supervisor only, which stops the workers.
            start_new_session=True,
        )

    def _look_after(self) -> None:
        valkey = self.valkey
        soon = valkey is not None and time.monotonic() - valkey.spawned < TOO_SOON
        if valkey and valkey.process and valkey.process.poll() is not None and not soon:
            say("the embedded Valkey has died; starting it again")
            valkey.spawn()
        for number, worker in self.workers.items():
            soon = time.monotonic() - self.started[number] < TOO_SOON
            if worker.poll() is not None and not soon:
                say(f"worker {number + 1} has died (exit {worker.returncode}); starting another")
                self._start(number)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _end(self) -> None:
        for worker in self.workers.values():
            worker.terminate()
        deadline = time.monotonic() + STOPS_WITHIN
        for worker in self.workers.values():
            try:
                worker.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        for sock in self.listeners:
            sock.close()
        if self.valkey:
            self.valkey.stop()


def check_redis(url: str) -> None:
    """Raise CannotStart when no Redis 7.0 or newer answers at `url`."""
    try:
        retry = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(url, retry=retry, socket_connect_timeout=5) as client:
            info = client.info("server")
    except (RedisError, OSError) as error:
        raise CannotStart(f"cannot reach Redis at {masked(url)}: {error}") from None
    version = str(info.get("valkey_version") or info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotStart(f"Redis at {masked(url)} is version {version}; 7.0 or newer is needed")


def prepare(url: str) -> None:
    """Bring the database at `url` up to the form that this chat knows; raises CannotStart."""
    try:
        with redis.Redis.from_url(url, decode_responses=True) as client:
            Store(client).schema.prepare()
    except TooNew as error:
        raise CannotStart(str(error)) from None
    except (RedisError, OSError) as error:
        raise CannotStart(f"cannot write to Redis at {masked(url)}: {error}") from None


def masked(url: str) -> str:
    """`url` without its password, for people and logs."""
    scheme, _, rest = url.partition("://")
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
    print(text, flush=True)
