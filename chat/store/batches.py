"""Reads large amounts of data in parts, so that neither side has all of it in memory at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

# Commands in one pipeline. Packing, sending and reading them takes a few milliseconds, during which
# the event loop does nothing else.
AT_ONCE = 100
# Records whose answers together are about one piece (store.pieces).
PEOPLE_AT_ONCE = 60  # each up to 1.1 KB
ROOMS_AT_ONCE = 24  # each up to 3.3 KB
IDS_AT_ONCE = 1000  # each about 30 bytes
INDEXED_AT_ONCE = 400  # entries of an index of names, each up to 190 bytes


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` of the items, like itertools.batched of Python 3.12."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def scanned(scan: Callable[..., Iterable[Any]], key: str, size: int) -> Iterator[list[Any]]:
    """Yield what a scan of redis-py, such as `client.hscan_iter`, finds in a key, `size` at a
    time."""
    return batched(scan(key, count=size), size)


def stored_ids(
    client: Any, key_of: Callable[[str], str], kind: str = "hash", size: int = IDS_AT_ONCE
) -> Iterator[str]:
    """Yield the ids in all keys that `key_of`, such as keys.room, makes and that have this type in
    Redis. Some may come twice."""
    before, behind = key_of("*").split("*")
    for key in client.scan_iter(match=f"{before}*{behind}", count=size, _type=kind):
        found = key[len(before) : len(key) - len(behind)]
        if "}" not in found:
            yield found


def members_among(client: Any, key: str, values: Sequence[str]) -> list[str]:
    """Return those of the values that the sorted set `key` contains, in this order."""
    scores = client.zmscore(key, values) if values else []
    return [value for value, score in zip(values, scores, strict=True) if score is not None]


def ask_each(
    client: Any, method: str, arguments: Iterable[Sequence[Any]], size: int = AT_ONCE
) -> list[Any]:
    """Yield the answers to one command with each of these arguments, `size` commands in a round
    trip. `method` is a method of redis-py's pipeline, such as "zscore"."""
    answers: list[Any] = []
    for some in batched(arguments, size):
        pipeline = client.pipeline(transaction=False)
        for words in some:
            getattr(pipeline, method)(*words)
        answers += pipeline.execute()
    return answers
