"""The process that keeps the index of messages (chat.search.index) up to date, one for each host.

It follows the rooms' streams, as chat.webhooks.queueing does for bots: what is published in a
room is only the nudge to read its stream from where the index ends, which is kept in the same
transaction as what is taken in; now and then all rooms are looked at without a nudge. A process of
its own, so that nobody waits for it, above all while it reads a long history for the first time.
"""

import logging
import os
import select
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from ..config import Settings
from ..domain.events import Event
from ..redis_client import urls
from ..runtime.heartbeat import Heartbeat
from ..store import keys
from ..store.batches import batched
from ..store.changes import RoomChanges
from ..store.retention import Retention
from .index import Cursor, Index

log = logging.getLogger(__name__)

PAGE = 2000  # events read at once
TURN = 1.0  # seconds to wait for a nudge
GATHER = 0.1  # seconds in which nudges are gathered, so that a burst is read in one go
LOOK = 30.0  # seconds between two looks at all rooms, ...
SHARE = 50  # ... and this many times as long as a look takes
ANSWER_SECONDS = 2.0  # without a byte from Redis, after which its answer is not waited for
SQLITE_STEPS = 100_000  # of its machine between two beats; some milliseconds
REST = 10.0  # seconds after something went wrong
LAST = 5.0  # seconds for what was said and deleted before a stop
MERGES = 0.2  # seconds of merging words in one turn


class _Stopped(BaseException):
    """SIGTERM came."""


def main(settings: Settings, lifeline: int, pipe: int) -> None:
    """Index until SIGTERM, or until the other end of the pipe `lifeline` closes because the
    supervisor died. After SIGTERM what was deleted before it leaves the index, within LAST. The
    supervisor is told over `pipe` that there is progress."""
    heartbeat = Heartbeat(pipe)
    heartbeat.beat()
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    os.nice(10)
    signal.signal(signal.SIGTERM, _stop)
    said = ""
    try:
        while True:
            try:
                _run(settings, heartbeat)
            except (sqlite3.Error, OSError, RedisError, RedisClusterException) as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("messages cannot be indexed for the search: %s", error)
            heartbeat.sleep(REST)
    except _Stopped:
        _finish(settings)


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _run(settings: Settings, heartbeat: Heartbeat) -> None:
    settings.data.mkdir(parents=True, exist_ok=True)
    index = Index(settings.data)
    index.db.set_progress_handler(heartbeat.beat, SQLITE_STEPS)
    try:
        with _client(settings) as client:
            Indexer(index, client, settings.purge_seconds, heartbeat.beat).run()
    finally:
        index.close()


def _client(settings: Settings) -> Any:
    """A client that gives up soon: who waits for Redis seems to hang."""
    wait = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    return urls.client(settings.redis_url, retry=Retry(NoBackoff(), 0), **wait)


def _finish(settings: Settings) -> None:
    """Take in what has just been said and deleted, and let go for good what was deleted."""
    try:
        index = Index(settings.data)
        with _client(settings) as client:
            Indexer(index, client, settings.purge_seconds).finish(LAST)
        index.close()
    except (sqlite3.Error, OSError, RedisError, RedisClusterException) as error:
        log.warning("the index may have what was deleted: %s", error)


def _die_with(lifeline: int) -> None:
    # The workers' loops make the pipe one that never waits when it is read, for us as well.
    select.select([lifeline], [], [])
    os._exit(0)


