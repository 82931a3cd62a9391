"""The index of what was written: which messages hold which words, in SQLite (FTS5).

It is derived, one for each host, in the data folder: chat.search.indexer makes it from the rooms'
streams and keeps it up to date, every process reads it. What it says is only where to look: whether
the asker may read a message, and what it says now, is asked of the rooms (chat.services.search).

A message's id is made of the room's number here and its own number, so that a room is a range of
ids in the order of time, and the newest ones of it are found without looking at the others.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..domain.events import DELETE, EDIT, POST, Event
from .query import Phrase
from .tokenizer import words

NAME = "search.sqlite"  # in the data folder
FORM = 2  # of the tables; an index of another form is made anew
BUSY = 10.0  # seconds to wait for who writes
READERS = 0.2  # seconds to wait for who reads, when the log is to be emptied
MERGED = 500  # pages of words that are merged at once
LONGEST = 2.0  # seconds that one question may take
RARE = 2000  # messages with the words in all rooms that are looked through at once
MANY = 20  # rooms from which on that is tried: in each of them costs
ROOM = 32  # bits of a message's id that are its number in the room

# prefix: the beginnings of words of these lengths are kept too, for what is still being typed.
_TABLES = f"""
CREATE TABLE room (
  no INTEGER PRIMARY KEY, rid TEXT UNIQUE NOT NULL, epoch TEXT NOT NULL,
  cursor INTEGER NOT NULL, at INTEGER NOT NULL, first INTEGER NOT NULL
);
CREATE TABLE author (no INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL);
CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE INDEX message_at ON message (room, at);
CREATE VIRTUAL TABLE words USING fts5 (author, text, files, tokenize='ascii', prefix='2 3 4');
PRAGMA user_version = {FORM};
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
    """There is no index (yet)."""


class TooSlow(Exception):
    """It took longer than LONGEST."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a room is in the index: the number of the last event, its time in ms, and the
    oldest number that was kept."""

    epoch: str = ""
    seq: int = 0
    at: int = 0
    first: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a message is. Places are in the order of time (ms), on every host the same."""

    at: int
    rid: str
    seq: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: the ids of authors (none: anyone), from the time `since` on (ms) and
    older than `until` (ms; 0: whenever) and than the place `older`."""

    phrases: tuple[Phrase, ...] = ()
    authors: tuple[str, ...] = ()
    since: int = 0
    until: int = 0
    older: Place | None = None


