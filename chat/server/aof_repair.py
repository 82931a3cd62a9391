"""Valkey's append-only file after the disk was full: what Valkey leaves in it and cannot read.

When there is room for a part of a write only, Valkey takes that part back (ftruncate) and writes
all of it later. A file that it has begun since its start is not open for appending, so it goes on
behind the part that it took back: where that was are zeros, and the next start ends with "Bad file
format". What stands before and behind them is whole. (Seen in Valkey 9.1.2, src/aof.c.)
"""

import logging
import mmap
import os
import re
from pathlib import Path

log = logging.getLogger(__name__)

_ZEROS = re.compile(rb"\0+")
_HEAD = re.compile(rb"[*$](\d+)\r\n")
_NOTE = re.compile(rb"#[^\n]*\n")


def mend(folder: Path) -> None:
    """Take the holes out of the files of commands in `folder` (Valkey's appenddirname), on which no
    server is running. Everything else stays as it is."""
    for path in folder.glob("*.incr.aof"):
        if path.stat().st_size:
            _mend(path)


def _mend(path: Path) -> None:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Most files have none, and are read by Valkey in a moment anyway.
        holes = _holes(data) if data[0] == 0 or data.find(b"\n\0") > 0 else []
        if not holes:
            return
        part = path.with_name(f"{path.name}.mended")
        with open(part, "wb") as whole, memoryview(data) as view:
            begin = 0
            for start, end in [*holes, (len(data), 0)]:
                whole.write(view[begin:start])
                begin = end
            whole.flush()
            os.fsync(whole.fileno())
    part.replace(path)
    log.warning("%s had holes (%d), as a full disk leaves them; they are closed", path, len(holes))


def _holes(data: mmap.mmap) -> list[tuple[int, int]]:
    """Where zeros stand in the place of a command. Reading ends where it makes no sense: that is
    for Valkey to say."""
    holes, at = [], 0
    while at < len(data):
        if zeros := _ZEROS.match(data, at):
            holes.append(zeros.span())
            at = zeros.end()
        elif note := _NOTE.match(data, at):
            at = note.end()
        else:
            at = _after(data, at)
    return holes


def _after(data: mmap.mmap, at: int) -> int:
    """Where the command that begins here ends: a number of words, each behind its length."""
    head = _HEAD.match(data, at)
    if head is None:
        return len(data)
    at = head.end()
    for _ in range(int(head[1])):
        word = _HEAD.match(data, at)
        if word is None:
            return len(data)
        at = word.end() + int(word[1]) + 2
    return at
