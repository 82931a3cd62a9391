"""A room's stream, read in pieces of limited size (store.pieces).

Between two pieces others go on: a piece says what it follows, so that what happened meanwhile is
noticed. An event that was deleted leaves a gap in the numbers, and the event that says so comes
behind what was read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..domain.events import DELETED, Event
from . import keys
from .batches import batched
from .lua import Script
from .pieces import Turns

NEWEST = "+"  # in the place of a number: behind the newest event
_MOST_UIDS = 2000  # whose membership is asked for in one command
_MOST_SEQS = 500  # events, or what stands beside them, that are asked for in one command


class Entry(NamedTuple):
    """An event as it is stored; `at` is its time in ms."""

    seq: int
    at: int
    data: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some events of a room, and how the room was when they were read: the number of its newest
    event (None: there is no such room), its epoch, the oldest number that is kept, and its kind.
    `before` is the time of the event that the piece was to follow, None where there is none with
    that number, and `oldest` the number of the oldest event there is. There are `more` events
    where only its size has ended the piece. `gone` are those of the people asked about who are no
    members."""

    seq: int | None
    epoch: str
    first: int
    kind: str
    before: int | None
    oldest: int | None
    more: bool
    gone: list[str]
    entries: list[Entry]

    def follows(self, after: int, at: int) -> bool:
        """True when the events follow event `after`, of the time `at` (0: any). False when what
        came next is kept no longer, or event `after` was lost (in a failover to a replica that
        lagged) and its number is that of another now, which has another time."""
        if self.before is not None:
            return not at or self.before == at
        # The first event of a room is never deleted: what is not there before it was trimmed.
        return self.oldest is not None and self.oldest <= after + 1


