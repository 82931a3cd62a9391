"""CHAT_DATA/chat.pid: which process serves the chat, for the other commands on the machine."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

NAME = "chat.pid"


def write(folder: Path) -> IO[str] | None:
    """Write this process's id to the file and lock it. The lock lasts until the file is closed or
    the process ends. Returns None if the file cannot be written: a chat with a Redis and a
    secret key of its own needs no folder."""
    with suppress(OSError):
        file = open(folder / NAME, "a+")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file
    return None


def serving_process(folder: Path) -> int | None:
    """Return the id of the process that serves the chat in `folder`, or None. A file without a lock
    is left from an earlier chat, and its id may belong to another program."""
    try:
        with open(folder / NAME) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((folder / NAME).read_text())
    except OSError:
        return None
    return None
