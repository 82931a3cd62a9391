"""Reads the stream of a room in pieces of limited size (store.pieces).

The room can change between two pieces. A piece says which event it follows, so such changes are
noticed. A deleted event leaves a gap in the numbers, and the event of its deletion comes later in
the stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..domain.events import DELETED, EDIT, POST, Event
from . import keys
from .batches import ask_each, batched
from .lua import Script
from .pieces import Turns
from .room_kinds import ENDED

NEWEST = "+"  # instead of a number: after the newest event
MAX_UIDS_AT_ONCE = 2000  # people whose membership one command checks
_ROOMS_AT_ONCE = 500  # of which one pipeline asks for the newest numbers
_MAX_SEQS_AT_ONCE = 500  # events, or what is stored beside them, that one command reads


class Entry(NamedTuple):
    """An event as it is stored; `at` is its time in ms."""

    seq: int
    at: int
    data: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some events of a room, and its state when they were read: the number of its newest event
    (None if there is no such room), its epoch, the oldest number that is kept, and its kind.
    `before` is the time of the event that the piece was to follow, None if no event has that
    number; `oldest` is the number of the oldest event in the stream. `more` is set if only the size
    of the piece ended it. `gone` are those of the given people who are not members."""

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
        """True if the events follow event `after`, whose time was `at` (0: any). False if the next
        events are not kept any more, or if event `after` was lost in a failover to a lagging
        replica and another event, with another time, has its number now."""
        if self.before is not None:
            return not at or self.before == at
        # The first event of a room is never deleted. So if events are missing there, they were
        # trimmed.
        return self.oldest is not None and self.oldest <= after + 1


@dataclass(frozen=True, slots=True)
class Since:
    """Some of the events of a room after a certain one, with the present bodies of messages.
    `first` is the oldest number that is kept, `seq` the newest. `follows` is False if another event
    has the number of that one now, after a failover to a lagging replica."""

    epoch: str
    seq: int
    first: int
    events: list[Event]
    follows: bool


