"""The file that `chat export` writes: JSON Lines, gzip when its name ends with .gz.

The first line describes the file: {"format": "chat archive", "version": 1, "made": a time,
"schema": the form of the records, "whole": whether it has all people and rooms, "secrets": whether
it has passwords, sessions and tokens}. The records of the exporter follow, with pictures as base64
in those of people. The last line is {"is": "end"} with the number of records; without it the file
is incomplete. See docs/data.md.
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
from ..store.importer import Importer

FORMAT, VERSION = "chat archive", 1
SCHEMA = 1  # of the records; the form of the database changes independently
_GZIP = b"\x1f\x8b"
MAX_LINE_BYTES = 16 * 2**20  # of a record, except files of messages
MAX_SEPARATORS = 1_000_000  # commas and brackets of a record: each may become an object
MAX_RATIO = 250  # uncompressed bytes for each compressed byte, ...
MIN_CHECKED_BYTES = 16 * 2**20  # ... once this many are uncompressed
MAX_PICTURE_BYTES = 2**20
_BASE64_CHARS_PER_BYTE = 4 / 3
_FILE_LINE = b'{"is":"file",'


class BadArchive(Exception):
    """The file cannot be used. The text is one line for the operator."""


def write(path: Path, records: Iterable[Record], whole: bool, secrets: bool) -> int:
    """Write a file completely or not at all; returns the number of records. Raises OSError."""
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    header = {"format": FORMAT, "version": VERSION, "made": created, "schema": SCHEMA}
    count = 0
    with private_file(path) as raw, _packed(raw, path) as file:
        _put(file, {**header, "whole": whole, "secrets": secrets})
        for count, record in enumerate(records, 1):  # noqa: B007
            _put(file, record)
        _put(file, {"is": "end", "records": count})
    return count


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that only its owner can read (0600). It gets its name when everything is
    written."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".chat-")
    try:
        with open(descriptor, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path: Path, max_file_bytes: int) -> tuple[dict[str, Any], Iterator[Record]]:
    """The first line and the records of an archive. `max_file_bytes` limits the files of messages
    in it. Reading takes no more memory than the longest record may have. Raises OSError and
    BadArchive, the latter also while the records are iterated."""
    lines = _lines(path, max(MAX_LINE_BYTES, int(max_file_bytes * _BASE64_CHARS_PER_BYTE) + 1000))
    header = next(lines, {})
    if header.get("format") != FORMAT:
        raise BadArchive("this file was not made by chat export")
    if header.get("version") != VERSION or header.get("schema") != SCHEMA:
        raise BadArchive("this file was made by another version of the chat")
    return header, _records(lines)


def _records(lines: Iterator[Record]) -> Iterator[Record]:
    for n, record in enumerate(lines):
        if record.get("is") == "end":
            if record.get("records") != n or next(lines, None) is not None:
                raise BadArchive("a part of the file is missing")
            return
        yield record
    raise BadArchive("the file is incomplete; everything up to its end was imported")


def _lines(path: Path, max_bytes: int) -> Iterator[Record]:
    with open(path, "rb") as raw:
        is_packed = raw.read(2) == _GZIP
        raw.seek(0)
        file: Any = gzip.GzipFile(fileobj=raw) if is_packed else raw
        try:
            count = unpacked = 0
            while line := file.readline(max_bytes + 1):
                count += 1
                unpacked += len(line)
                if unpacked > MIN_CHECKED_BYTES and unpacked > MAX_RATIO * raw.tell():
                    raise BadArchive(f"it unpacks to more than {MAX_RATIO} times its size")
                yield _record(line, count, max_bytes)
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise BadArchive(f"the file is damaged or incomplete: {error}") from None


def _record(line: bytes, number: int, max_bytes: int) -> Record:
    """The record in a line. Raises BadArchive and ValueError."""
    limit = max_bytes if line.startswith(_FILE_LINE) else MAX_LINE_BYTES
    separators = sum(line.count(sign) for sign in (b",", b"[", b"{"))
    if len(line) > limit or separators > MAX_SEPARATORS:
        raise BadArchive(f"line {number} is longer than chat export writes")
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadArchive(f"line {number} is nested deeper than chat export writes") from None
    if not isinstance(record, dict):
        raise BadArchive(f"line {number} is not a record")
    return record


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a valid JSON number")


def _packed(file: IO[bytes], path: Path) -> Any:
    return gzip.open(file, "wb") if path.suffix == ".gz" else nullcontext(file)


def _put(file: IO[bytes], record: Record) -> None:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    file.write(text.encode() + b"\n")


# Pictures and files, which are not in the database


def with_pictures(records: Iterable[Record], pictures: Pictures) -> Iterator[Record]:
    """The records, with people's pictures."""
    for record in records:
        has_one = record["is"] == "person" and record["fields"].get("picture")
        image = pictures.get(record["id"]) if has_one else None
        yield {**record, "image": b64encode(image).decode()} if image else record


def with_files(records: Iterable[Record], files: Files) -> Iterator[Record]:
    """The records, with the files of each message after it."""
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
            record = {"is": "file", "room": rid, "id": fid, "small": small}
            yield {**record, "content": b64encode(content).decode()}


def take_file(record: Record, load: Importer, files: Files) -> None:
    """Store a file that is missing here. Files of a room that is not imported are deleted later."""
    if record["is"] == "file" and load.takes_file(record):
        rid, fid, small = check_id(record["room"]), check_id(record["id"]), bool(record["small"])
        if files.content(rid, fid, small) is None:
            files.put(rid, fid, b64decode(record["content"], validate=True), small)


def take_picture(record: Record, load: Importer, pictures: Pictures) -> None:
    """Store the picture of a person who should have it and has none. Raises ValueError unless it
    is a WebP."""
    if record["is"] != "person" or not record.get("image") or not load.takes_picture(record):
        return
    person = load.people.get(record["id"])
    is_theirs = person and person.picture == record["fields"].get("picture")
    if person and is_theirs and pictures.get(person.uid) is None:
        image = b64decode(record["image"], validate=True)
        if len(image) > MAX_PICTURE_BYTES or (image[:4], image[8:12]) != (b"RIFF", b"WEBP"):
            raise ValueError("a picture that is not a WebP")
        pictures.put(person.uid, image)
