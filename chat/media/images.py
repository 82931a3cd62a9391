"""Converts images in child processes, which can be killed.

No decoder is safe against every file. One frees memory that it does not own, another uses a
gigabyte for a file of 40 KB, a third spends hours on a million frames. So the server never decodes
an image: each image gets its own process (chat.media.image_child), which

- has limits for memory, processor time, time and output (`ImageLimits`),
- can open no files and no sockets; it has only the image, a file for its answer and a pipe for the
  output of a crash,
- has an empty environment, its own session and a lower priority than the server, and is the first
  to be killed if memory is short,
- is not trusted: its answer is a line of JSON and bytes, and all of it is checked.

Processes are not reused, so nothing of one person's file can leak to the next, and there is no
state to get wrong. A process costs 50 ms of processor time (measured: 7 ms for Python without
`site`, 40 ms for Pillow; the chat itself would take 500 ms). A photo of 12 million pixels takes
500 ms. The largest image takes 350 MB as JPEG or PNG, 750 MB as WebP.

An image first gets a short time (`QUICK`; a photo takes a fifth of it). The few that take longer
start again in a pool of their own, with more time (`SLOW`). So people who send slow images wait for
each other, and delay everybody else by one short time each at most.

This is not a container. Somebody who makes a decoder run their code has the rights of the chat's
user, and may close one of the three descriptors and open a file instead. An up-to-date Pillow and a
host that runs nothing but the chat help against that.
"""

import asyncio
import contextlib
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import IO

from ..domain.errors import Busy, FilesAway
from ..runtime.executors import IMAGES, SLOW_IMAGES, Pool
from ..runtime.process_state import cpu_ticks, waits_for_disk
from . import image_protocol as protocol
from .image_protocol import ImageLimits, NotMade

log = logging.getLogger(__name__)

SLOW = ImageLimits()
QUICK = replace(SLOW, cpu_seconds=3, wall_seconds=10)
MAX_WAIT_SECONDS = 90  # for waiting and working in a pool, before Busy is raised
STUCK_SECONDS = 8.0  # without progress, after which a child is killed
POLL_SECONDS = 1.0  # between two checks for progress
MAX_CRASH_BYTES = 2000  # of a child's error output, in the log

# The child's path contains only the standard library, Pillow's folder and the chat's; environment
# variables do not change it. (-X: Python 3.15 would import some modules when it is too late.)
_START = "import sys; sys.path += sys.argv[1:3]; from chat.media.image_child import run; run()"
_PYTHON = (sys.executable, "-I", "-S", "-X", "lazy_imports=none", "-c", _START)
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # Python itself may be linked by these


@dataclass(frozen=True)
class Made:
    """A converted image. `content` is an open file at the image's first byte, which the caller must
    close. `small` is the preview."""

    type: str
    width: int
    height: int
    size: int  # bytes of `content`
    small: bytes
    content: IO[bytes]


async def make(task: str, sent: IO[bytes], by: str) -> Made:
    """Convert the image `sent` of person `by`. `task` is SQUARE or ATTACHMENT (image_protocol).
    People take turns, and each has one child at a time in each pool. Leaves `sent` at its
    beginning. Raises NotMade, Busy and FilesAway."""
    try:
        return await _try(IMAGES, Child(task, QUICK), sent, by)
    except NotMade as error:
        if error.reason != protocol.TIME:
            raise
    return await _try(SLOW_IMAGES, Child(task, SLOW), sent, by)


async def _try(pool: Pool, child: "Child", sent: IO[bytes], by: str) -> Made:
    try:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await pool.arun(by, child.run, sent)
    except TimeoutError:
        raise Busy from None
    finally:
        child.stop()


