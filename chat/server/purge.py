"""What was deleted leaves the files of the embedded Valkey: its append-only file is written anew.

Valkey appends what happens: a message that is deleted stands in the file until the file is
rewritten (BGREWRITEAOF). That is done an hour (CHAT_PURGE_SECONDS) after the last time, where
something was written since, and when the chat stops. The rewritten file has commands, not a
snapshot (`aof-use-rdb-preamble no`): a snapshot keeps the text of deleted entries of a stream.
"""

import logging
import time
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from .embedded_valkey import EmbeddedValkey

log = logging.getLogger(__name__)

LOOK = 10.0  # seconds between two looks, at most
STOP_WITHIN = 30.0  # seconds that a stop waits for the file to be rewritten
# With these commands a text comes, changes or goes. Those that say who is here are not among them.
CHANGES = ("xadd", "xdel", "xtrim", "hset", "hdel", "del", "unlink", "getdel")


class Purge:
    """Rewrites the file of `valkey` every so many `seconds`, and at the stop; 0 for never."""

    def __init__(self, valkey: EmbeddedValkey, seconds: int) -> None:
        self.valkey = valkey
        self.seconds = seconds
        self._due = 0.0  # of the next look, by the monotonic clock
        self._seen: int | None = None  # changes at the last rewrite; None before it
        self._failed = False  # so that it is said once

    def look(self) -> None:
        """Begin a rewrite where it is time. Never raises; it waits for Valkey for 2 s at most."""
        if not self.seconds or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + min(LOOK, self.seconds)
        try:
            with self.valkey.client() as client:
                if not 0 <= self._age() < self.seconds:  # below 0 where this clock was set back
                    self._begin(client)
        except (RedisError, OSError) as error:
            self._say(error)

    def finish(self) -> None:
        """Rewrite the file where something was written since, and wait until that is done."""
        if not self.seconds:
            return
        end = time.monotonic() + STOP_WITHIN
        try:
            with self.valkey.client() as client:
                self._wait(client, end)
                if self._begin(client):
                    self._wait(client, end)
        except (RedisError, OSError) as error:
            self._say(error)

    def _begin(self, client: Any) -> bool:
        """Have the file rewritten, unless nothing was written or it is being done."""
        info = client.info("persistence")
        if info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]:
            return False
        stats = client.info("commandstats")
        changes = sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in CHANGES)
        if changes == self._seen or (self._seen is None and self._is_purged(info)):
            return False
        client.bgrewriteaof()
        self._seen, self._failed = changes, False
        return True

    def _is_purged(self, info: dict[str, Any]) -> bool:
        """Whether the file of an earlier run has nothing but what was left at its rewrite."""
        is_snapshot = any(path.suffix == ".rdb" for path in self._bases())
        return not is_snapshot and info["aof_current_size"] == info["aof_base_size"]

    def _bases(self) -> list[Path]:
        return list((self.valkey.folder / "appendonlydir").glob("*.base.*"))

    def _age(self) -> float:
        """Seconds since the file was rewritten, or begun."""
        paths = self._bases() or [self.valkey.folder / "appendonlydir" / "appendonly.aof.manifest"]
        return time.time() - max(path.stat().st_mtime for path in paths)

    def _wait(self, client: Any, end: float) -> None:
        while time.monotonic() < end:
            info = client.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return
            time.sleep(0.02)
        log.warning("what was deleted is still in Valkey's file: it was not rewritten in time")

    def _say(self, error: Exception) -> None:
        if not self._failed:
            log.warning("Valkey's file was not rewritten, so it has what was deleted: %s", error)
        self._failed = True