class History:
    def __init__(self, client: Any) -> None:
        self._read_events = Script(client, "read_events")
        self._read_selected = Script(client, "read_selected")
        self._read_annotations = Script(client, "read_annotations")
        self.turns = Turns()

    def piece(
        self, rid: str, way: str, seq: int | str, most: int, uids: Sequence[str] = ()
    ) -> Piece:
        """At most `most` events behind number `seq` (`way` "after"), the oldest first, or in front
        of it ("before"), the newest first."""
        newest, epoch, first, kind, at, oldest, more, gone, flat = self._read_events(
            room=keys.room(rid),
            events=keys.events(rid),
            members=keys.members(rid),
            direction=way,
            seq=seq,
            limit=most,
            bytes=self.turns.piece,
            rest=uids,
        )
        return Piece(
            None if newest is None else int(newest),
            epoch or "",
            int(first or 1),
            kind or "",
            None if at is None else int(at),
            None if oldest is None else int(oldest),
            bool(more),
            gone,
            list(_entries(flat)),
        )

    def after(self, rid: str, seq: int, most: int) -> tuple[int, list[Entry]]:
        """The oldest number that is kept, and the first `most` entries behind number `seq`."""
        piece = self.piece(rid, "after", seq, most)
        entries = piece.entries
        while piece.more and len(entries) < most:
            piece = self.piece(rid, "after", entries[-1].seq, most - len(entries))
            if piece.first > entries[-1].seq + 1:
                entries = []  # they, and what followed them, are kept no longer
            entries += piece.entries
        return piece.first, entries

    def before(self, rid: str, seq: int | str, most: int) -> list[Entry]:
        """The last `most` entries in front of number `seq`, the oldest first."""
        return self.before_for(rid, (), seq, most)[0]

    def before_for(
        self, rid: str, uids: Sequence[str], seq: int | str, most: int, chars: int = 0
    ) -> tuple[list[Entry], list[str]]:
        """As `before`, and those of the people `uids` who are no members after the last of it was
        read. With `chars` no more is read when what was has so many characters together."""
        piece = self.piece(rid, "before", seq, most, uids)
        entries, epoch = piece.entries, piece.epoch
        while piece.more and len(entries) < most and not _has(entries, chars):
            piece = self.piece(rid, "before", entries[-1].seq, most - len(entries), uids)
            if piece.epoch != epoch:  # it is another life of the database
                return self.before_for(rid, uids, seq, most, chars)
            entries += piece.entries
        return entries[::-1], piece.gone

    def these(self, rid: str, seqs: Sequence[int]) -> list[Entry]:
        """Those of the entries with these numbers that are there, in this order."""
        found: list[Entry] = []
        for some in batched(seqs, _MOST_SEQS):
            while some:
                done, *flat = self._read_selected(
                    events=keys.events(rid), bytes=self.turns.piece, rest=some
                )
                found += _entries(flat)
                some = some[done:]
        return found

    def beside(
        self, rid: str, asked: Sequence[tuple[int, int | str]]
    ) -> tuple[int, list[tuple[int, str, str]]]:
        """The oldest number that is kept, and what stands beside some messages. Each is asked for
        by its number and that of the message it answers ("" for none); each answer is a place in
        `asked`, what it is, and the value, as read_annotations.lua has them but counted from 0."""
        found: list[tuple[int, str, str]] = []
        first, start = 1, 0
        while start < len(asked):
            some = asked[start : start + _MOST_SEQS]
            kept, done, *flat = self._read_annotations(
                [make(rid) for make in _ANNOTATIONS],
                bytes=self.turns.piece,
                rest=(number for pair in some for number in pair),
            )
            first = int(kept or 1)
            values = iter(flat)
            found += ((start + n - 1, what, v) for n, what, v in zip(values, values, values))  # noqa: B905
            start += done
        return first, found

    def gone(self, rid: str, uids: Sequence[str]) -> list[str]:
        """Those of these people who are no members."""
        return [
            uid
            for some in batched(uids, _MOST_UIDS)
            for uid in self.piece(rid, "after", 0, 0, some).gone
        ]

    def gap(
        self, rid: str, after: int, at: int, most: int, uids: Sequence[str]
    ) -> tuple[int, list[Entry] | None, list[str]]:
        """The room's newest number; the first `most` entries behind number `after`, of the time
        `at` (0: any), None instead of them when they do not follow it; and those of the people
        `uids` who are no members after the last of these was read."""
        asked, others = uids[:_MOST_UIDS], uids[_MOST_UIDS:]
        piece = self.piece(rid, "after", after, most, asked)
        entries: list[Entry] | None = []
        seq, last = piece.seq or 0, after
        while entries is not None:
            seq = piece.seq or 0
            if not piece.follows(last, at) or last > seq:
                entries = None
            else:
                entries += piece.entries
                if not piece.more or len(entries) >= most:
                    break
                last, at = entries[-1].seq, entries[-1].at
                piece = self.piece(rid, "after", last, most - len(entries), asked)
        return seq, entries, piece.gone + self.gone(rid, others)


_ANNOTATIONS = keys.room, keys.events, keys.edits, keys.reactions, keys.mentions


def events_of(rid: str, entries: Sequence[Entry], after: int = 0, first: int = 1) -> list[Event]:
    """Entries as events, with something in the place of those that were deleted: their numbers are
    missing after number `after` (0: after the first entry) and between entries. What is missing
    before the number `first` was not deleted but is no longer kept."""
    events: list[Event] = []
    after = max(after, first - 1)
    for seq, at, data in entries:
        missing = range(events[-1].seq + 1 if events else (after + 1 if after else seq), seq)
        events += [Event(rid, n, at, DELETED, "", "", "") for n in missing]
        events.append(Event.parse(rid, seq, at, data))
    return events


def _entries(flat: Sequence[str]) -> Iterator[Entry]:
    values = iter(flat)
    for seq, at, data in zip(values, values, values, strict=True):
        yield Entry(int(seq), int(at), data)


def _has(entries: Sequence[Entry], chars: int) -> bool:
    """True when these have so many characters together; never for 0."""
    return bool(chars) and sum(len(entry.data) for entry in entries) >= chars
