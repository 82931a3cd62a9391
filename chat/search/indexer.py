"""The process that keeps the search index (chat.search.index) up to date, one for each host.

It follows the rooms' streams, as chat.webhooks.queueing does for bots. A message published in a
room is only a reason to read the room's stream from where the index ends. The index stores that
place in the same transaction as the events. From time to time, all rooms are compared with the
index. This is a process of its own, so that nobody waits for it, especially while it reads a long
history for the first time.
"""

import logging
import os
import select
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
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
from ..store.history import History
from ..store.retention import Retention
from .index import Index, IndexCursor

log = logging.getLogger(__name__)

PAGE_EVENTS = 2000  # read at once, and rooms that are compared at once
WAIT_SECONDS = 1.0  # for a published message
GATHER_SECONDS = 0.1  # for more messages, so that a burst is read once
LOOK_SECONDS = 30.0  # between two comparisons of all rooms, ...
LOOK_REST_FACTOR = 50  # ... or this many times as long as one takes, if that is longer
ANSWER_SECONDS = 2.0  # without a byte from Redis, after which it counts as unreachable
SQLITE_STEPS = 100_000  # of SQLite's virtual machine between two beats: some milliseconds
RETRY_SECONDS = 10.0  # after an error
FINISH_SECONDS = 5.0  # to index what was written and deleted before a stop
MERGE_SECONDS = 0.2  # for merging words, in each turn
ERRORS = (sqlite3.Error, OSError, RedisError, RedisClusterException)


class _Stopped(BaseException):
    """SIGTERM has arrived."""


def main(settings: Settings, lifeline: int, pipe: int) -> None:
    """Index until SIGTERM, or until the other end of the pipe `lifeline` closes because the
    supervisor died. After SIGTERM, what was deleted before is still removed from the index, which
    takes FINISH_SECONDS at most. Reports progress to the supervisor over `pipe`."""
    heartbeat = Heartbeat(pipe)
    heartbeat.beat()
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    os.nice(10)
    signal.signal(signal.SIGTERM, _stop)
    logged = ""
    try:
        while True:
            try:
                _run(settings, heartbeat)
            except ERRORS as error:
                if str(error) != logged:
                    logged = str(error)
                    log.warning("messages cannot be indexed for the search: %s", error)
            heartbeat.sleep(RETRY_SECONDS)
    except _Stopped:
        _finish(settings)


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _run(settings: Settings, heartbeat: Heartbeat) -> None:
    settings.data.mkdir(parents=True, exist_ok=True)
    with closing(Index(settings.data)) as index, _client(settings) as client:
        index.db.set_progress_handler(heartbeat.beat, SQLITE_STEPS)
        Indexer(index, client, settings.purge_seconds, heartbeat.beat).run()


def _client(settings: Settings) -> Any:
    """Return a client that gives up soon, because the supervisor would take a long wait for a
    hang."""
    wait = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    return urls.client(settings.redis_url, retry=Retry(NoBackoff(), 0), **wait)


def _finish(settings: Settings) -> None:
    """Index what was just written and deleted, and purge what was deleted."""
    try:
        with closing(Index(settings.data)) as index, _client(settings) as client:
            Indexer(index, client, settings.purge_seconds).finish(FINISH_SECONDS)
    except ERRORS as error:
        log.warning("the search index may still have deleted messages: %s", error)


def _die_with(lifeline: int) -> None:
    # Not os.read: the event loops of the workers have made the pipe non-blocking.
    select.select([lifeline], [], [])
    os._exit(0)