class Indexer:
    """`client` is a synchronous Redis client; `purge_seconds` is the time between two merges of
    words in which those of deleted messages may be, 0 for none. `beat` is called at each step."""

    def __init__(
        self,
        index: Index,
        client: Any,
        purge_seconds: int = 0,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.index = index
        self.beat = beat
        self.purge_seconds = purge_seconds
        self.purge_due = time.monotonic() + purge_seconds
        self.until = float("inf")  # when it gives up, by the monotonic clock
        self.written = RoomChanges(client)
        self.rooms = Retention(client)
        self.listener = client.pubsub()
        self.heard: set[str] = set()  # rooms that are listened to
        self.broken: set[str] = set()  # rooms whose broken data the log has told of
        self.due = 0.0  # when all rooms are to be looked at

    def run(self) -> None:
        """Follow all rooms for good; raises what goes wrong."""
        self.listener.ssubscribe(keys.ROOMS)
        try:
            while True:
                self.beat()
                said, stands = self._hear()
                self._compare(list(stands))
                for rid in said:
                    self.follow(rid)
                if time.monotonic() >= self.due:
                    began = time.monotonic()
                    self.look()
                    now = time.monotonic()
                    self.due = now + max(LOOK, SHARE * (now - began))
                self._purge()
        finally:
            self.listener.close()

    def finish(self, seconds: float) -> None:
        """Bring all rooms up to date and let go what was deleted, as far as that takes no longer
        than so many seconds."""
        self.until = time.monotonic() + seconds
        self.look(listen=False)
        if self.purge_seconds:
            self._merge()
        self.index.purge_log()

    def _purge(self) -> None:
        """Let go for good what was deleted: from the log at once, from the words when it is time,
        a little in each turn."""
        if self.purge_seconds and time.monotonic() >= self.purge_due:
            self.until, until = time.monotonic() + MERGES, self.until
            if self._merge():
                self.purge_due = time.monotonic() + self.purge_seconds
            self.until = until
        self.index.purge_log()

    def _merge(self) -> bool:
        while not (done := self.index.purge_words()) and time.monotonic() < self.until:
            pass
        return done

    def _hear(self) -> tuple[set[str], set[str]]:
        """The rooms in which something was said, and those that are listened to since now, or
        again, in which something may have been said before."""
        said: set[str] = set()
        stands: set[str] = set()
        end, message = 0.0, self._message(min(TURN, self._until_due()))
        while message:
            end = end or time.monotonic() + GATHER
            kind, channel = message["type"], message["channel"]
            if channel == keys.ROOMS:
                if kind == "smessage":
                    self._listen([message["data"]])
                else:
                    self.due = 0.0  # rooms that were made before were not heard of
            elif kind == "ssubscribe":
                stands.add(keys.parse_channel(channel)[1])
            elif kind == "smessage" and _is_event(message["data"]):
                said.add(keys.parse_channel(channel)[1])
            message = self._message(max(0.0, end - time.monotonic()))
        return said, stands

    def _message(self, timeout: float) -> Any:
        return self.listener.get_sharded_message(timeout=timeout)

    def _listen(self, rids: Iterable[str]) -> None:
        """Be told of what is said in these rooms."""
        if new := set(rids) - self.heard:
            self.heard |= new
            self.listener.ssubscribe(*map(keys.room_channel, new))

    def _until_due(self) -> float:
        return max(0.0, self.due - time.monotonic())

    def look(self, listen: bool = True) -> None:
        """Bring every room up to date, and let go those that are no more."""
        gone = set(self.index.rooms())
        rooms = self.rooms.rooms()
        for rids in batched(rooms, PAGE):
            if listen:
                self._listen(rids)
            gone -= self._compare(rids)
        for rid in gone:
            self.follow(rid)

    def _compare(self, rids: list[str]) -> set[str]:
        """Bring those of the rooms up to date that are not; returns those that are there."""
        newest = self.written.newest(rids)
        for rid, now in newest.items():
            self.beat()
            here = self.index.cursor(rid)
            if here is None or now != (here.epoch, str(here.seq), str(here.first)):
                self.follow(rid)
        return set(newest)

    def follow(self, rid: str) -> None:
        """Bring one room up to date. If its data is broken, the index keeps what it has of this
        room, the log says so once, and the other rooms go on."""
        try:
            while time.monotonic() < self.until and self._step(rid):
                pass
        except (ResponseError, ValueError, OverflowError) as error:
            if rid not in self.broken:
                self.broken.add(rid)
                log.warning("the room %s cannot be indexed for the search: %s", rid, error)

    def _step(self, rid: str) -> bool:
        """Take in some events; False when there are no more."""
        self.beat()
        with self.index.writing():
            here = self.index.cursor(rid)
            at = here or Cursor()
            since = self.written.since(rid, at.seq, at.at, PAGE)
            if since is None:
                self.index.forget(rid)
                return False
            if here and (here.epoch != since.epoch or here.seq > since.seq or not since.follows):
                self.index.forget(rid)  # another history: from the beginning
                return True
            if here and since.first > here.first:
                self.index.trim(rid, since.first)
            if since.events:
                last = since.events[-1]
                upto = Cursor(since.epoch, last.seq, last.at, since.first)
                self.index.take(rid, self._beating(since.events), upto)
            return since.more

    def _beating(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self.beat()
            yield event


def _is_event(line: str) -> bool:
    """True for what is in a room's stream, or says that more is."""
    return line == keys.RELOAD or not line.startswith("~")
