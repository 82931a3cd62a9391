"""Other stacks under test. Each script in peers/ describes what it does."""

import hashlib
import re
import shutil
import subprocess
import sys

from tests.bench.scenarios import FANOUT, IDLE, TALK, VIEWERS
from tests.bench.server import CACHE, PEERS, NotInstalled, Server

NODE_CACHE = CACHE / "node"
INSTALL = "make bench, without --no-install"
INSTALL_LIMIT = 120  # seconds for npm


class Floor(Server):
    """A C program that only writes. It is compiled when it is first needed."""

    name, label, dialect = "floor", "C program that only writes", "floor"
    note = "writes the chat's own bytes to each connection, one `write` each; no Redis, no rooms"
    scenarios = ("one", "sixteen", *VIEWERS)
    source = PEERS / "floor.c"

    @property
    def binary(self):
        """Return the path of the program, which depends on the version of its source."""
        return CACHE / f"floor-{hashlib.sha256(self.source.read_bytes()).hexdigest()[:12]}"

    def install(self, bring):
        if self.binary.exists():
            return
        if not bring:
            raise NotInstalled(INSTALL)
        if not shutil.which("cc"):
            raise NotInstalled("needs a C compiler: apt-get install gcc libc6-dev")
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-O2", "-o", str(self.binary), str(self.source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(f"cc failed: {done.stderr.strip()[-200:]}")

    def start(self):
        self.start_peer([str(self.binary), str(self.port)])

    def versions(self):
        if not shutil.which("cc"):
            return {}
        version = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True)
        return {"cc": version.stdout.strip()}


class Uvloop(Server):
    """A Python program that only writes."""

    name, label, dialect = "uvloop", "uvloop program that only writes", "floor"
    note = "the same in Python, with `transport.write`: the upper limit for a Python process"
    packages = ("uvloop",)
    scenarios = ("one",)

    def start(self):
        self.start_peer([sys.executable, str(PEERS / "uvloop_floor.py"), str(self.port)])


class FlaskSocketIO(Server):
    """The original chat's stack."""

    name, label, dialect = "flask-socketio", "Flask-SocketIO + gevent + Redis queue", "socketio"
    note = "the original's stack: emits a dict and renders nothing, stores after emitting"
    packages = ("flask-socketio", "gevent", "gevent-websocket", "redis")
    needs = ("flask_socketio", "gevent", "geventwebsocket")
    scenarios = ("idle", "one", "sixteen", *TALK)

    def start(self):
        script = str(PEERS / "flask_socketio_gevent.py")
        self.start_peer([sys.executable, script, str(self.port), self.start_redis()])


class Channels(Server):
    """Django Channels with its Redis channel layer."""

    name, label, dialect = "channels", "Django Channels + channels-redis, uvicorn", "plain"
    note = "one process on uvloop; renders with a format string, stores after sending"
    packages = ("django", "channels", "channels-redis", "uvicorn", "websockets", "uvloop")
    needs = ("django", "channels", "channels_redis", "uvicorn")
    scenarios = (*FANOUT, *TALK, *IDLE)

    def start(self):
        options = f"--host 127.0.0.1 --port {self.port} --backlog 4096 --lifespan off".split()
        options += ["--log-level", "warning", "tests.bench.peers.channels_app:application"]
        redis = {"BENCH_REDIS": self.start_redis()}
        self.start_peer([sys.executable, "-m", "uvicorn", *options], redis)


class Hypercorn(Server):
    """Stock Hypercorn, ASGI `send` to each viewer."""

    name, label, dialect = "hypercorn", "stock Hypercorn, ASGI send", "plain"
    note = "no Redis, no history, no sign-in; one `send` per viewer and message"
    packages = ("hypercorn", "wsproto", "uvloop")
    scenarios = (*FANOUT, *IDLE)

    def start(self):
        self.start_peer([sys.executable, str(PEERS / "hypercorn_asgi.py"), str(self.port)])


class Node(Server):
    """What the Node peers share: npm's packages, in a cache folder."""

    script = ""
    modules = ()

    def install(self, bring):
        if not shutil.which("node") or not shutil.which("npm"):
            raise NotInstalled("needs Node: apt-get install nodejs npm")
        wanted, kept = PEERS / "node" / "package.json", NODE_CACHE / "package.json"
        if kept.exists() and kept.read_bytes() == wanted.read_bytes():
            return
        if not bring:
            raise NotInstalled(INSTALL)
        NODE_CACHE.mkdir(parents=True, exist_ok=True)
        shutil.copy(wanted, kept)
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(
                command, cwd=NODE_CACHE, capture_output=True, text=True, timeout=INSTALL_LIMIT
            )
            failed = done.stderr.strip()[-200:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            failed = f"not done in {INSTALL_LIMIT} s"
        if failed:
            kept.unlink()
            raise NotInstalled(f"npm install failed: {failed}")

    def run(self, *arguments):
        """Start the script with its port and these arguments."""
        command = ["node", str(PEERS / "node" / self.script), str(self.port), *arguments]
        modules = str(NODE_CACHE / "node_modules")
        self.start_peer(command, {"NODE_PATH": modules, "NODE_ENV": "production"})

    def versions(self):
        found = {}
        for package in self.modules:
            manifest = NODE_CACHE / "node_modules" / package / "package.json"
            if manifest.exists():
                found[package] = re.search(r'"version":\s*"([^"]+)"', manifest.read_text())[1]
        if found:
            node = subprocess.run(["node", "--version"], capture_output=True, text=True)
            found = {"node": node.stdout.strip().lstrip("v")} | found
        return found


class SocketIO(Node):
    """Node's socket.io with its Redis adapter."""

    name, label, dialect = "socketio", "Node socket.io + Redis adapter", "socketio"
    note = "one process; renders with a template string, stores after emitting"
    scenarios = ("idle", "one", "sixteen", *TALK, "half", "calm")
    script = "socketio.cjs"
    modules = ("socket.io", "@socket.io/redis-adapter", "redis")

    def start(self):
        self.run(self.start_redis())


class Ws(Node):
    """Node's bare websocket package."""

    name, label, dialect = "ws", "Node ws", "plain"
    note = "no Redis, no history, no sign-in; compresses when the client offers it"
    scenarios = (*FANOUT, *IDLE)
    script = "ws.cjs"
    modules = ("ws",)

    def start(self):
        self.run()
