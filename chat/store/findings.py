"""What a check of the database finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

TEXTS_AT_ONCE = 4  # texts that are read in one command
SCAN_COUNT = 500  # keys or members that are looked at in one command


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, in plain words, and what puts it right; None when nothing can."""

    text: str
    repair: Callable[[], object] | None


Look = Callable[[], Iterable[Finding]]  # at one thing; it may be repeated
