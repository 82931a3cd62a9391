"""Repairs Valkey's append-only file (AOF) after the disk was full.

When only a part of a write fits on the disk, Valkey truncates the file to remove that part, and
writes everything later. It does not open a new AOF file for appending, so it continues at the old
position, behind the part that it removed. The gap is filled with zeros, and the next start fails
with "Bad file format". Everything before and after the gap is complete. (Valkey 9.1.2, src/aof.c.)
"""

import logging
import mmap
import os
import re
from pathlib import Path

log = logging.getLogger(__name__)

_ZEROS = re.compile(rb"\0+")
_LENGTH = re.compile(rb"[*$](\d+)\r\n")
_ANNOTATION = re.compile(rb"#[^\n]*\n")


def repair(folder: Path) -> None:
    """Remove gaps from the AOF files in `folder` (Valkey's appenddirname). No server may be running
    on it. Everything else stays as it is."""
    for path in folder.glob("*.incr.aof"):
        if path.stat().st_size:
            _repair_file(path)


def _repair_file(path: Path) -> None:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Most files have no gap. Searching them is cheap, as Valkey reads them in a moment anyway.
        gaps = _find_gaps(data) if data[0] == 0 or data.find(b"\n\0") > 0 else []
        if not gaps:
            return
        temporary = path.with_name(f"{path.name}.mended")
        with open(temporary, "wb") as repaired, memoryview(data) as view:
            begin = 0
            for start, end in [*gaps, (len(data), 0)]:
                repaired.write(view[begin:start])
                begin = end
            repaired.flush()
            os.fsync(repaired.fileno())
    temporary.replace(path)
    log.warning("Removed %d gaps, which a full disk leaves, from %s", len(gaps), path)


def _find_gaps(data: mmap.mmap) -> list[tuple[int, int]]:
    """Return the start and end of each run of zeros between commands. The search ends at the first
    thing that is not a command, which Valkey then reports."""
    gaps, at = [], 0
    while at < len(data):
        if zeros := _ZEROS.match(data, at):
            gaps.append(zeros.span())
            at = zeros.end()
        elif annotation := _ANNOTATION.match(data, at):
            at = annotation.end()
        else:
            at = _command_end(data, at)
    return gaps


def _command_end(data: mmap.mmap, at: int) -> int:
    """Return the end of the command at `at`: the number of its arguments, then each argument after
    its length. Returns the end of the data if there is no complete command."""
    count = _LENGTH.match(data, at)
    if count is None:
        return len(data)
    at = count.end()
    for _ in range(int(count[1])):
        length = _LENGTH.match(data, at)
        if length is None:
            return len(data)
        at = length.end() + int(length[1]) + 2
    return at
