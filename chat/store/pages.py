"""Reading much in parts, so that neither side holds all of it at once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def pages(found: Iterable[T], size: int) -> Iterator[list[T]]:
    """What a scan finds, `size` at a time."""
    found = iter(found)
    while page := list(islice(found, size)):
        yield page
