"""Reading much in parts, so that neither side holds all of it at once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 100
"""People or rooms that are asked for in one pipeline: to pack, send and read its commands takes
some milliseconds, in which the event loop does nothing else."""


def pages(found: Iterable[T], size: int) -> Iterator[list[T]]:
    """What a scan finds, `size` at a time."""
    found = iter(found)
    while page := list(islice(found, size)):
        yield page