class History:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._read_events = Script(client, "read_events")
        self._read_selected = Script(client, "read_selected")
        self._read_annotations = Script(client, "read_annotations")
        self.turns = Turns()

    def piece(
        self, rid: str, way: str, seq: int | str, most: int, uids: Sequence[str] = ()
    ) -> Piece:
        """At most `most` events: with `way` "after", those after number `seq`, the oldest first;
        with "before", those before it, the newest first."""
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
        """The oldest number that is kept, and the first `most` entries after number `seq`."""
        piece = self.piece(rid, "after", seq, most)
        entries = piece.entries
        while piece.more and len(entries) < most:
            piece = self.piece(rid, "after", entries[-1].seq, most - len(entries))
            if piece.first > entries[-1].seq + 1:
                entries = []  # these and the following ones are not kept any more
            entries += piece.entries
        return piece.first, entries

    def before(self, rid: str, seq: int | str, most: int) -> list[Entry]:
        """The last `most` entries before number `seq`, the oldest first."""
        return self.before_for(rid, (), seq, most)[0]

    def before_for(
        self, rid: str, uids: Sequence[str], seq: int | str, most: int, chars: int = 0
    ) -> tuple[list[Entry], list[str]]:
        """Return the entries of `before`, and those of the people `uids` who were not members when
        the last entry was read. With `chars`, reading stops after that many characters."""
        piece = self.piece(rid, "before", seq, most, uids)
        entries, epoch = piece.entries, piece.epoch
        while piece.more and len(entries) < most and not _has(entries, chars):
            piece = self.piece(rid, "before", entries[-1].seq, most - len(entries), uids)
            if piece.epoch != epoch:  # the room's epoch has changed
                return self.before_for(rid, uids, seq, most, chars)
            entries += piece.entries
        return entries[::-1], piece.gone

    def these(self, rid: str, seqs: Sequence[int]) -> list[Entry]:
        """The entries with these numbers that exist, in this order."""
        found: list[Entry] = []
        for some in batched(seqs, _MAX_SEQS_AT_ONCE):
            while some:
                done, *flat = self._read_selected(
                    events=keys.events(rid), bytes=self.turns.piece, rest=some
                )
                found += _entries(flat)
                some = some[done:]
        return found

    def beside(
        self, rid: str, asked: Sequence[tuple[int, int | str]]
    ) -> tuple[int, list[dict[str, str]]]:
        """The oldest number that is kept, and the annotations of some messages: their values by
        what they are, as in read_annotations.lua. `asked` has the number of each message and that
        of the message it answers ("" for none)."""
        found: list[dict[str, str]] = [{} for _ in asked]
        first, start = 1, 0
        while start < len(asked):
            some = asked[start : start + _MAX_SEQS_AT_ONCE]
            kept, done, *flat = self._read_annotations(
                [make(rid) for make in _ANNOTATIONS],
                bytes=self.turns.piece,
                rest=(number for pair in some for number in pair),
            )
            first = int(kept or 1)
            values: Iterator[Any] = iter(flat)
            for n, what, value in zip(values, values, values, strict=True):
                found[start + n - 1][what] = value
            start += done
        return first, found

    def gone(self, rid: str, uids: Sequence[str]) -> list[str]:
        """Return those of these people who are not members."""
        return [
            uid
            for some in batched(uids, MAX_UIDS_AT_ONCE)
            for uid in self.piece(rid, "after", 0, 0, some).gone
        ]

    def gap(
        self,
        rid: str,
        after: int,
        at: int,
        most: int,
        uids: Sequence[str],
        max_chars: int = 0,
        max_seq: int = 0,
    ) -> tuple[Piece, list[Entry] | None]:
        """The last piece that was read, which has the room's newest number and says who of `uids`
        is not a member; and the first `most` entries after number `after`, whose time was `at` (0:
        any). None instead of the entries if they do not follow it, have `max_chars` characters or
        more, or if the room has a number beyond `max_seq` (0: no limit)."""
        entries: list[Entry] = []
        last, epoch = after, ""
        while True:
            piece = self.piece(rid, "after", last, most - len(entries), uids)
            newest = piece.seq or 0
            is_same = piece.follows(last, at) and last <= newest and epoch in ("", piece.epoch)
            entries += piece.entries
            if not is_same or _has(entries, max_chars) or newest > (max_seq or newest):
                return piece, None
            if not piece.more or len(entries) >= most:
                return piece, entries
            last, at, epoch = entries[-1].seq, entries[-1].at, piece.epoch

    # For the search index (chat.search.indexer), which follows the rooms

    def since(self, rid: str, seq: int, at: int, limit: int) -> Since | None:
        """Return the first events after number `seq`, whose time was `at` (ms): at most `limit`,
        and at most one piece. None if the room no longer exists."""
        piece = self.piece(rid, "after", seq, limit)
        if piece.seq is None or piece.kind == ENDED:
            return None
        events = [Event.parse(rid, *entry) for entry in piece.entries]
        seqs = list({event.about for event in events if event.kind in (POST, EDIT)})
        _, beside = self.beside(rid, [(seq, "") for seq in seqs])
        bodies = {n: own["body"] for n, own in zip(seqs, beside, strict=True) if "body" in own}
        events = [
            replace(event, body=bodies[event.about])
            if event.kind in (POST, EDIT) and event.about in bodies
            else event
            for event in events
        ]
        follows = piece.before in (None, at)
        return Since(piece.epoch, piece.seq, piece.first, events, follows)

    def newest(self, rids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
        """Return the epoch, the newest number and the oldest kept number of each room that exists
        and has not ended. They are texts, as stored; whether they are numbers is checked when the
        room is read."""
        asked = ((keys.room(rid), "kind", "epoch", "seq", "first") for rid in rids)
        answers = ask_each(self.client, "hmget", asked, _ROOMS_AT_ONCE)
        return {
            rid: (epoch or "", seq, first or "1")
            for rid, (kind, epoch, seq, first) in zip(rids, answers, strict=True)
            if seq is not None and kind != ENDED
        }


_ANNOTATIONS = keys.room, keys.events, keys.edits, keys.reactions, keys.mentions


def events_of(rid: str, entries: Sequence[Entry], after: int = 0, first: int = 1) -> list[Event]:
    """Entries as events, with events of the kind DELETED for deleted ones, whose numbers are
    missing after number `after` (0: after the first entry) and between entries. Numbers before
    `first` were not deleted but are not kept any more."""
    events: list[Event] = []
    after = max(after, first - 1)
    for seq, at, data in entries:
        missing = range(events[-1].seq + 1 if events else (after + 1 if after else seq), seq)
        events += [tombstone(rid, n, at) for n in missing]
        events.append(Event.parse(rid, seq, at, data))
    return events


def tombstone(rid: str, seq: int, at: int) -> Event:
    """Return what replaces a deleted event."""
    return Event(rid, seq, at, DELETED, "", "", "")


def _entries(flat: Sequence[str]) -> Iterator[Entry]:
    values = iter(flat)
    for seq, at, data in zip(values, values, values, strict=True):
        yield Entry(int(seq), int(at), data)


def _has(entries: Sequence[Entry], chars: int) -> bool:
    """Return True if the entries have this many characters together; never for 0."""
    return bool(chars) and sum(len(entry.data) for entry in entries) >= chars
