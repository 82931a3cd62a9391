"""Reads the messages of a room in their present form."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..domain.errors import NotFound
from ..domain.events import DELETE, EDIT, POST, SILENT, Event, Quote, Reactions, stored_start
from ..domain.mentions import unpack
from ..runtime.cooperation import give_way
from . import keys
from .history import MAX_UIDS_AT_ONCE, NEWEST, Entry, History, events_of, tombstone
from .people import People
from .person import Names, uids_in, with_names
from .room_reads import Room

PAGE_SIZE = 50  # events on a page
MAX_CACHED_PAGES = 128  # rooms whose newest page is in memory, ...
MAX_CACHED_PAGE_CHARS = 50_000  # ... if its events are not larger than this (Event.size)
SCAN_COUNT = 500  # events that are read at once where all events of a room are searched
MAX_MISSED_CHARS = 100_000  # of all messages in one answer to a page that reconnects


@dataclass(frozen=True, slots=True)
class Missed:
    """What a reconnecting page lacks. `replace` is set if the page shows another history, lacks too
    much, or lacks events that are not kept any more; `events` are then the newest, which replace
    its list. `first` is the oldest number that is kept."""

    events: list[Event]
    replace: bool
    seq: int
    epoch: str
    first: int = 1


@dataclass(slots=True)
class Page:
    """The newest events of a room in this `state`, and the same events with the `names` that people
    had when they were last `shown`."""

    state: Any
    events: list[Event]
    uids: list[str]
    names: Names | None = None
    shown: list[Event] = field(default_factory=list)


class MessageReads:
    def __init__(self, client: Any, people: People) -> None:
        self.client = client
        self.people = people
        self.history = History(client)
        self._pages: OrderedDict[str, Page] = OrderedDict()

    def newest(self, rid: str, limit: int = PAGE_SIZE) -> list[Event]:
        """The last `limit` events, oldest first."""
        return self.before(rid, NEWEST, limit)

    def renamed(self, rid: str) -> list[Event]:
        """Return the newest events whose names, tags or pictures have changed since they were
        stored, in their present form."""
        with self.history.turns.turn():
            entries = self.history.before(rid, NEWEST, PAGE_SIZE)
            stored = self._revised(rid, _without_deleted(events_of(rid, entries)))
            now = self.people.named(stored)
        return [event for before, event in zip(stored, now, strict=True) if event != before]

    def page(self, room: Room) -> list[Event]:
        """Return the events of `newest`, for a room that was just read. They are cached until the
        room has another event, because every change of their content is an event. Only the names of
        people change without one."""
        # The number alone does not identify the newest event: a failover may lose it and give its
        # number to another. So the cache compares the whole event, and does not hold rooms whose
        # newest event is silent, because of that only the number is known.
        state = room.epoch, room.first, room.seq, room.last
        page = self._pages.get(room.rid)
        if page is None or page.state != state or not room.at:
            with self.history.turns.turn():
                entries = self.history.before(room.rid, NEWEST, PAGE_SIZE)
                events = self._revised(room.rid, events_of(room.rid, entries))
            page = Page(state, events, uids_in(events))
            is_small = sum(event.size for event in events) <= MAX_CACHED_PAGE_CHARS
            self._pages.pop(room.rid, None)
            if is_small and room.at and events and events[-1].seq == room.seq:
                self._pages[room.rid] = page
                if len(self._pages) > MAX_CACHED_PAGES:
                    self._pages.popitem(last=False)
        names = self.people.names(page.uids)
        if page.names != names:
            page.names, page.shown = names, with_names(page.events, names)
        return list(page.shown)

    def before(self, rid: str, seq: int | str, limit: int = PAGE_SIZE) -> list[Event]:
        """The `limit` events before number `seq` (or NEWEST), oldest first."""
        if isinstance(seq, int) and seq <= 1:
            return []
        with self.history.turns.turn():
            entries = self.history.before(rid, seq, limit)
            return self._now(rid, events_of(rid, entries))

    def after(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """The first `limit` events after number `seq`, oldest first."""
        with self.history.turns.turn():
            first, entries = self.history.after(rid, seq, limit)
            return self._now(rid, events_of(rid, entries, seq, first))

    def get(self, rid: str, seq: int) -> Event:
        """Event `seq`; raises NotFound."""
        events = self.before(rid, seq + 1, 1)
        if events and events[0].seq == seq:
            return events[0]
        if 0 < seq < int(self.client.hget(keys.room(rid), "first") or 1):
            raise NotFound("This message was removed, because old messages are not kept here.")
        raise NotFound("There is no such message in this room.")

    def several(self, rid: str, seqs: Sequence[int]) -> list[Event]:
        """The events with these numbers that exist, in this order."""
        with self.history.turns.turn():
            found = self.history.these(rid, seqs)
            return self._now(rid, [event for one in found for event in events_of(rid, [one])])

    def written_by(self, rid: str, uid: str) -> Iterator[Event]:
        """Yield all messages of a person in a room as they were posted, oldest first. All events of
        the room are read, in pieces."""
        start, seq = stored_start(POST, uid), 0
        while entries := self.history.piece(rid, "after", seq, SCAN_COUNT).entries:
            for entry in entries:
                if entry.data.startswith(start):
                    yield from events_of(rid, [entry])
            seq = entries[-1].seq

    def around(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """Event `seq` and those around it, oldest first. Raises NotFound."""
        self.get(rid, seq)
        return self.before(rid, seq + 1, limit // 2 + 1) + self.after(rid, seq, limit // 2)

    def missed(
        self, rid: str, uid: str, after: int, epoch: str, limit: int = 300, at: int = 0
    ) -> Missed | None:
        """Return what a page of `uid` lacks that shows room `rid` up to number `after`, whose time
        was `at` (0: any), in this `epoch` ("": any). None if `uid` is not a member."""
        with self.history.turns.turn():
            piece, entries = self.history.gap(
                rid, after, at, limit + 1, [uid], 2 * MAX_MISSED_CHARS, after + limit
            )
            if piece.gone or piece.seq is None:
                return None
            events: list[Event] | None = None
            if entries is not None and epoch in ("", piece.epoch):
                events = self._now(rid, events_of(rid, entries, after))
                if len(events) > limit or events != _last_chars(events, MAX_MISSED_CHARS):
                    events = None
            anew = events is None
            if events is None:
                newest, gone = self.history.before_for(
                    rid, [uid], NEWEST, PAGE_SIZE, MAX_MISSED_CHARS
                )
                if gone:
                    return None
                events = _last_chars(self._now(rid, events_of(rid, newest)), MAX_MISSED_CHARS)
            upto = events[-1].seq if events else after
            return Missed(events, anew, upto, piece.epoch, piece.first)

    def gap(
        self, rid: str, after: int, limit: int, uids: Sequence[str], at: int = 0
    ) -> tuple[int, list[Event] | None, list[str]]:
        """The room's newest number; the first `limit` events after number `after`, whose time was
        `at`, or None if they do not follow it; and those of the people `uids` who must not see
        them, because they are not members any more."""
        with self.history.turns.turn():
            asked, others = uids[:MAX_UIDS_AT_ONCE], uids[MAX_UIDS_AT_ONCE:]
            piece, entries = self.history.gap(rid, after, at, limit, asked)
            gone = piece.gone + self.history.gone(rid, others)
            now = None if entries is None else self._now(rid, events_of(rid, entries, after))
            return piece.seq or 0, now, gone

    def _now(self, rid: str, events: list[Event]) -> list[Event]:
        """Return the events in their present form: with later edits, and with the present names and
        pictures of people."""
        return self.people.named(self._revised(rid, _without_deleted(events)))

    def _revised(self, rid: str, events: list[Event]) -> list[Event]:
        """The events with present bodies, reactions, mentions and quoted messages."""
        changed = [n for n, event in enumerate(events) if event.kind in (POST, EDIT, *SILENT)]
        if not changed:
            return events
        answered: dict[int, int] = {}  # the index in `asked` with which each is read
        asked: list[tuple[int, int | str]] = []
        for n in changed:
            number = events[n].number if events[n].kind == POST else 0
            is_new = number and answered.setdefault(number, len(asked)) == len(asked)
            asked.append((events[n].about, number if is_new else ""))
        first, said = self.history.beside(rid, asked)
        for at, own in zip(changed, said, strict=True):
            events[at] = _as_now(events[at], own)
            if (number := events[at].number) and events[at].kind == POST and number >= first:
                quote = _quote(rid, number, said[answered[number]])
                events[at] = replace(events[at], quote=quote)
            give_way()  # there may be many reactions
        return events


def _without_deleted(events: list[Event]) -> list[Event]:
    """Return the events, with DELETED ones for messages that were deleted after their piece was
    read. The event of the deletion is in a later piece, so pages would not be sent it again."""
    deleted = {event.number for event in events if event.kind == DELETE}
    return [tombstone(e.room, e.seq, e.at) if e.seq in deleted else e for e in events]


def _as_now(event: Event, said: dict[str, str]) -> Event:
    """An event with the annotations (read_annotations.lua) of the message that it is or changes."""
    if (body := said.get("body")) is not None and not event.is_silent:
        event = replace(event, body=body, edited=True)
    if (mentioned := said.get("mentions")) is not None and not event.is_silent:
        event = replace(event, mentions=unpack(mentioned))
    if (state := said.get("reactions")) is not None and event.kind != EDIT:
        event = replace(event, reactions=Reactions.parse(state))
    return event


def _last_chars(events: list[Event], chars: int) -> list[Event]:
    """Return the last events that have at most this many characters together, but at least one."""
    start, left = len(events), chars
    while start and (left := left - len(events[start - 1].body)) >= 0:
        start -= 1
    return events[min(start, len(events) - 1) :] if events else []


def _quote(rid: str, seq: int, said: dict[str, str]) -> Quote:
    """The quote of message `seq`, from these annotations (read_annotations.lua); an empty one if
    the message was deleted."""
    if "quoted" not in said:
        return Quote()
    (event,) = events_of(rid, [Entry(seq, 0, said["quoted"])])
    return replace(event, body=said.get("changed", event.body)).as_quote
