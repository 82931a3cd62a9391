"""What is said in a room: its numbered events, read by number."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..domain.errors import NotFound, NotMember, Refused
from ..domain.events import (
    DELETE,
    DELETED,
    EDIT,
    POST,
    REACT,
    SILENT,
    Event,
    File,
    Quote,
    Reactions,
    pack_files,
    stored_start,
)
from ..domain.mentions import pack, unpack
from ..observability.metrics import POSTED
from ..runtime.cooperation import give_way
from . import keys
from .history import NEWEST, Entry, History, Piece, events_of
from .lua import Script
from .notifications import Attention
from .people import Names, People, Person, uids_in, with_names
from .rooms import Room, event_by
from .verified import Verified

PAGE_SIZE = 50  # events on a page
PAGES_KEPT = 128  # rooms whose newest page is kept in memory, ...
MAX_KEPT_PAGE_CHARS = 50_000  # ... if its events are no larger than this (Event.size)
MOST_EMOJI = 20  # different ones on one message
MOST_REACTIONS = 500  # on one message, all emoji together
LOOKED_AT = 500  # events that are looked through at a time, where all of a room are
MAX_MISSED_CHARS = 100_000  # typed in the messages of one answer to a page that comes back
NONCES_KEPT = 5_000  # events after which a resend is no longer known as one


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


class Messages:
    def __init__(self, client: Any, people: People, attention: Attention) -> None:
        self.client = client
        self.people = people
        self.attention = attention
        self._post = Script(client, "post")
        self._edit = Script(client, "edit_message")
        self._delete = Script(client, "delete_message")
        self._react = Script(client, "react")
        self._mark_read = Script(client, "mark_read")
        self.history = History(client)
        self._verified = Verified(client)
        self._pages: OrderedDict[str, Page] = OrderedDict()

    # Writing

    def post(
        self,
        rid: str,
        author: Person,
        body: str,
        nonce: str = "",
        reply: int = 0,
        files: Sequence[File] = (),
        seen: int = 0,
    ) -> int:
        """Store and publish a message; returns its number. `reply` is the number of the message
        that it answers; one that is not there is left out. `files` are kept already. `seen` is the
        last number that the author was shown; what came after that stays unread.

        The same nonce with the same body, and files of the same names, by the same author is a
        resend: nothing is stored and the first one's number is returned. An empty nonce is never a
        resend. Raises NotFound, NotMember, and redis's errors; after one of those the message may
        have been stored, and posting it again with its nonce is safe.
        """
        said = "\0".join([body, *(file.name for file in files)])
        digest = hashlib.sha256(said.encode()).hexdigest()[:32]
        mentions = self._mentions(rid, author, body)
        seq, new = self._post(
            # Each key has its price; the last two are for mentions alone.
            keys.of_room(rid) if mentions else keys.of_room(rid)[:-2],
            event_by(POST, author, body),
            resend=f"{author.uid} {nonce} {digest}" if nonce else "",
            composer=f"{author.uid} {nonce}",
            nonces_kept=NONCES_KEPT,
            reply=reply or "",
            files=pack_files(files),
            mentions=mentions,
            shown=seen,
            rest=[file.fid for file in files],
        )
        if seq == -1:
            raise NotFound("There is no such room.")
        if seq == -2:
            raise NotMember("Join the room first to write here.")
        if new:
            POSTED.inc()
        return int(seq)

    def revise(self, rid: str, by: Person, seq: int, body: str, others: bool = False) -> None:
        """Change the body of message `seq`; `others`: it need not be the person's own. Raises
        NotFound and Refused."""
        answer = self._edit(
            keys.of_room(rid),
            event_by(EDIT, by),
            seq=seq,
            body=body,
            others="1" if others else "",
            mentions=self._mentions(rid, by, body),
        )
        _check(answer)

    def _mentions(self, rid: str, by: Person, body: str) -> str:
        """Whom a body mentions, in the stored form; "" for nobody."""
        mentions = self.attention.mentions(rid, by.uid, body) if "@" in body else ()
        return pack(mentions) if mentions else ""

    def delete(
        self, rid: str, by: Person, seq: int, others: bool = False, outside: bool = False
    ) -> None:
        """Delete message `seq` for everyone; `outside`: whoever wrote it, and `by` need not be in
        the room. Raises as `revise` does."""
        rights = "all" if outside else "1" if others else ""
        _check(self._delete(keys.of_room(rid), event_by(DELETE, by), seq=seq, rights=rights))

    def react(self, rid: str, by: Person, seq: int, emoji: str, wanted: str | int) -> None:
        """Set (`wanted`: "on") or take back ("off") a person's reaction to message `seq`; for a
        number turn it round, unless that person has changed it after the event of this number,
        the last that the page shows. `emoji` is clean (emoji.clean_emoji). Raises NotFound and
        Refused."""
        answer = self._react(
            keys.of_room(rid),
            event_by(REACT, by, emoji),
            seq=seq,
            wanted=wanted,
            emoji_limit=MOST_EMOJI,
            limit=MOST_REACTIONS,
        )
        _check(answer)

    def posted(self, rid: str, author: Person, nonce: str) -> str | None:
        """The body that was first posted with this nonce; None when there was none, or is none
        any more."""
        seq = self.client.zscore(keys.nonces(rid), f"{author.uid} {nonce}")
        events = [] if seq is None else self.after(rid, int(seq) - 1, 1)
        there = events and events[0].seq == seq and events[0].kind == POST
        return events[0].body if there else None

    # Reading

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
            is_small = sum(event.size for event in events) <= MAX_KEPT_PAGE_CHARS
            self._pages.pop(room.rid, None)
            if is_small and room.at and events and events[-1].seq == room.seq:
                self._pages[room.rid] = page
                if len(self._pages) > PAGES_KEPT:
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
            raise NotFound("This message is old, and old messages are not kept here.")
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
        while entries := self.history.piece(rid, "after", seq, LOOKED_AT).entries:
            for entry in entries:
                if entry.data.startswith(start):
                    yield from events_of(rid, [entry])
            seq = entries[-1].seq

    def file(self, rid: str, uid: str, fid: str) -> File:
        """The file with this id in room `rid`, for a member; raises NotFound for everybody else
        and when it is gone with its message."""
        member, seq = self._verified.ask(
            ("ZSCORE", keys.members(rid), uid), ("ZSCORE", keys.files(rid), fid)
        )
        is_there = member is not None and seq is not None
        entries = self.history.these(rid, [int(seq)]) if is_there else []
        files = {file.fid: file for event in events_of(rid, entries) for file in event.files}
        if fid not in files:
            raise NotFound("There is no such file, or it was deleted.")
        return files[fid]

    def author_of_file(self, rid: str, fid: str) -> str:
        """The id of who sent the file with this id in room `rid`; "" where no message has it."""
        seq = self.client.zscore(keys.files(rid), fid)
        entries = [] if seq is None else self.history.these(rid, [int(seq)])
        return next((event.uid for event in events_of(rid, entries)), "")

    def holds(self, rid: str, seq: int, files: Sequence[File]) -> bool:
        """Whether message `seq` has these files (at least one): not when it was a repeat."""
        return bool(self.client.zscore(keys.files(rid), files[0].fid) == seq)

    def first_since(self, rid: str, at: int) -> int:
        """The number of the first event that is not older than `at` (ms), 0 for none. Numbers and
        times grow together but for a clock that was set back, which costs some accuracy."""
        first, newest = self.client.hmget(keys.room(rid), "first", "seq")
        low, high = int(first or 1), int(newest or 0) + 1
        while low < high:
            middle = (low + high) // 2
            entries = self.client.xrange(keys.events(rid), f"{middle}-0", "+", count=1)
            if not entries or int(entries[0][1]["at"]) >= at:
                high = middle
            else:
                low = middle + 1
        return low if low <= int(newest or 0) else 0

    def unsee(self, rid: str, uid: str, seq: int) -> None:
        """Forget that the member `uid` has seen message `seq` and what followed."""
        self.client.hset(keys.read(rid), uid, max(0, seq - 1))
        if self._verified.one("ZSCORE", keys.members(rid), uid) is None:  # who has left meanwhile
            self.client.hdel(keys.read(rid), uid)

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

    def seen(self, rid: str, uid: str, seq: int, at: int = 0) -> bool:
        """Remember that the member `uid` has seen the room up to event `seq`, of the time `at` (ms;
        0: not known); it never goes back. What names an event of another life of the database
        changes nothing: a number beyond the newest, or one whose event has another time. False,
        and nothing is kept, for who is no member."""
        return self.seen_by(rid, [uid], seq, at)[0]

    def seen_by(self, rid: str, uids: list[str], seq: int, at: int = 0) -> list[bool]:
        """The same for several people in one round trip; says of each whether they are a member."""
        names = [keys.read(rid), keys.room(rid), keys.members(rid), keys.events(rid)]
        return [member == 1 for member in self._mark_read(names, seq=seq, at=at, rest=uids)]

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


def _check(answer: int) -> None:
    if answer == -1:
        raise NotFound("There is no such message in this room.")
    if answer == -2:
        raise Refused("Only the author may change that message.")
    if answer == -3:
        raise Refused("That message has as many reactions as it can take.")
