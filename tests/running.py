"""The chat as it runs: `chat serve` as a subprocess, and a plain HTTP client with verbs."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import redis

from chat.redis_client import urls
from chat.server.embedded_valkey import EmbeddedValkey

from . import commands

ROOT = Path(__file__).parents[1]
opened = contextlib.ExitStack()  # what a test has opened; closed at its end
DEADLINE = 30.0  # seconds for anything to become true


def wait_until(true: Callable[[], object], what: str = "it", deadline: float = DEADLINE) -> None:
    """Wait for a state, not for a time; fails with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {deadline:.0f} s")
        time.sleep(0.01)


def wait_until_later(client: redis.Redis) -> None:
    """Until the database shows another millisecond: what happens within one is in no order."""
    begun = _ms(client)
    wait_until(lambda: _ms(client) > begun, "another millisecond")


def _ms(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(1000 * seconds + microseconds // 1000)


def free_port() -> int:
    """A port that nobody has now, for who binds it in a moment. It is one of those that the system
    gives to nobody by itself: no connection of a test that runs meanwhile can take it."""
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("", random.randrange(10_000, 32_000)))
            return int(sock.getsockname()[1])


class Server:
    """`chat serve` over a data folder; `start`, `stop` and `kill` as a person would."""

    def __init__(self, data: Path, **env: str) -> None:
        self.data = data
        self.port = free_port()
        self.env = env
        self.address = "127.0.0.1"
        self.inside: Sequence[str] = ()  # stands before the command
        self.process: subprocess.Popen[bytes] | None = None
        self._forgotten = 0  # characters of the log

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def start(self) -> "Server":
        """Start it and wait until it is ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        with open(self.data / "chat.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "chat", "serve"],
                stdout=log,
                stderr=log,
                cwd="/",
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "CHAT_BIND": f"{self.address}:{self.port}",
                    "CHAT_DATA": str(self.data),
                    **self.env,
                },
            )
        wait_until(self.is_ready, "the server's readiness")
        return self

    def is_ready(self) -> bool:
        if self.process is None:
            return False
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", verify=False).status_code == 200
        return False

    def log(self) -> str:
        return (self.data / "chat.log").read_text()[self._forgotten :]

    def forget_log(self) -> None:
        """Let `log` begin here."""
        self._forgotten = len((self.data / "chat.log").read_text())

    def setup_link(self) -> str:
        """The path of the link for the first administrator that was printed last."""
        return re.findall(r"/first-run/[\w-]+", self.log())[-1]

    def stop(self) -> int:
        """End it by SIGTERM; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(DEADLINE)
        self.process = None
        return code

    def console(self, *args: str) -> subprocess.CompletedProcess[str]:
        """The `chat` command, on the same machine."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "CHAT_DATA": str(self.data), **self.env}
        if env["PYTHONPATH"] == str(ROOT):
            return commands.run(args, env)
        command = [sys.executable, "-m", "chat", *args]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True)

    def redis(self) -> redis.Redis:
        """A connection to the database of the chat."""
        return urls.client(self.env.get("REDIS_URL") or EmbeddedValkey(self.data / "valkey").url)

    def kill(self) -> None:
        """Kill the supervisor as if the machine's memory had run out, and see its workers end.
        The embedded Valkey lives on until the next start ends it."""
        assert self.process is not None
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        self.process = None
        for pid in workers:
            wait_until(lambda pid=pid: not alive(pid), "the end of a worker")

    def clean_up(self) -> None:
        """Stop everything that is left, by process id."""
        self.stop()
        pidfile = self.data / "valkey" / "valkey.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(pidfile.read_text()), signal.SIGKILL)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        assert self.process is not None
        return [pid for pid in children(self.process.pid) if b"chat\0worker\0" in cmdline(pid)]

    def valkey(self) -> int:
        """Process id of the embedded Valkey."""
        assert self.process is not None
        return next(p for p in children(self.process.pid) if b"valkey-server" in cmdline(p))


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def browser(url: str = "", **options: Any) -> httpx.Client:
    """A client for plain HTTP. Reading the world's certificates, which httpx does for each client
    that may have to check one, costs 30 ms."""
    return httpx.Client(base_url=url, timeout=DEADLINE, verify=False, **options)


class Visitor:
    """A person with a browser without JavaScript."""

    def __init__(self, url: str, name: str = "") -> None:
        self.url = url
        self.http = browser(url)
        opened.callback(self.http.close)
        if name:
            self.sign_in(name)

    def get(self, path: str, **kwargs) -> httpx.Response:
        return self.http.get(path, **kwargs)

    def submit(self, path: str, page: str = "/", **fields: str | Sequence[str]) -> httpx.Response:
        """Send the form that stands on `page` to `path`, with its CSRF token."""
        html = self.http.get(page, follow_redirects=True).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', html)
        assert token, html
        return self.http.post(path, data={"csrf_token": token[1], **fields})

    def sign_in(self, name: str) -> None:
        answer = self.submit("/sign-in", "/sign-in", name=name)
        assert answer.status_code == 303, answer.text

    @property
    def uid(self) -> str:
        """The id that others know this person by."""
        return re.search(r"/me\.css\?([\w-]+)", self.get("/").text)[1]

    def create_room(self, name: str, kind: str = "open", members: Sequence[str] = ()) -> str:
        """Returns the room's id; `members` are ids of people."""
        answer = self.submit("/rooms", "/rooms/new", name=name, kind=kind, members=members)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def join(self, rid: str) -> None:
        assert self.submit(f"/rooms/{rid}/join").status_code == 303

    def post(self, rid: str, body: str, nonce: str = "") -> httpx.Response:
        return self.submit(f"/rooms/{rid}/messages", body=body, nonce=nonce)

    def room(self, rid: str) -> str:
        answer = self.get(f"/rooms/{rid}")
        assert answer.status_code == 200, answer.text
        return answer.text

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
