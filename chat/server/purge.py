"""Removes deleted text from the append-only file of the embedded Valkey by rewriting the file.

Valkey appends commands, so a deleted message stays in the file until the file is rewritten
(BGREWRITEAOF). This happens CHAT_PURGE_SECONDS (an hour) after the last rewrite, if there were
changes, and when the chat stops. The rewritten file contains commands rather than a snapshot
(`aof-use-rdb-preamble no`), because a snapshot keeps the text of deleted stream entries.
"""

import logging
import time
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from .embedded_valkey import EmbeddedValkey

log = logging.getLogger(__name__)

MAX_LOOK_SECONDS = 10.0  # between two looks
MAX_STOP_SECONDS = 30.0  # that a stop waits for the rewrite
# Commands that add, change or delete text. Those that keep presence are not among them.
CHANGING_COMMANDS = ("xadd", "xdel", "xtrim", "hset", "hdel", "del", "unlink", "getdel")


class Purge:
    """Rewrites the file of `valkey` every `seconds` and at the end; never if `seconds` is 0."""

    def __init__(self, valkey: EmbeddedValkey, seconds: int) -> None:
        self.valkey = valkey
        self.seconds = seconds
        self._due = 0.0  # of the next look, by the monotonic clock
        self._seen: int | None = None  # changes at the last rewrite; None before it
        self._failed = False  # so that a failure is logged once

    def look(self) -> None:
        """Begin a rewrite if it is due. Never raises, and waits for Valkey for 2 s at most."""
        if not self.seconds or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + min(MAX_LOOK_SECONDS, self.seconds)
        try:
            with self.valkey.client() as client:
                if not 0 <= self._age() < self.seconds:  # negative after the clock was set back
                    self._begin(client)
        except (RedisError, OSError) as error:
            self._log_failure(error)

    def finish(self) -> None:
        """Rewrite the file if there were changes, and wait until that is done."""
        if not self.seconds:
            return
        end = time.monotonic() + MAX_STOP_SECONDS
        try:
            with self.valkey.client() as client:
                self._wait(client, end)
                if self._begin(client):
                    self._wait(client, end)
        except (RedisError, OSError) as error:
            self._log_failure(error)

    def _begin(self, client: Any) -> bool:
        """Begin a rewrite if there were changes and none is running. Returns whether it began."""
        info = client.info("persistence")
        if info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]:
            return False
        stats = client.info("commandstats")
        changes = sum(
            stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in CHANGING_COMMANDS
        )
        if changes == self._seen or (self._seen is None and self._is_purged(info)):
            return False
        client.bgrewriteaof()
        self._seen, self._failed = changes, False
        return True

    def _is_purged(self, info: dict[str, Any]) -> bool:
        """Return whether nothing was written since the rewrite of an earlier run."""
        is_snapshot = any(path.suffix == ".rdb" for path in self._bases())
        return not is_snapshot and info["aof_current_size"] == info["aof_base_size"]

    def _bases(self) -> list[Path]:
        return list((self.valkey.folder / "appendonlydir").glob("*.base.*"))

    def _age(self) -> float:
        """Return the seconds since the file was rewritten or created."""
        paths = self._bases() or [self.valkey.folder / "appendonlydir" / "appendonly.aof.manifest"]
        return time.time() - max(path.stat().st_mtime for path in paths)

    def _wait(self, client: Any, end: float) -> None:
        while time.monotonic() < end:
            info = client.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return
            time.sleep(0.02)
        log.warning("deleted text is still in Valkey's file: it was not rewritten in time")

    def _log_failure(self, error: Exception) -> None:
        if not self._failed:
            log.warning(
                "Valkey's file was not rewritten and still contains deleted text: %s", error
            )
        self._failed = True