class Index:
    """Writes it. `folder` is there. Raises sqlite3.Error and OSError. One that is damaged or of
    another form is thrown away."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            self.db = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # no place to write, or locked
                raise
            self._throw_away()
            self.db = self._open()
        self._authors: dict[str, int] = {}
        self._in_log = True  # something was removed that the log may have yet, ...
        self._in_words = not self._removes_words  # ... or the words
        self._merging = False

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        form = db.execute("PRAGMA user_version").fetchone()[0]
        if form == FORM:
            self._removes_words = _set_secure_delete(db)
            return db
        if form:
            db.close()
            self._throw_away()
            return self._open()
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        self._removes_words = _set_secure_delete(db)
        return db

    def _throw_away(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        self.db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What is written within is written as a whole, or not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._authors.clear()
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def purge_log(self) -> bool:
        """Empty the log where it may have something that was removed. False while somebody reads,
        and it has to be tried again."""
        if not self._in_log:
            return True
        self.db.execute(f"PRAGMA busy_timeout = {int(READERS * 1000)}")
        busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.db.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")
        self._in_log = bool(busy)
        return not busy

    def purge_words(self) -> bool:
        """Merge some of the words, so that those of what was removed go: SQLite before 3.42 only
        notes that they went (https://sqlite.org/fts5.html#the_merge_command). False where there is
        more to be done."""
        if not self._in_words:
            return True
        before, pages = self.db.total_changes, MERGED if self._merging else -MERGED
        self.db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
        self._in_log = True
        self._merging = self.db.total_changes - before >= 2
        self._in_words = self._merging
        return not self._in_words

    def _note_removal(self) -> None:
        self._in_log = True
        self._in_words, self._merging = not self._removes_words, False

    def cursor(self, rid: str) -> Cursor | None:
        """How far a room is here; None when it is not."""
        row = self.db.execute(
            "SELECT epoch, cursor, at, first FROM room WHERE rid = ?", (rid,)
        ).fetchone()
        return Cursor(*row) if row else None

    def rooms(self) -> list[str]:
        """The ids of the rooms that are here."""
        return [rid for (rid,) in self.db.execute("SELECT rid FROM room")]

    def take(self, rid: str, events: Iterable[Event], cursor: Cursor) -> None:
        """Take in events of a room that follow what is here, with the bodies of messages as they
        are now; the room is then at `cursor`."""
        room = self._room(rid, cursor)
        for event in events:
            if event.kind == POST:
                self._put(room, event)
            elif event.kind == EDIT:
                told = _words(event.body), room << ROOM | event.number
                self.db.execute("UPDATE words SET text = ? WHERE rowid = ?", told)
                self._note_removal()
            elif event.kind == DELETE:
                self._remove(room << ROOM | event.number)
        self.db.execute(
            "UPDATE room SET epoch = ?, cursor = ?, at = ? WHERE no = ?",
            (cursor.epoch, cursor.seq, cursor.at, room),
        )

    def trim(self, rid: str, first: int) -> None:
        """Let go what is older than number `first` of a room."""
        for (room,) in self.db.execute("SELECT no FROM room WHERE rid = ?", (rid,)).fetchall():
            self._remove_range(room << ROOM, (room << ROOM) + first - 1)
            self.db.execute("UPDATE room SET first = ? WHERE no = ?", (first, room))

    def forget(self, rid: str) -> None:
        """Let go a room."""
        for (room,) in self.db.execute("SELECT no FROM room WHERE rid = ?", (rid,)).fetchall():
            self._remove_range(room << ROOM, (room + 1 << ROOM) - 1)
            self.db.execute("DELETE FROM room WHERE no = ?", (room,))

    def _room(self, rid: str, cursor: Cursor) -> int:
        self.db.execute(
            "INSERT OR IGNORE INTO room (rid, epoch, cursor, at, first) VALUES (?, ?, 0, 0, ?)",
            (rid, cursor.epoch, cursor.first),
        )
        row = self.db.execute("SELECT no FROM room WHERE rid = ?", (rid,)).fetchone()
        return int(row[0])

    def _author(self, uid: str) -> int:
        if uid not in self._authors:
            self.db.execute("INSERT OR IGNORE INTO author (uid) VALUES (?)", (uid,))
            row = self.db.execute("SELECT no FROM author WHERE uid = ?", (uid,)).fetchone()
            self._authors[uid] = int(row[0])
        return self._authors[uid]

    def _put(self, room: int, event: Event) -> None:
        number, author = room << ROOM | event.seq, _name(self._author(event.uid))
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

    def _remove_range(self, low: int, high: int) -> None:
        self.db.execute("DELETE FROM words WHERE rowid BETWEEN ? AND ?", (low, high))
        self.db.execute("DELETE FROM message WHERE id BETWEEN ? AND ?", (low, high))
        self._note_removal()


def _set_secure_delete(db: sqlite3.Connection) -> bool:
    """Have the words of what is deleted go at once; False where SQLite is older than 3.42 and
    does not know how."""
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
) -> tuple[list[Place], dict[str, int]]:
    """The newest `limit` places of what is wanted in these rooms (id and time of the last
    message, in ms), the newest first; and the number up to which each of the rooms is in the index.
    Raises Unready and TooSlow. It blocks."""
    db = _reader(folder)
    try:
        marks = ",".join("?" * len(rooms))
        rows = db.execute(
            f"SELECT rid, no, cursor FROM room WHERE rid IN ({marks})", [rid for rid, _ in rooms]
        ).fetchall()
        numbers = {rid: no for rid, no, _ in rows}
        newest_first = sorted(rooms, key=lambda room: -room[1])
        there = [(rid, numbers[rid], at) for rid, at in newest_first if rid in numbers]
        return _find(db, wanted, there, limit), {rid: cursor for rid, _, cursor in rows}
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TooSlow from None
        raise Unready(str(error)) from error
    except sqlite3.Error as error:
        raise Unready(str(error)) from error
    finally:
        db.close()


def _reader(folder: Path) -> sqlite3.Connection:
    try:
        # Not mode=ro, which cannot open a database whose writer has gone.
        path = f"{(folder / NAME).absolute().as_uri()}?mode=rw"
        db = sqlite3.connect(path, uri=True, timeout=1)
    except sqlite3.Error as error:
        raise Unready(str(error)) from error
    end = time.monotonic() + LONGEST
    db.set_progress_handler(lambda: time.monotonic() > end, 20_000)
    return db


def _find(
    db: sqlite3.Connection, wanted: Wanted, rooms: list[tuple[str, int, int]], limit: int
) -> list[Place]:
    match = _match(db, wanted)
    found: list[Place] = []
    if match is None:
        return found
    rare = _rare(db, match) if match and len(rooms) > MANY else None
    for rid, room, newest in rooms:
        if len(found) >= limit and newest < found[-1].at:
            break  # nor can any room after this one have something newer
        if rare is not None and room not in rare:
            continue
        low, high = _range(db, wanted, rid, room)
        if rare is not None:
            rows = [(number, at) for number, at in rare[room] if low <= number <= high]
        else:
            told = {"match": match, "low": low, "high": high, "limit": limit}
            rows = db.execute(_FIND if match else _LIST, told).fetchall()
        some = [Place(at, rid, number & (1 << ROOM) - 1) for number, at in rows]
        found = sorted([*found, *some], reverse=True)[:limit]
    return found


def _rare(db: sqlite3.Connection, match: str) -> dict[int, list[tuple[int, int]]] | None:
    """All that matches, as (id, time) by room; None where that is much, of which the newest of one
    room after the other is found sooner."""
    rows = db.execute(_FEW, (match, RARE + 1)).fetchall()
    if len(rows) > RARE:
        return None
    found: dict[int, list[tuple[int, int]]] = {}
    for number, at in rows:
        found.setdefault(number >> ROOM, []).append((number, at))
    return found


def _range(db: sqlite3.Connection, wanted: Wanted, rid: str, room: int) -> tuple[int, int]:
    """The first and the last id in a room that are of the time that is wanted."""
    low, high = room << ROOM, (room + 1 << ROOM) - 1
    if wanted.since:
        low = _edge(db, ">= ? ORDER BY at, id", room, wanted.since, high + 1)
    last = wanted.until - 1 if wanted.until else 0
    if older := wanted.older:
        before = older.at - (rid > older.rid)
        last = min(last or before, before)
        if rid == older.rid:
            high = (room << ROOM | older.seq) - 1
    if last:
        high = min(high, _edge(db, "<= ? ORDER BY at DESC, id DESC", room, last, low - 1))
    return low, high


def _edge(db: sqlite3.Connection, what: str, room: int, at: int, none: int) -> int:
    question = f"SELECT id FROM message WHERE room = ? AND at {what} LIMIT 1"
    row = db.execute(question, (room, at)).fetchone()
    return int(row[0]) if row else none


def _match(db: sqlite3.Connection, wanted: Wanted) -> str | None:
    """What FTS5 is asked, "" for everything; None when nothing can be found. Words hold nothing
    that means anything to it but letters and digits, and stand in quotes besides."""
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
    """An author as a word that no text has."""
    return f"\u00b7{author:x}"