class Child:
    """One child process and its task. `run` blocks, `stop` may be called from any thread."""

    def __init__(self, task: str, limits: ImageLimits) -> None:
        self.task = task
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Kill the child. If it has not been started, it never will be."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def run(self, sent: IO[bytes]) -> Made:
        """Run the child until it ends, for at most `limits.wall_seconds`. Raises NotMade, Busy if
        the child cannot run, and FilesAway if there is no room for its answer."""
        try:
            with contextlib.ExitStack() as opened:
                answer = opened.enter_context(tempfile.TemporaryFile())
                with tempfile.TemporaryFile() as copy:
                    sent.seek(0)
                    shutil.copyfileobj(sent, copy)
                    sent.seek(0)
                    copy.seek(0)
                    said, status = self._run(copy, answer)
                made = _read(answer, self.limits)
                if made is None:
                    raise _failure(status, said)
                opened.pop_all()  # the caller closes it
                return made
        except OSError as error:
            raise FilesAway from error

    def _run(self, file: IO[bytes], answer: IO[bytes]) -> tuple[bytes, int | None]:
        """The child's error output, and its exit status; None if it took too long."""
        with self._start(file, answer) as process:
            assert process.stderr is not None
            work = Progress(process.pid)
            said, ended = _until_closed(process.stderr.fileno(), self.limits.wall_seconds, work)
            # Its process group includes everything that it has started.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        return said, status if ended else None

    def _start(self, file: IO[bytes], answer: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise Busy
            try:
                self._process = subprocess.Popen(
                    [*_PYTHON, *_folders(), self.task, self.limits.to_json()],
                    stdin=file,
                    stdout=answer,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env={name: os.environ[name] for name in _LIBRARIES if name in os.environ},
                    start_new_session=True,
                )
            except OSError as error:
                log.error("cannot start a process that decodes an image: %s", error)
                raise Busy from error
            return self._process


@cache
def _folders() -> tuple[str, str]:
    """Where the chat and Pillow are."""
    return str(Path(__file__).parents[2]), str(distribution("pillow").locate_file(""))


class Progress:
    """Whether a child makes progress: it uses processor time or waits for a disk."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ticks = cpu_ticks(pid)
        self._moved = time.monotonic()

    def is_stuck(self) -> bool:
        """True if the child has made no progress for STUCK_SECONDS."""
        ticks = cpu_ticks(self._pid)
        if ticks is None or ticks != self._ticks or waits_for_disk(self._pid):
            self._ticks, self._moved = ticks, time.monotonic()
        return time.monotonic() - self._moved > STUCK_SECONDS


def _until_closed(pipe: int, seconds: float, work: Progress) -> tuple[bytes, bool]:
    """Read until the other end is closed, for at most `seconds` and while there is progress.
    Returns the last MAX_CRASH_BYTES, and whether the pipe was closed."""
    deadline, said = time.monotonic() + seconds, b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(1000 * min(left, POLL_SECONDS)):
            if work.is_stuck():
                break
            continue
        piece = os.read(pipe, 4096)
        if not piece:
            return said, True
        said = (said + piece)[-MAX_CRASH_BYTES:]
    return said, False


def _read(answer: IO[bytes], limits: ImageLimits) -> Made | None:
    """The image that the child has made; None if it is missing or incomplete."""
    answer.seek(0)
    line = answer.readline(protocol.MAX_HEADER_BYTES)
    rest = os.fstat(answer.fileno()).st_size - len(line)
    header = protocol.parse_header(line, rest, limits)
    if header is None:
        return None
    small = answer.read(header.small)
    return Made(header.type, header.width, header.height, header.content, small, answer)


def _failure(status: int | None, said: bytes) -> Exception:
    """The error for a child that ended with this status and without an image."""
    if status is None or status in (-signal.SIGXCPU, -signal.SIGALRM):
        return NotMade(protocol.TIME)
    if status == -signal.SIGKILL:  # by the system, which had no memory left
        return NotMade(protocol.MEMORY)
    if status < 0:
        log.warning("the decoder of an image has crashed (signal %d): %r", -status, said)
        return NotMade(protocol.BROKEN)
    reason = protocol.REASONS.get(status)
    if reason is None:
        log.error("the process that decodes an image has failed (status %d): %r", status, said)
        return Busy()
    return FilesAway() if reason == protocol.FULL else NotMade(reason)
