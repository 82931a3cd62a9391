"""The process that keeps the index of messages (chat.index) up to date, one for each host.

It follows the rooms' streams, as chat.deliver does for bots: what is published in a room is only
the nudge to read its stream from where the index ends, which is kept in the same transaction as
what is taken in; now and then all rooms are looked at without a nudge. A process of its own, so
that nobody waits for it, above all while it reads a long history for the first time.
"""

import logging
import os
import sqlite3
import threading
import time
from typing import Any

import redis
from redis.exceptions import RedisError

from .index import Cursor, Index
from .settings import Settings
from .store import keys
from .store.retention import Retention
from .store.written import Written

log = logging.getLogger(__name__)

PAGE = 2000  # events read at once
TURN = 1.0  # seconds to wait for a nudge
GATHER = 0.1  # seconds in which nudges are gathered, so that a burst is read in one go
LOOK = 30.0  # seconds between two looks at all rooms, ...
SHARE = 50  # ... and this many times as long as a look takes
REST = 10.0  # seconds after something went wrong


def main(settings: Settings, lifeline: int) -> None:
    """Index until SIGTERM, or until the other end of the pipe `lifeline` closes because the
    supervisor died."""
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    os.nice(10)
    said = ""
    while True:
        try:
            _run(settings)
        except (sqlite3.Error, OSError, RedisError) as error:
            if str(error) != said:
                said = str(error)
                log.warning("messages cannot be indexed for the search: %s", error)
        time.sleep(REST)


def _run(settings: Settings) -> None:
    settings.data.mkdir(parents=True, exist_ok=True)
    index = Index(settings.data)
    try:
        with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
            Indexer(index, client).run()
    finally:
        index.close()


def _die_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(0)


class Indexer:
    """`client` is a synchronous Redis client."""

    def __init__(self, index: Index, client: Any) -> None:
        self.index = index
        self.written = Written(client)
        self.rooms = Retention(client, None, None)
        self.listener = client.pubsub()
        self.due = 0.0  # when all rooms are to be looked at

    def run(self) -> None:
        """Follow all rooms for good; raises what goes wrong."""
        self.listener.psubscribe(keys.room_channel("*"))
        try:
            while True:
                for rid in self._hear():
                    self.follow(rid)
                if time.monotonic() >= self.due:
                    began = time.monotonic()
                    self.look()
                    now = time.monotonic()
                    self.due = now + max(LOOK, SHARE * (now - began))
        finally:
            self.listener.close()

    def _hear(self) -> set[str]:
        """The rooms in which something was said."""
        said: set[str] = set()
        end, message = 0.0, self.listener.get_message(timeout=min(TURN, self._until_due()))
        while message:
            end = end or time.monotonic() + GATHER
            if message["type"] == "psubscribe":
                self.due = 0.0  # the link was cut, or is new: what was said before was not heard
            elif not message["data"].startswith("~"):
                said.add(message["channel"].rpartition(":")[2])
            message = self.listener.get_message(timeout=max(0.0, end - time.monotonic()))
        return said

    def _until_due(self) -> float:
        return max(0.0, self.due - time.monotonic())

    def look(self) -> None:
        """Bring every room up to date, and let go those that are no more."""
        gone, cursor = set(self.index.rooms()), 0
        while True:
            cursor, rids = self.rooms.some_rooms(cursor)
            for rid, now in self.written.newest(rids).items():
                gone.discard(rid)
                here = self.index.cursor(rid)
                if here is None or now != (here.epoch, here.seq, here.first):
                    self.follow(rid)
            if not cursor:
                break
        for rid in gone:
            self.follow(rid)

    def follow(self, rid: str) -> None:
        """Bring one room up to date."""
        while self._step(rid):
            pass

    def _step(self, rid: str) -> bool:
        """Take in some events; False when there are no more."""
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
                self.index.take(rid, since.events, upto)
            return len(since.events) == PAGE
