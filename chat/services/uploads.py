"""Limits on the requests with files that one person and one network may send at the same time.

A request is kept in a temporary file until it is complete, and only then do quotas count it. A slow
request may take an hour. So without these limits, somebody who begins hundreds of requests and ends
none of them would fill the disk that holds the database, before any quota is checked.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ..domain.errors import FilesAway, TooOften
from ..media.avatars import FREE_BYTES, FREE_FRACTION

MAX_UPLOADS_OF_PERSON = 4  # requests with files at the same time
MAX_UPLOADS_OF_NETWORK = 40  # of all people of one network, which may be a school
RETRY_AFTER_SECONDS = 5.0


def _free() -> tuple[int, int]:
    disk = shutil.disk_usage(tempfile.gettempdir())
    return disk.free, disk.total


@dataclass(eq=False)
class Uploads:
    """The requests with files that this process is receiving.

    is_limited: False lifts the limits for each person and network (CHAT_LIMITS).
    free: returns the free bytes and the size of the disk for temporary files.
    bytes: the sum of the maximum sizes of the requests.
    """

    is_limited: bool = True
    free: Callable[[], tuple[int, int]] = _free
    bytes: int = 0
    _under_way: Counter[str] = field(default_factory=Counter)

    def begin(self, uid: str, network: str, size: int) -> Callable[[], None]:
        """Count a request of at most `size` bytes of a person in a network. Returns the function to
        call at its end. Raises TooOften and FilesAway."""
        whose = {
            f"person {uid}": MAX_UPLOADS_OF_PERSON,
            f"network {network}": MAX_UPLOADS_OF_NETWORK,
        }
        if self.is_limited and any(self._under_way[who] >= most for who, most in whose.items()):
            raise TooOften(
                "Other files of yours, or of people in your network, are still being sent. "
                "Wait until they have arrived, then try again.",
                RETRY_AFTER_SECONDS,
            )
        free, total = self.free()
        # The other requests have already written some of `self.bytes` to the disk; how much is
        # unknown.
        if free - self.bytes - size < min(FREE_BYTES, total // FREE_FRACTION):
            raise FilesAway
        self._under_way.update(whose.keys())
        self.bytes += size

        def end() -> None:
            self.bytes -= size
            self._under_way -= Counter(whose.keys())  # keeps positive counts only

        return end
