"""The file that `chat export` writes: JSON Lines, gzip when its name ends with .gz.

The first line says what the file is: {"format": "chat archive", "version": 1, "made": a time,
"schema": the form of the records, "whole": all people and rooms, "secrets": with how people sign
in}. Then come the records of store.dump, pictures as base64 among those of people, and at last
{"is": "end"} with the number of records, without which the file was cut off. See docs/data.md.
"""

import gzip
import json
import os
import tempfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from .events import Event
from .files import Files
from .pictures import Pictures
from .store import Store
from .store.dump import Record
from .store.load import check_id

FORMAT, VERSION = "chat archive", 1
SCHEMA = 1  # the form of the records; that of the database changes without it
_GZIP = b"\x1f\x8b"


class BadArchive(Exception):
    """A file that cannot be used; the text is one line for a person."""


def write(path: Path, records: Iterable[Record], whole: bool, secrets: bool) -> int:
    """Write a file, all of it or nothing; returns how many records there are. Raises OSError."""
    made = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    header = {"format": FORMAT, "version": VERSION, "made": made, "schema": SCHEMA}
    count = 0
    with private_file(path) as raw, _packed(raw, path) as file:
        _put(file, {**header, "whole": whole, "secrets": secrets})
        for count, record in enumerate(records, 1):  # noqa: B007
            _put(file, record)
        _put(file, {"is": "end", "records": count})
    return count


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that only its owner may read (0600), there under its name when all is written."""
    number, made = tempfile.mkstemp(dir=path.parent, prefix=".chat-")
    try:
        with open(number, "wb") as file:
            yield file
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise


def read(path: Path) -> tuple[dict[str, Any], Iterator[Record]]:
    """The first line and the records of a file. Raises OSError and BadArchive, the latter also
    while records are taken."""
    with open(path, "rb") as file:
        is_packed = file.read(2) == _GZIP
    lines = _lines(gzip.open(path) if is_packed else open(path, "rb"))  # noqa: SIM115
    header = next(lines, {})
    if header.get("format") != FORMAT:
        raise BadArchive("this is no file of chat export")
    if header.get("version") != VERSION or header.get("schema") != SCHEMA:
        raise BadArchive("this file was made by a chat of another version")
    return header, _records(lines)


def _records(lines: Iterator[Record]) -> Iterator[Record]:
    for n, record in enumerate(lines):
        if record.get("is") == "end":
            if record.get("records") != n or next(lines, None) is not None:
                raise BadArchive("some of the file is missing")
            return
        yield record
    raise BadArchive("the file ends in the middle; what came before that is in")


def _lines(file: Any) -> Iterator[Record]:
    with file:
        try:
            for n, line in enumerate(file, 1):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise BadArchive(f"line {n} is no record")
                yield record
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise BadArchive(f"the file is damaged or ends in the middle: {error}") from None


def _packed(file: IO[bytes], path: Path) -> Any:
    return gzip.open(file, "wb") if path.suffix == ".gz" else nullcontext(file)


def _put(file: IO[bytes], record: Record) -> None:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    file.write(text.encode() + b"\n")


# Pictures stand beside the database


def with_pictures(records: Iterable[Record], pictures: Pictures) -> Iterator[Record]:
    """The records, with the pictures of people who have one."""
    for record in records:
        has_one = record["is"] == "person" and record["fields"].get("picture")
        image = pictures.get(record["id"]) if has_one else None
        yield {**record, "image": b64encode(image).decode()} if image else record


def with_files(records: Iterable[Record], files: Files) -> Iterator[Record]:
    """The records, with the files of each message behind it."""
    rid = ""
    for record in records:
        rid = record["id"] if record["is"] == "room" else rid
        yield record
        if record["is"] == "event":
            for file in Event.parse(rid, record["n"], 0, record["data"]).files:
                yield from _file(rid, file.fid, files)


def _file(rid: str, fid: str, files: Files) -> Iterator[Record]:
    for small in (False, True):
        content = files.content(rid, fid, small)
        if content is not None:
            told = {"is": "file", "room": rid, "id": fid, "small": small}
            yield {**told, "content": b64encode(content).decode()}


def take_file(record: Record, files: Files) -> None:
    """Keep a file that is not here. Those of a room that is left alone are swept later."""
    if record["is"] == "file":
        where = check_id(record["room"]), check_id(record["id"]), bool(record["small"])
        if files.content(*where) is None:
            files.put(where[0], where[1], b64decode(record["content"]), where[2])


def take_picture(record: Record, store: Store, pictures: Pictures) -> None:
    """Keep the picture of a person who is to have that one and has none."""
    person = store.people.get(record["id"]) if record.get("image") else None
    is_theirs = person and person.picture == record["fields"].get("picture")
    if person and is_theirs and pictures.get(person.uid) is None:
        pictures.put(person.uid, b64decode(record["image"]))
