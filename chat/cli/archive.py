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

from ..domain.events import Event
from ..media.attachments import Files
from ..media.avatars import Pictures
from ..store.exporter import Record
from ..store.import_rules import check_id
from ..store.importer import Load

FORMAT, VERSION = "chat archive", 1
SCHEMA = 1  # the form of the records; that of the database changes without it
_GZIP = b"\x1f\x8b"
MAX_LINE_BYTES = 16 * 2**20  # of a record that is no file of a message
MAX_PIECES = 1_000_000  # commas and brackets of a record: each may become an object in memory
MAX_RATIO = 250  # bytes that come out of one byte of a packed file, ...
FREE_BYTES = 16 * 2**20  # ... as soon as so many have come
MAX_PICTURE_BYTES = 2**20
_BASE64 = 4 / 3  # characters for a byte
_FILE_LINE = b'{"is":"file",'


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


def read(path: Path, max_file_bytes: int) -> tuple[dict[str, Any], Iterator[Record]]:
    """The first line and the records of a file, in which a file of a message has so many bytes at
    most. A file takes no more memory than its longest record may. Raises OSError and BadArchive,
    the latter also while records are taken."""
    lines = _lines(path, max(MAX_LINE_BYTES, int(max_file_bytes * _BASE64) + 1000))
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


def _lines(path: Path, longest: int) -> Iterator[Record]:
    with open(path, "rb") as raw:
        is_packed = raw.read(2) == _GZIP
        raw.seek(0)
        file: Any = gzip.GzipFile(fileobj=raw) if is_packed else raw
        try:
            count = unpacked = 0
            while line := file.readline(longest + 1):
                count += 1
                unpacked += len(line)
                if unpacked > FREE_BYTES and unpacked > MAX_RATIO * raw.tell():
                    raise BadArchive(f"more than {MAX_RATIO} bytes come out of each of its bytes")
                yield _record(line, count, longest)
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise BadArchive(f"the file is damaged or ends in the middle: {error}") from None


def _record(line: bytes, number: int, longest: int) -> Record:
    """What stands in a line; raises BadArchive and ValueError."""
    most = longest if line.startswith(_FILE_LINE) else MAX_LINE_BYTES
    pieces = sum(line.count(sign) for sign in (b",", b"[", b"{"))
    if len(line) > most or pieces > MAX_PIECES:
        raise BadArchive(f"line {number} is longer than any of chat export")
    try:
        record = json.loads(line, parse_constant=_no_number)
    except RecursionError:
        raise BadArchive(f"line {number} is deeper than any of chat export") from None
    if not isinstance(record, dict):
        raise BadArchive(f"line {number} is no record")
    return record


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


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


def take_file(record: Record, load: Load, files: Files) -> None:
    """Keep a file that is not here. Those of a room that is left alone are swept later."""
    if record["is"] == "file" and load.takes_file(record):
        where = check_id(record["room"]), check_id(record["id"]), bool(record["small"])
        if files.content(*where) is None:
            content = b64decode(record["content"], validate=True)
            files.put(where[0], where[1], content, where[2])


def take_picture(record: Record, load: Load, pictures: Pictures) -> None:
    """Keep the picture of a person who is to have that one and has none. Raises ValueError for
    what is no WebP."""
    if record["is"] != "person" or not record.get("image") or not load.takes_picture(record):
        return
    person = load.people.get(record["id"])
    is_theirs = person and person.picture == record["fields"].get("picture")
    if person and is_theirs and pictures.get(person.uid) is None:
        image = b64decode(record["image"], validate=True)
        if len(image) > MAX_PICTURE_BYTES or (image[:4], image[8:12]) != (b"RIFF", b"WEBP"):
            raise ValueError("a picture that is no WebP")
        pictures.put(person.uid, image)
