"""The search index: which messages contain which words, in SQLite (FTS5).

Each host has one, in its data folder. One process (chat.search.indexer) builds it from the rooms'
streams and keeps it up to date, and all processes read it. The index only says where to look.
Whether the person may read a message, and what its text is now, is decided by the rooms
(chat.services.search).

The id of a message consists of the number of its room in this index and its own number. So a room
is a range of ids in the order of time, and its newest messages are found without reading others.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.events import DELETE, EDIT, POST, Event, Position
from .query import Phrase
from .tokenizer import words

INDEX_FILE = "search.sqlite"  # in the data folder
SCHEMA_VERSION = 2  # of the tables; an index of another version is built again
WRITER_WAIT_SECONDS = 10.0  # for another process that writes
READER_WAIT_SECONDS = 0.2  # for processes that read, when the write-ahead log is to be emptied
MERGED_PAGES = 500  # that one step of a merge writes
MAX_SEARCH_SECONDS = 2.0  # for one query
MAX_RARE_MATCHES = 2000  # in all rooms together, up to which all are read at once
MANY_ROOMS = 20  # above which all matches are read at once if they are rare
SEQ_BITS = 32  # of a message's id, for its number in the room

# `prefix`: the index also has the beginnings of words, for a word that is still being typed.
_TABLES = f"""
CREATE TABLE room (
  no INTEGER PRIMARY KEY, rid TEXT UNIQUE NOT NULL, epoch TEXT NOT NULL,
  cursor INTEGER NOT NULL, at INTEGER NOT NULL, first INTEGER NOT NULL
);
CREATE TABLE author (no INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL);
CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE INDEX message_at ON message (room, at);
CREATE VIRTUAL TABLE words USING fts5 (author, text, files, tokenize='ascii', prefix='2 3 4');
PRAGMA user_version = {SCHEMA_VERSION};
"""

_FIND = """
SELECT words.rowid, message.at FROM words CROSS JOIN message ON message.id = words.rowid
WHERE words MATCH :match AND words.rowid BETWEEN :low AND :high
ORDER BY words.rowid DESC LIMIT :limit
"""
_FEW = """
SELECT words.rowid, message.at FROM words CROSS JOIN message ON message.id = words.rowid
WHERE words MATCH ? LIMIT ?
"""
_LIST = """
SELECT id, at FROM message WHERE id BETWEEN :low AND :high ORDER BY id DESC LIMIT :limit
"""


class Unready(Exception):
    """There is no index yet."""


class TooSlow(Exception):
    """The query took longer than MAX_SEARCH_SECONDS."""


@dataclass(frozen=True, slots=True)
class IndexCursor:
    """How far a room is indexed: the number of the last event, its time in ms, and the oldest
    number that the room still had."""

    epoch: str = ""
    seq: int = 0
    at: int = 0
    first: int = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query: phrases, and the ids of authors (none: anyone). Messages are from `since` or later,
    from before `until` (0: no limit), and older than the place `older`. Times are in ms."""

    phrases: tuple[Phrase, ...] = ()
    authors: tuple[str, ...] = ()
    since: int = 0
    until: int = 0
    older: Position | None = None


