"""The indexes of people's names: by the beginning of each word, and by what a name looks like."""

import unicodedata
from typing import Any

from ..domain import lookalikes
from . import keys

MAX_FOLDED_CHARS = 256  # of a text that is searched: a name has fewer
MAX_INDEXED_WORDS = 5  # of a name, from which on it is found


def folded(text: str) -> str:
    """Text as it is searched: without case and accents, spaces joined. Of a text that is longer
    than any name, the beginning: bringing n marks in order takes normalization n² steps."""
    plain = unicodedata.normalize("NFKD", text[:MAX_FOLDED_CHARS].casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def range_of(start: str) -> tuple[bytes, bytes]:
    """The ends of what begins so in the index, whose order is that of bytes: none of UTF-8 is
    0xFF."""
    return b"[" + start.encode(), b"[" + start.encode() + b"\xff"


def entries(uid: str, name: str) -> list[str]:
    """A name in the index: once from the beginning of each of its first words."""
    return all_entries(uid, name)[:MAX_INDEXED_WORDS]


def all_entries(uid: str, name: str) -> list[str]:
    """Once from the beginning of each of its words, as it was before there was a most."""
    words = folded(name).split(" ")
    return [f"{' '.join(words[n:])}\0{uid}" for n in range(len(words))]


def looks(uid: str, name: str) -> list[str]:
    """A name in the index of what names look like."""
    return [f"{form}\0{uid}" for form in sorted(lookalikes.keys(name))]


def add_to_indexes(pipeline: Any, uid: str, name: str) -> None:
    """Have a person found by a name, and by what it looks like."""
    pipeline.zadd(keys.NAMES, dict.fromkeys(entries(uid, name), 0))
    pipeline.zadd(keys.LOOKALIKES, dict.fromkeys(looks(uid, name), 0))


def remove_from_indexes(pipeline: Any, uid: str, name: str) -> None:
    """The opposite of `add_to_indexes`."""
    pipeline.zrem(keys.NAMES, *all_entries(uid, name))
    pipeline.zrem(keys.LOOKALIKES, *looks(uid, name))
