"""Images are decoded and encoded in child processes, which can be killed.

No decoder withstands every file. One frees memory it does not own, another takes a gigabyte for a
file of 40 KB, a third is busy for hours with a million frames. So an image is never decoded in the
server: each one gets a process of its own (chat.media.image_child), which

- may use so much memory, processor time, time and output, and no more (`Limits`),
- can open nothing: no file, no socket; it has the image, a file for the answer, and a pipe for
  what a crash prints,
- has an empty environment, a session of its own, the lowest claim to the processor beside the
  server, and is the first to go where memory is short,
- is believed nothing: its answer is a line of JSON and bytes, all of them counted.

A process for each image, rather than some that are kept: nothing of one person's file can stay for
the next person's, and there is no state to get wrong. It costs 50 ms of one processor (measured:
7 ms Python without `site`, 40 ms Pillow; the chat itself would be 500 ms), where a photo of
12 million pixels takes 500 ms. The largest image takes 350 MB as JPEG or PNG, 750 MB as WebP.

An image gets a short time first (`QUICK`: a photo takes a fifth of it). The few that take longer
begin again among themselves, with all the time there is (`SLOW`). So those who send what takes long
wait for each other, and nobody waits for them longer than one short time each.

What this does not hold: it is no container. Somebody who makes a decoder run code of theirs is the
chat's user, may close one of the three descriptors and open a file in its place. Against that help
an up-to-date Pillow and a host that runs nothing but the chat.
"""

import asyncio
import contextlib
import importlib.util
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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..domain.errors import Busy, FilesAway
from ..runtime.executors import IMAGES, SLOW_IMAGES, Pool
from ..runtime.process_state import cpu_ticks, waits_for_disk
from .image_protocol import (
    BROKEN,
    FULL,
    MAX_HEADER_BYTES,
    MEMORY,
    REASONS,
    TIME,
    Header,
    Limits,
    NotMade,
    parse_header,
)

log = logging.getLogger(__name__)

SLOW = Limits()
QUICK = replace(SLOW, cpu_seconds=3, wall_seconds=10)
MAX_WAIT_SECONDS = 90  # for a turn in a pool, and the work there; then the chat is busy
STUCK_SECONDS = 8.0  # without processor time, after which a child is killed
POLL_SECONDS = 1.0  # between two checks of that
MAX_CRASH_BYTES = 2000  # of what a child prints, for the log

# Only the standard library, Pillow's folder and the chat's: neither the packages beside them nor
# what an environment variable names. (-X: Python 3.15 would import some modules when it is late.)
_START = "import sys; sys.path += sys.argv[1:3]; from chat.media.image_child import run; run()"
_PYTHON = (sys.executable, "-I", "-S", "-X", "lazy_imports=none", "-c", _START)
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # Python itself may be linked by these


@dataclass(frozen=True)
class Made:
    """An image. `content` is an open file that stands at the image's first byte and ends behind
    its last; whoever gets it closes it."""

    type: str
    width: int
    height: int
    size: int  # bytes of `content`
    small: bytes
    content: IO[bytes]


async def make(task: str, sent: IO[bytes], by: str) -> Made:
    """Decode and encode the file `sent` for person `by`: `task` is one of image_protocol. People
    take turns, and each has one child at a time in each pool. `sent` is at its beginning
    afterwards. Raises NotMade, Busy and FilesAway."""
    try:
        return await _try(IMAGES, Child(task, QUICK), sent, by)
    except NotMade as error:
        if error.reason != TIME:
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

    def __init__(self, task: str, limits: Limits) -> None:
        self.task = task
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Kill the child if it is there; one that has not been started never is."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def run(self, sent: IO[bytes]) -> Made:
        """Run the child to its end, or until it is over `limits.wall_seconds`. Raises NotMade,
        Busy when it does not run at all, FilesAway when there is no room for its answer."""
        try:
            with contextlib.ExitStack() as opened:
                answer = opened.enter_context(tempfile.TemporaryFile())
                with _as_file(sent) as file:
                    said, status = self._run(file, answer)
                made = _read(answer, self.limits)
                if made is None:
                    raise _failure(status, said)
                opened.pop_all()  # the caller closes it
                return made
        except OSError as error:
            raise FilesAway from error

    def _run(self, file: IO[bytes], answer: IO[bytes]) -> tuple[bytes, int | None]:
        """What it printed, and its exit status; None when it took too long."""
        with self._start(file, answer) as process:
            assert process.stderr is not None
            work = Progress(process.pid)
            said, ended = _until_closed(process.stderr.fileno(), self.limits.wall_seconds, work)
            # It leads a group: whatever it has started ends too.
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
                log.error("the process for an image does not start: %s", error)
                raise Busy from error
            return self._process


def _folders() -> list[str]:
    """Where the chat and Pillow are."""
    pillow = importlib.util.find_spec("PIL")
    assert pillow is not None
    assert pillow.origin is not None
    return [str(Path(__file__).parents[2]), str(Path(pillow.origin).parents[1])]


@contextlib.contextmanager
def _as_file(sent: IO[bytes]) -> Iterator[IO[bytes]]:
    """The same bytes in a file that has a descriptor, at its beginning."""
    sent.seek(0)
    try:
        if (number := _descriptor(sent)) is not None:
            try:
                yield sent
            finally:  # the child has moved the position, which it shares with us
                os.lseek(number, 0, os.SEEK_SET)
        else:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(sent, copy)
                copy.seek(0)
                yield copy
    finally:
        sent.seek(0)


def _descriptor(sent: IO[bytes]) -> int | None:
    try:
        return sent.fileno()
    except OSError:  # it is in memory only
        return None


class Progress:
    """Whether a child still does anything: it uses processor time, or waits for a disk."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ticks = cpu_ticks(pid)
        self._moved = time.monotonic()

    def is_stuck(self) -> bool:
        """True when it has done nothing for STUCK_SECONDS."""
        ticks = cpu_ticks(self._pid)
        if ticks is None or ticks != self._ticks or waits_for_disk(self._pid):
            self._ticks, self._moved = ticks, time.monotonic()
        return time.monotonic() - self._moved > STUCK_SECONDS


def _until_closed(pipe: int, seconds: float, work: Progress) -> tuple[bytes, bool]:
    """Read until the other end is closed, `seconds` at most, and no longer than there is progress;
    returns the end of what came, and whether it was closed."""
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


def _read(answer: IO[bytes], limits: Limits) -> Made | None:
    """What the child has made; None when it has not, or not to the end."""
    answer.seek(0)
    line = answer.readline(MAX_HEADER_BYTES)
    rest = os.fstat(answer.fileno()).st_size - len(line)
    header: Header | None = parse_header(line, rest, limits)
    if header is None:
        return None
    small = answer.read(header.small)
    return Made(header.type, header.width, header.height, header.content, small, answer)


def _failure(status: int | None, said: bytes) -> Exception:
    """What to raise for a child that ended with this status and without an image."""
    if status is None or status in (-signal.SIGXCPU, -signal.SIGALRM):
        return NotMade(TIME)
    if status == -signal.SIGKILL:  # not by us: the system had no memory left
        return NotMade(MEMORY)
    if status < 0:
        log.warning("the decoder of an image has crashed (signal %d): %r", -status, said)
        return NotMade(BROKEN)
    reason = REASONS.get(status)
    if reason is None:
        log.error("the process for an image does not work (status %d): %r", status, said)
        return Busy()
    return FilesAway() if reason == FULL else NotMade(reason)