class Index:
    """Writes the index. `folder` exists. An index that is damaged or of another version is deleted
    and built again. Raises sqlite3.Error and OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / INDEX_FILE
        try:
            self.db = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk is full, or it is locked
                raise
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            self.db = self._open()
        self._authors: dict[str, int] = {}
        self._in_log = True  # the write-ahead log may still have what was deleted, ...
        self._in_words = not self._removes_words  # ... and so may the words
        self._merging = False

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=WRITER_WAIT_SECONDS, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # overwrites deleted data
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            db.close()
            raise sqlite3.DatabaseError(f"the index has version {version}")
        if not version:
            db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        self._removes_words = _set_secure_delete(db)
        return db

    def close(self) -> None:
        self.db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: everything that is written in it is stored, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._authors.clear()
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def purge_log(self) -> bool:
        """Empty the write-ahead log if it may have something that was deleted. False while another
        process reads: try again."""
        if not self._in_log:
            return True
        self.db.execute(f"PRAGMA busy_timeout = {int(READER_WAIT_SECONDS * 1000)}")
        busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.db.execute(f"PRAGMA busy_timeout = {int(WRITER_WAIT_SECONDS * 1000)}")
        self._in_log = bool(busy)
        return not busy

    def purge_words(self) -> bool:
        """Merge some of the words, which removes those of deleted messages: before version 3.42,
        SQLite only marks them as deleted (https://sqlite.org/fts5.html#the_merge_command). False
        if there is more to do."""
        if not self._in_words:
            return True
        before, pages = self.db.total_changes, MERGED_PAGES if self._merging else -MERGED_PAGES
        self.db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
        self._in_log = True
        self._merging = self.db.total_changes - before >= 2
        self._in_words = self._merging
        return not self._in_words

    def _note_removal(self) -> None:
        self._in_log = True
        self._in_words, self._merging = not self._removes_words, False

    def cursor(self, rid: str) -> IndexCursor | None:
        """Return how far a room is indexed, None if it is not."""
        row = self._row("SELECT epoch, cursor, at, first FROM room WHERE rid = ?", rid)
        return IndexCursor(*row) if row else None

    def rooms(self) -> list[str]:
        """The ids of the rooms in the index."""
        return [rid for (rid,) in self.db.execute("SELECT rid FROM room")]

    def take(self, rid: str, events: Iterable[Event], cursor: IndexCursor) -> None:
        """Add events of a room that follow the indexed ones, with the bodies that messages have
        now. The room is indexed up to `cursor` then."""
        room = self._room(rid, cursor)
        for event in events:
            if event.kind == POST:
                self._put(room, event)
            elif event.kind == EDIT:
                changed = _words(event.body), room << SEQ_BITS | event.number
                self.db.execute("UPDATE words SET text = ? WHERE rowid = ?", changed)
                self._note_removal()
            elif event.kind == DELETE:
                self._remove(room << SEQ_BITS | event.number)
        self.db.execute(
            "UPDATE room SET epoch = ?, cursor = ?, at = ? WHERE no = ?",
            (cursor.epoch, cursor.seq, cursor.at, room),
        )

    def trim(self, rid: str, first: int) -> None:
        """Remove the events of a room that are older than number `first`."""
        if row := self._row("SELECT no FROM room WHERE rid = ?", rid):
            ids = row[0] << SEQ_BITS, (row[0] << SEQ_BITS) + first - 1
            self.db.execute("DELETE FROM words WHERE rowid BETWEEN ? AND ?", ids)
            self.db.execute("DELETE FROM message WHERE id BETWEEN ? AND ?", ids)
            self.db.execute("UPDATE room SET first = ? WHERE no = ?", (first, row[0]))
            self._note_removal()

    def forget(self, rid: str) -> None:
        """Remove a room."""
        self.trim(rid, 1 << SEQ_BITS)
        self.db.execute("DELETE FROM room WHERE rid = ?", (rid,))

    def _row(self, query: str, value: str) -> Any:
        """The first row, or None."""
        return self.db.execute(query, (value,)).fetchone()

    def _room(self, rid: str, cursor: IndexCursor) -> int:
        self.db.execute(
            "INSERT OR IGNORE INTO room (rid, epoch, cursor, at, first) VALUES (?, ?, 0, 0, ?)",
            (rid, cursor.epoch, cursor.first),
        )
        return int(self._row("SELECT no FROM room WHERE rid = ?", rid)[0])

    def _author(self, uid: str) -> int:
        if uid not in self._authors:
            self.db.execute("INSERT OR IGNORE INTO author (uid) VALUES (?)", (uid,))
            self._authors[uid] = self._row("SELECT no FROM author WHERE uid = ?", uid)[0]
        return self._authors[uid]

    def _put(self, room: int, event: Event) -> None:
        number, author = room << SEQ_BITS | event.seq, _name(self._author(event.uid))
        self._remove(number)
        self.db.execute(
            "INSERT INTO words (rowid, author, text, files) VALUES (?, ?, ?, ?)",
            (number, author, _words(event.body), _words("\n".join(f.name for f in event.files))),
        )
        self.db.execute("INSERT INTO message VALUES (?, ?, ?)", (number, room, event.at))

    def _remove(self, number: int) -> None:
        if self.db.execute("DELETE FROM message WHERE id = ?", (number,)).rowcount:
            self.db.execute("DELETE FROM words WHERE rowid = ?", (number,))
            self._note_removal()


def _set_secure_delete(db: sqlite3.Connection) -> bool:
    """Have the words of deleted messages removed at once; False for SQLite before 3.42, which
    cannot do that."""
    try:
        db.execute("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")
    except sqlite3.OperationalError:
        return False
    return True


def _words(text: str) -> str:
    return " ".join(word.text for word in words(text))


# Reading


def find(
    folder: Path, wanted: Wanted, rooms: Sequence[tuple[str, int]], limit: int
) -> tuple[list[Position], dict[str, int]]:
    """Return the newest `limit` matches in these rooms, newest first, and the number up to which
    each room is indexed. `rooms` has an id and the time of the last message (ms) for each room.
    Raises Unready and TooSlow. It blocks."""
    try:
        with contextlib.closing(_reader(folder)) as db:
            marks, rids = ",".join("?" * len(rooms)), [rid for rid, _ in rooms]
            query = f"SELECT rid, no, cursor FROM room WHERE rid IN ({marks})"
            rows = db.execute(query, rids).fetchall()
            numbers = {rid: no for rid, no, _ in rows}
            newest_first = sorted(rooms, key=lambda room: -room[1])
            there = [(rid, numbers[rid], at) for rid, at in newest_first if rid in numbers]
            return _find(db, wanted, there, limit), {rid: cursor for rid, _, cursor in rows}
    except sqlite3.Error as error:
        if "interrupted" in str(error):
            raise TooSlow from None
        raise Unready(str(error)) from error


def _reader(folder: Path) -> sqlite3.Connection:
    # Not mode=ro, which cannot open a database without a process that writes it.
    path = f"{(folder / INDEX_FILE).absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(path, uri=True, timeout=1)
    end = time.monotonic() + MAX_SEARCH_SECONDS
    db.set_progress_handler(lambda: time.monotonic() > end, 20_000)
    return db


def _find(
    db: sqlite3.Connection, wanted: Wanted, rooms: list[tuple[str, int, int]], limit: int
) -> list[Position]:
    match = _match(db, wanted)
    found: list[Position] = []
    if match is None:
        return found
    rare = _rare(db, match) if match and len(rooms) > MANY_ROOMS else None
    for rid, room, newest in rooms:
        if len(found) >= limit and newest < found[-1].at:
            break  # neither this room nor any after it has anything newer
        if rare is not None and room not in rare:
            continue
        low, high = _range(db, wanted, rid, room)
        if rare is not None:
            rows = [(number, at) for number, at in rare[room] if low <= number <= high]
        else:
            values = {"match": match, "low": low, "high": high, "limit": limit}
            rows = db.execute(_FIND if match else _LIST, values).fetchall()
        some = [Position(at, rid, number & (1 << SEQ_BITS) - 1) for number, at in rows]
        found = sorted([*found, *some], reverse=True)[:limit]
    return found


def _rare(db: sqlite3.Connection, match: str) -> dict[int, list[tuple[int, int]]] | None:
    """All matches, as (id, time) by room. None if there are many: then it is faster to read the
    newest ones of each room."""
    rows = db.execute(_FEW, (match, MAX_RARE_MATCHES + 1)).fetchall()
    if len(rows) > MAX_RARE_MATCHES:
        return None
    found: dict[int, list[tuple[int, int]]] = {}
    for number, at in rows:
        found.setdefault(number >> SEQ_BITS, []).append((number, at))
    return found


def _range(db: sqlite3.Connection, wanted: Wanted, rid: str, room: int) -> tuple[int, int]:
    """The first and the last id of a room within the wanted time."""
    low, high = room << SEQ_BITS, (room + 1 << SEQ_BITS) - 1
    if wanted.since:
        low = _edge(db, ">= ? ORDER BY at, id", room, wanted.since, high + 1)
    last = wanted.until - 1 if wanted.until else 0
    if older := wanted.older:
        before = older.at - (rid > older.rid)
        last = min(last or before, before)
        if rid == older.rid:
            high = (room << SEQ_BITS | older.seq) - 1
    if last:
        high = min(high, _edge(db, "<= ? ORDER BY at DESC, id DESC", room, last, low - 1))
    return low, high


def _edge(db: sqlite3.Connection, what: str, room: int, at: int, none: int) -> int:
    question = f"SELECT id FROM message WHERE room = ? AND at {what} LIMIT 1"
    row = db.execute(question, (room, at)).fetchone()
    return int(row[0]) if row else none


def _match(db: sqlite3.Connection, wanted: Wanted) -> str | None:
    """The query for FTS5, "" for all messages; None if there can be no match. Words consist of
    letters and digits and are quoted, so nothing in them is syntax for FTS5."""
    parts = []
    if wanted.authors:
        marks = ",".join("?" * len(wanted.authors))
        rows = db.execute(f"SELECT no FROM author WHERE uid IN ({marks})", wanted.authors)
        names = [f'"{_name(no)}"' for (no,) in rows]
        if not names:
            return None
        parts.append(f"author : ({' OR '.join(names)})")
    for phrase in wanted.phrases:
        quoted = " ".join(phrase.words).replace('"', "")
        parts.append(f'{{text files}} : "{quoted}"{" *" if phrase.open else ""}')
    return " AND ".join(parts)


def _name(author: int) -> str:
    """Return an author as a word that no text contains."""
    return f"\u00b7{author:x}"
