"""The program of the child process that converts one image (see chat.media.images).

Besides Pillow, it imports only two small modules of the chat. So it starts in a twentieth of a
second, and its memory contains nothing worth stealing.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import sys

from . import image_codec
from .image_protocol import BYTES, FULL, STATUS, ImageLimits, NotMade

NICENESS = 5  # added to that of the server, which has precedence
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def run() -> None:
    """Do one task and end the process. The command line has two folders for the path, the task, and
    the limits."""
    task, limits = sys.argv[3], ImageLimits(**json.loads(sys.argv[4]))
    restrict(limits)
    try:
        with open(0, "rb", closefd=False) as sent:
            header, small, content = image_codec.make(task, sent, limits)
    except NotMade as error:
        os._exit(STATUS[error.reason])
    _answer([header.to_line(), small, content], limits)
    os._exit(0)  # saves the time that Python takes to clean up


def restrict(limits: ImageLimits) -> None:
    """Limit what this process may use from now on. Limits that the system does not support are
    skipped: macOS has none for memory."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory is short, the system kills this process, not the server
    _limit("RLIMIT_AS", limits.memory_bytes)
    _limit("RLIMIT_FSIZE", limits.output_bytes + 2**16)
    _limit("RLIMIT_CPU", limits.cpu_seconds, 1)
    _limit("RLIMIT_CORE", 0)
    # The server kills this process earlier, unless the server itself was killed.
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds + 1)
    # No file, socket or pipe can be opened any more: no descriptor is left.
    _limit("RLIMIT_NOFILE", 3)


def _limit(name: str, most: int, beyond: int = 0) -> None:
    # ValueError: there is a lower limit already, or the system refuses this one.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        resource.setrlimit(getattr(resource, name), (most, most + beyond))


def _answer(parts: list[bytes], limits: ImageLimits) -> None:
    if sum(map(len, parts[1:])) > limits.output_bytes:
        os._exit(STATUS[BYTES])
    try:
        with open(1, "wb", closefd=False) as file:
            file.writelines(parts)
    except OSError as error:
        os._exit(STATUS[FULL if error.errno in _NO_SPACE else BYTES])
