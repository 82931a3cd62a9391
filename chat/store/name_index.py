"""The indexes of people's names, by the beginnings of words and by what a name looks like; and how
much a name is like what somebody typed.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

from ..domain import lookalikes
from . import keys
from .batches import AT_ONCE, INDEXED_AT_ONCE, ask_each

MAX_FOLDED_CHARS = 256  # of a text that is compared; names are shorter
SAME, BEGINS, HAS = range(3)  # from `likeness`
MAX_INDEXED_WORDS = 5  # of a name: it is found by the beginning of each of them


def folded(text: str) -> str:
    """Return a text for comparisons: without case and accents, and with single spaces. Of a text
    that is longer than any name, only the beginning is used, because normalization takes n² steps
    to order n marks."""
    plain = unicodedata.normalize("NFKD", text[:MAX_FOLDED_CHARS].casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def range_of(start: str) -> tuple[bytes, bytes]:
    """The range of the entries that begin with `start`. The index is ordered by bytes, and UTF-8
    has no byte 0xFF."""
    return b"[" + start.encode(), b"[" + start.encode() + b"\xff"


def entries(uid: str, name: str) -> list[str]:
    """The entries of a name in the index: the name from each of its first words on."""
    return all_entries(uid, name)[:MAX_INDEXED_WORDS]


def all_entries(uid: str, name: str) -> list[str]:
    """Return the entries of a name that earlier versions made: from each of its words on."""
    words = folded(name).split(" ")
    return [f"{' '.join(words[n:])}\0{uid}" for n in range(len(words))]


def looks(uid: str, name: str) -> list[str]:
    """The entries of a name in the index of what names look like."""
    return [f"{form}\0{uid}" for form in sorted(lookalikes.keys(name))]


def uid_of(entry: str) -> str:
    """The id of the person whose name the entry of an index is."""
    return entry.rpartition("\0")[2]


def uids_called(client: Any, names: Sequence[str], limit: int) -> list[str]:
    """Return the ids of at most `limit` people for each of these names. The names of some may only
    end with it."""
    return _read(client, [range_of(f"{folded(name)}\0") for name in names], limit)


def uids_beginning(client: Any, text: str, limit: int) -> list[str]:
    """The ids of at most `limit` people with a word in their name that begins with the text."""
    return _read(client, [range_of(folded(text))], limit)


def _read(client: Any, ends: list[tuple[bytes, bytes]], limit: int) -> list[str]:
    """The ids of the first `limit` entries in each of these ranges. All ranges are read in the
    same round trips, about a piece in each."""
    found: list[list[str]] = [[] for _ in ends]
    left = list(range(len(ends)))
    while some := left[:AT_ONCE]:
        step = min(limit, INDEXED_AT_ONCE // len(some))
        asked = ((keys.NAMES, *ends[n], 0, step) for n in some)
        answers = ask_each(client, "zrangebylex", asked)
        more = []
        for n, answer in zip(some, answers, strict=True):
            found[n] += answer
            if len(answer) == step and len(found[n]) < limit:
                ends[n] = b"(" + answer[-1].encode(), ends[n][1]
                more.append(n)
        left = more + left[len(some) :]
    return list(dict.fromkeys(uid_of(entry) for one in found for entry in one[:limit]))


def add_to_indexes(pipeline: Any, uid: str, name: str) -> None:
    """Add a person to the indexes, under this name."""
    pipeline.zadd(keys.NAMES, dict.fromkeys(entries(uid, name), 0))
    pipeline.zadd(keys.LOOKALIKES, dict.fromkeys(looks(uid, name), 0))


def remove_from_indexes(pipeline: Any, uid: str, name: str) -> None:
    """Remove a person from the indexes, under this name."""
    pipeline.zrem(keys.NAMES, *all_entries(uid, name))
    pipeline.zrem(keys.LOOKALIKES, *looks(uid, name))


def likeness(typed: str, name: str) -> int | None:
    """SAME if a name is what was typed, BEGINS if one of its words begins with that, HAS if it is
    anywhere in the name, None otherwise. Case and accents do not count."""
    return folded_likeness(folded(typed), folded(name))


def folded_likeness(typed: str, name: str) -> int | None:
    """Like `likeness`, for folded texts. To compare many names, fold each text once, because
    folding is most of the work."""
    if typed == name:
        return SAME
    if f" {typed}" in f" {name}":
        return BEGINS
    return HAS if typed in name else None
