"""Reading the messages of a room, as they are to be shown now."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..domain.errors import NotFound
from ..domain.events import (
    DELETE,
    DELETED,
    EDIT,
    POST,
    SILENT,
    Event,
    Quote,
    Reactions,
    stored_start,
)
from ..domain.mentions import unpack
from ..runtime.cooperation import give_way
from . import keys
from .current_names import uids_in, with_names
from .history import NEWEST, Entry, History, Piece, events_of
from .people import People
from .person import Names
from .room_reads import Room

PAGE_SIZE = 50  # events on a page
MAX_CACHED_PAGES = 128  # rooms whose newest page is kept in memory, ...
MAX_CACHED_PAGE_CHARS = 50_000  # ... if its events are no larger than this (Event.size)
SCAN_COUNT = 500  # events that are looked through at a time, where all of a room are
MAX_MISSED_CHARS = 100_000  # typed in the messages of one answer to a page that comes back


@dataclass(frozen=True, slots=True)
class Missed:
    """What a page lacks. `replace`: it knows another history, or lacks too much or what is no
    longer kept; `events` are then a page of the newest, to be shown instead of its list. `first`
    is the oldest number that is kept."""

    events: list[Event]
    replace: bool
    seq: int
    epoch: str
    first: int = 1


@dataclass(slots=True)
class Page:
    """The newest events of a room while it is in this `state`, and how they were `shown` last: with
    the `names` that people had then."""

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
        return self._back(rid, NEWEST, limit)

    def renamed(self, rid: str) -> list[Event]:
        """Those of the newest events that show somebody whose name, tag or picture has changed
        since they were stored, as they are to be shown now."""
        with self.history.turns.turn():
            entries = self.history.before(rid, NEWEST, PAGE_SIZE)
            stored = self._revised(rid, _without_deleted(events_of(rid, entries)))
            now = self.people.named(stored)
        return [event for before, event in zip(stored, now, strict=True) if event != before]

    def page(self, room: Room) -> list[Event]:
        """The newest events of a room that was just read, as `newest` has them. They are asked for
        once and kept until the room has another one, for whatever changes what they show has a
        number; but who wrote them may be called otherwise any time."""
        # A number alone does not say which event it is: a failover may lose it and give it to
        # another. So it takes the whole of the newest event, and of a quiet one the room has the
        # number only.
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

    def before(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """The `limit` events before number `seq`, oldest first."""
        return self._back(rid, seq, limit) if seq > 1 else []

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
        """Those of the events with these numbers that are there, in this order."""
        with self.history.turns.turn():
            found = self.history.these(rid, seqs)
            return self._now(rid, [event for one in found for event in events_of(rid, [one])])

    def written_by(self, rid: str, uid: str) -> Iterator[Event]:
        """All messages of a person in a room, as they were posted, the oldest first. They are
        looked for among all events, some at a time."""
        start, seq = stored_start(POST, uid), 0
        while entries := self.history.piece(rid, "after", seq, SCAN_COUNT).entries:
            for entry in entries:
                if entry.data.startswith(start):
                    yield from events_of(rid, [entry])
            seq = entries[-1].seq

    def around(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """Events around number `seq`, which is among them, oldest first. Raises NotFound."""
        self.get(rid, seq)
        return self.before(rid, seq + 1, limit // 2 + 1) + self.after(rid, seq, limit // 2)

    def missed(
        self, rid: str, uid: str, after: int, epoch: str, limit: int = 300, at: int = 0
    ) -> Missed | None:
        """What the page of `uid` that shows `rid` up to number `after`, of the time `at`, lacks;
        None when `uid` is no member. An `epoch` of "" is taken as the present one, and so is
        an `at` of 0."""
        with self.history.turns.turn():
            piece = self.history.piece(rid, "after", after, limit + 1, [uid])
            if piece.gone or piece.seq is None:
                return None
            events: list[Event] | None = None
            if (epoch or piece.epoch) == piece.epoch and after <= piece.seq <= after + limit:
                events = self._following(rid, uid, after, at, limit, piece)
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

    def _following(
        self, rid: str, uid: str, after: int, at: int, limit: int, piece: Piece
    ) -> list[Event] | None:
        """The events behind number `after`, of which `piece` has the first; None when they do not
        follow what the page shows, or are too many for it."""
        epoch, last, chars = piece.epoch, after, 0
        events: list[Event] = []
        while True:
            if not piece.follows(last, at) or piece.gone or piece.epoch != epoch:
                return None
            some = events_of(rid, piece.entries, last)
            events += some
            chars += sum(len(event.body) for event in some)
            if len(events) > limit or chars > MAX_MISSED_CHARS:
                return None
            if not piece.more:
                break
            last, at = events[-1].seq, events[-1].at
            piece = self.history.piece(rid, "after", last, limit + 1 - len(events), [uid])
        events = self._now(rid, events)
        return events if len(_last_chars(events, MAX_MISSED_CHARS)) == len(events) else None

    def gap(
        self, rid: str, after: int, limit: int, uids: Sequence[str], at: int = 0
    ) -> tuple[int, list[Event] | None, list[str]]:
        """The room's newest number; the first `limit` events after number `after`, of the time
        `at`, None instead of them when they do not follow it; and those of the people `uids` (at
        least one) who must not see them: they are no members any more."""
        with self.history.turns.turn():
            seq, entries, gone = self.history.gap(rid, after, at, limit, uids)
            if entries is None:
                return seq, None, gone
            return seq, self._now(rid, events_of(rid, entries, after)), gone

    def _back(self, rid: str, end: int | str, limit: int) -> list[Event]:
        """The last `limit` events in front of number `end`, oldest first."""
        with self.history.turns.turn():
            entries = self.history.before(rid, end, limit)
            return self._now(rid, events_of(rid, entries))

    def _now(self, rid: str, events: list[Event]) -> list[Event]:
        """The events as they are to be shown now: as they were changed since, and with the names
        and pictures that people have today."""
        return self.people.named(self._revised(rid, _without_deleted(events)))

    def _revised(self, rid: str, events: list[Event]) -> list[Event]:
        """The events with the bodies that were changed since, the reactions, and what they
        answer and mention."""
        changed = [n for n, event in enumerate(events) if event.kind in (POST, EDIT, *SILENT)]
        if not changed:
            return events
        answered: dict[int, int] = {}  # the place in `asked` with which each is read
        asked: list[tuple[int, int | str]] = []
        for n in changed:
            number = events[n].number if events[n].kind == POST else 0
            is_new = number and answered.setdefault(number, len(asked)) == len(asked)
            asked.append((events[n].about, number if is_new else ""))
        first, beside = self.history.beside(rid, asked)
        said: dict[int, dict[str, str]] = {}
        for n, what, value in beside:
            said.setdefault(n, {})[what] = value
        for n, at in enumerate(changed):
            events[at] = _as_now(events[at], said.get(n, {}))
            if (number := events[at].number) and events[at].kind == POST and number >= first:
                quoted = said.get(answered[number], {})
                events[at] = replace(events[at], quote=_quote(rid, number, quoted))
            give_way()  # reactions may be many
        return events


def _without_deleted(events: list[Event]) -> list[Event]:
    """The events with something in the place of messages that were deleted after they were read,
    in an earlier piece than the event that says so: nobody would be told that again."""
    deleted = {event.number for event in events if event.kind == DELETE}
    if deleted.isdisjoint([event.seq for event in events]):
        return events
    return [
        Event(event.room, event.seq, event.at, DELETED, "", "", "")
        if event.seq in deleted
        else event
        for event in events
    ]


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
    """The last of the events, as many as have so many characters together, but one at least."""
    start, left = len(events), chars
    while start and (left := left - len(events[start - 1].body)) >= 0:
        start -= 1
    return events[min(start, len(events) - 1) :] if events else []


def _quote(rid: str, seq: int, said: dict[str, str]) -> Quote:
    """The quote of message `seq`, from these annotations (read_annotations.lua); an empty one when
    the message was deleted."""
    if "quoted" not in said:
        return Quote()
    (event,) = events_of(rid, [Entry(seq, 0, said["quoted"])])
    return replace(event, body=said.get("changed", event.body)).as_quote