class Indexer:
    """`client` is a synchronous Redis client. `purge_seconds` is the time between two merges of
    the words, which purge those of deleted messages; 0 for no merges. `beat` is called at each
    step."""

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
        self.until = float("inf")  # when to stop, by the monotonic clock
        self.history = History(client)
        self.rooms = Retention(client)
        self.listener = client.pubsub()
        self.subscribed: set[str] = set()  # ids of rooms
        self.broken: set[str] = set()  # ids of rooms whose broken data is in the log
        self.due = 0.0  # when to compare all rooms

    def run(self) -> None:
        """Follow all rooms until an error, which is raised."""
        self.listener.ssubscribe(keys.ROOMS)
        with closing(self.listener):
            while True:
                self.beat()
                changed, subscribed = self._receive()
                self._compare(list(subscribed))
                for rid in changed:
                    self.follow(rid)
                if (began := time.monotonic()) >= self.due:
                    self.look()
                    now = time.monotonic()
                    self.due = now + max(LOOK_SECONDS, LOOK_REST_FACTOR * (now - began))
                self._purge()

    def finish(self, seconds: float) -> None:
        """Bring all rooms up to date and purge deleted messages, within `seconds`."""
        self.until = time.monotonic() + seconds
        self.look(subscribe=False)
        if self.purge_seconds:
            self._merge(self.until)
        self.index.purge_log()

    def _purge(self) -> None:
        """Purge what was deleted: from the write-ahead log at once, from the words a little in
        each turn when it is time."""
        now = time.monotonic()
        if self.purge_seconds and now >= self.purge_due and self._merge(now + MERGE_SECONDS):
            self.purge_due = time.monotonic() + self.purge_seconds
        self.index.purge_log()

    def _merge(self, until: float) -> bool:
        while not (done := self.index.purge_words()) and time.monotonic() < until:
            pass
        return done

    def _receive(self) -> tuple[set[str], set[str]]:
        """Wait for published messages. Returns the ids of the rooms with new events, and of those
        with a new subscription, which may have events from before it."""
        changed: set[str] = set()
        subscribed: set[str] = set()
        message = self._message(min(time.monotonic() + WAIT_SECONDS, self.due))
        end = time.monotonic() + GATHER_SECONDS
        while message:
            kind, channel = message["type"], message["channel"]
            if channel == keys.ROOMS:
                if kind == "smessage":
                    self._subscribe([message["data"]])
                else:
                    self.due = 0.0  # rooms may have been created before
            elif kind == "ssubscribe":
                subscribed.add(keys.parse_channel(channel)[1])
            elif kind == "smessage" and _is_event(message["data"]):
                changed.add(keys.parse_channel(channel)[1])
            message = self._message(end)
        return changed, subscribed

    def _message(self, end: float) -> Any:
        """The next message, None if there is none until `end` by the monotonic clock."""
        return self.listener.get_sharded_message(timeout=max(0.0, end - time.monotonic()))

    def _subscribe(self, rids: Iterable[str]) -> None:
        if new := set(rids) - self.subscribed:
            self.subscribed |= new
            self.listener.ssubscribe(*map(keys.room_channel, new))

    def look(self, subscribe: bool = True) -> None:
        """Bring all rooms up to date, and forget those that no longer exist."""
        gone = set(self.index.rooms())
        for rids in batched(self.rooms.rooms(), PAGE_EVENTS):
            if subscribe:
                self._subscribe(rids)
            gone -= self._compare(rids)
        for rid in gone:
            self.follow(rid)

    def _compare(self, rids: list[str]) -> set[str]:
        """Bring those of these rooms up to date that are not; returns the ones that exist."""
        newest = self.history.newest(rids)
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
        """Index some events; False if there are no more."""
        self.beat()
        with self.index.writing():
            here = self.index.cursor(rid)
            at = here or IndexCursor()
            since = self.history.since(rid, at.seq, at.at, PAGE_EVENTS)
            if since is None:
                self.index.forget(rid)
                return False
            if here and (here.epoch != since.epoch or here.seq > since.seq or not since.follows):
                self.index.forget(rid)  # the room has another history: read it from the beginning
                return True
            if here and since.first > here.first:
                self.index.trim(rid, since.first)
            if not since.events:
                return False
            last = since.events[-1]
            upto = IndexCursor(since.epoch, last.seq, last.at, since.first)
            self.index.take(rid, self._beating(since.events), upto)
            return last.seq < since.seq

    def _beating(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self.beat()
            yield event


def _is_event(line: str) -> bool:
    """True if what was published is an event, or says that there are more events."""
    return line == keys.RELOAD or not line.startswith("~")
