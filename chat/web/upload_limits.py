"""Requests with files while they come in: how many one person and one network may have at once.

What comes in is kept in a temporary file until all of the request is there, and only then can it be
counted for a quota. A slow request may take an hour. So somebody who begins hundreds of them and
ends none would fill the disk, with the database on it, before any quota is asked.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable

from flask import Request, g

from ..domain.errors import FilesAway, TooOften
from ..media.avatars import FREE_BYTES, FREE_PART
from ..services.context import chat
from .security import network

MOST_EACH = 4  # requests with files of one person at once
MOST_OF_NETWORK = 40  # of all people of one network, which may be a school
WAIT_SECONDS = 5.0  # after which it is worth trying again


class Uploads:
    """What comes in to this process. `free` returns free bytes and size of the disk."""

    def __init__(self, free: Callable[[], tuple[int, int]] | None = None) -> None:
        self._free = free or _free
        self._under_way: Counter[str] = Counter()
        self.bytes = 0  # that all of them may have

    def begin(self, uid: str, whence: str, size: int) -> Callable[[], None]:
        """Count a request of at most `size` bytes of a person in a network, until what is returned
        is called. Raises TooOften and FilesAway."""
        whose = {f"person {uid}": MOST_EACH, f"network {whence}": MOST_OF_NETWORK}
        if chat().limits.on and any(self._under_way[who] >= most for who, most in whose.items()):
            raise TooOften(
                "Other files of yours, or of people in your network, are on their way here. "
                "Wait until they are there, then try again.",
                WAIT_SECONDS,
            )
        free, total = self._free()
        # What is under way has taken some of that already: nobody knows how much.
        if free - self.bytes - size < min(FREE_BYTES, total // FREE_PART):
            raise FilesAway
        self._under_way.update(whose.keys())
        self.bytes += size

        def end() -> None:
            self.bytes -= size
            self._under_way.subtract(whose.keys())
            for who in whose:
                if not self._under_way[who]:
                    del self._under_way[who]

        return end


def begin(asked: Request, uid: str, most: int) -> None:
    """Count the request of a person, which may have `most` bytes, until it ends. Raises as
    `Uploads.begin` does."""
    size = most if asked.content_length is None else min(asked.content_length, most)
    g.end_upload = chat().uploads.begin(uid, network(), size)


def end(_: object = None) -> None:
    """The request has ended, however it did."""
    if "end_upload" in g:
        g.pop("end_upload")()


def _free() -> tuple[int, int]:
    disk = shutil.disk_usage(tempfile.gettempdir())
    return disk.free, disk.total
