"""What is said in a room: its numbered events, read by number."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import NotFound, NotMember, Refused
from ..events import (
    DELETE,
    DELETED,
    EDIT,
    POST,
    QUIET,
    REACT,
    UNREACT,
    Event,
    File,
    Quote,
    Reactions,
    pack_files,
)
from ..giving_way import in_pieces
from ..mentions import pack, unpack
from ..metrics import POSTED
from . import keys
from .attention import Attention
from .people import Names, People, Person, uids_in, with_names
from .rooms import Room, pack_by
from .verified import Verified

PAGE_SIZE = 50  # events on a page
PAGES_KEPT = 128  # rooms whose newest page is kept in memory, ...
MAX_KEPT_PAGE_CHARS = 50_000  # ... if its events are no larger than this (Event.size)
MOST_EMOJI = 20  # different ones on one message
MOST_REACTIONS = 500  # on one message, all emoji together
LOOKED_AT = 500  # events in one answer, where all of a room are looked at
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
    """`scripts` are the Lua scripts that change messages, by name."""

    def __init__(
        self,
        client: Any,
        people: People,
        attention: Attention,
        scripts: dict[str, Any],
        seen: Any,
    ) -> None:
        self.client = client
        self.people = people
        self.attention = attention
        self.scripts = scripts
        self._seen = seen
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
        seq, new = self.scripts["post"](
            # Each key has its price; the last two are for mentions alone.
            keys=keys.of_room(rid) if mentions else keys.of_room(rid)[:-2],
            args=[
                keys.room_channel(rid),
                author.uid,
                pack_by(POST, author, body),
                f"{author.uid} {nonce} {digest}" if nonce else "",
                f"{author.uid} {nonce}",
                NONCES_KEPT,
                reply or "",
                pack_files(files),
                *(mentions or [""]),
                seen,
                *(file.fid for file in files),
            ],
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
        kept, said = pack_by(EDIT, by), pack_by(EDIT, by, body)
        args = [keys.room_channel(rid), by.uid, seq, kept, said, body, "1" if others else ""]
        args += self._mentions(rid, by, body)
        _check(self.scripts["revise"](keys=keys.of_room(rid), args=args))

    def _mentions(self, rid: str, by: Person, body: str) -> list[str]:
        """Whom a body mentions, as the last argument of a script; none for nobody."""
        mentions = self.attention.mentions(rid, by.uid, body) if "@" in body else ()
        return [pack(mentions)] if mentions else []

    def delete(
        self, rid: str, by: Person, seq: int, others: bool = False, outside: bool = False
    ) -> None:
        """Delete message `seq` for everyone; `outside`: whoever wrote it, and `by` need not be in
        the room. Raises as `revise` does."""
        rights = "all" if outside else "1" if others else ""
        args = [keys.room_channel(rid), by.uid, seq, pack_by(DELETE, by), rights]
        _check(self.scripts["delete"](keys=keys.of_room(rid), args=args))

    def react(self, rid: str, by: Person, seq: int, emoji: str, wanted: str | int) -> None:
        """Set (`wanted`: "on") or take back ("off") a person's reaction to message `seq`; for a
        number turn it round, unless that person has changed it after the event of this number,
        the last that the page shows. `emoji` is clean (emoji.clean_emoji). Raises NotFound and
        Refused."""
        data = [pack_by(kind, by, emoji) for kind in (REACT, UNREACT)]
        most = [MOST_EMOJI, MOST_REACTIONS]
        args = [keys.room_channel(rid), by.uid, seq, *data, emoji, by.name, wanted, *most]
        _check(self.scripts["react"](keys=keys.of_room(rid), args=args))

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
        return self._back(rid, "+", limit)

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
            events = self._revised(room.rid, self._entries(room.rid, "+", PAGE_SIZE))
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
        return self._back(rid, f"({seq}-0", limit) if seq > 1 else []

    def after(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """The first `limit` events after number `seq`, oldest first."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.room(rid), "first")
        pipeline.xrange(keys.events(rid), f"({seq}-0", "+", count=limit)
        first, entries = pipeline.execute()
        return self._now(rid, _events(rid, entries, seq, first))

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
        pipeline = self.client.pipeline(transaction=False)
        for seq in seqs:
            pipeline.xrange(keys.events(rid), f"{seq}-0", f"{seq}-0")
        answers = pipeline.execute() if seqs else []
        return self._now(rid, [event for entries in answers for event in _events(rid, entries)])

    def written_by(self, rid: str, uid: str) -> Iterator[Event]:
        """All messages of a person in a room, as they were posted, the oldest first. They are
        looked for among all events, some hundred at a time."""
        start, at = f'["{POST}","{uid}",', "-"
        while entries := self.client.xrange(keys.events(rid), at, "+", count=LOOKED_AT):
            for entry in entries:
                if entry[1]["data"].startswith(start):
                    yield from _events(rid, [entry])
            at = f"({entries[-1][0]}"

    def file(self, rid: str, uid: str, fid: str) -> File:
        """The file with this id in room `rid`, for a member; raises NotFound for everybody else
        and when it is gone with its message."""
        member, seq = self._verified.ask(
            ("ZSCORE", keys.members(rid), uid), ("ZSCORE", keys.files(rid), fid)
        )
        at = f"{int(seq)}-0" if member is not None and seq is not None else ""
        entries = self.client.xrange(keys.events(rid), at, at) if at else []
        files = {file.fid: file for event in _events(rid, entries) for file in event.files}
        if fid not in files:
            raise NotFound("There is no such file, or it was deleted.")
        return files[fid]

    def author_of_file(self, rid: str, fid: str) -> str:
        """The id of who sent the file with this id in room `rid`; "" where no message has it."""
        seq = self.client.zscore(keys.files(rid), fid)
        at = "" if seq is None else f"{int(seq)}-0"
        entries = self.client.xrange(keys.events(rid), at, at) if at else []
        return next((event.uid for event in _events(rid, entries)), "")

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
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zscore(keys.members(rid), uid)
        pipeline.hmget(keys.room(rid), "seq", "epoch", "first")
        _ask_after(pipeline, rid, after, limit + 1)
        member, (seq, present, first), *answers = pipeline.execute()
        if member is None or seq is None:
            return None
        entries = _following(after, at, *answers)
        same = (epoch or present) == present and after <= int(seq)
        anew = not same or entries is None or len(entries) > limit
        events = [] if anew else self._now(rid, _events(rid, entries or [], after))
        if anew or len(_last_chars(events, MAX_MISSED_CHARS)) < len(events):
            anew, events = True, _last_chars(self.newest(rid), MAX_MISSED_CHARS)
        upto = events[-1].seq if events else after
        return Missed(events, anew, upto, present or "", int(first or 1))

    def gap(
        self, rid: str, after: int, limit: int, uids: Sequence[str], at: int = 0
    ) -> tuple[int, list[Event] | None, list[str]]:
        """The room's newest number; the first `limit` events after number `after`, of the time
        `at`, None instead of them when they do not follow it; and those of the people `uids` (at
        least one) who must not see them: they are no members any more."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.room(rid), "seq")
        _ask_after(pipeline, rid, after, limit)
        pipeline.zmscore(keys.members(rid), uids)  # last: who was in it before may be gone by then
        answer, *answers, joined = pipeline.execute()
        gone = [uid for uid, since in zip(uids, joined, strict=True) if since is None]
        seq, entries = int(answer or 0), _following(after, at, *answers)
        if entries is None or after > seq:
            return seq, None, gone
        return seq, self._now(rid, _events(rid, entries, after)), gone

    def seen(self, rid: str, uid: str, seq: int) -> bool:
        """Remember that the member `uid` has seen the room up to `seq`; it never goes back. A
        number beyond the newest is from another life of the database and changes nothing. False,
        and nothing is kept, for who is no member."""
        read = [keys.read(rid), keys.room(rid), keys.members(rid)]
        return int(self._seen(keys=read, args=[uid, seq])) >= 0

    def _back(self, rid: str, end: str, limit: int) -> list[Event]:
        return self._now(rid, self._entries(rid, end, limit))

    def _entries(self, rid: str, end: str, limit: int) -> list[Event]:
        """The last `limit` events up to `end`, as they were stored."""
        entries = self.client.xrevrange(keys.events(rid), end, "-", count=limit)
        return _events(rid, entries[::-1])

    def _now(self, rid: str, events: list[Event]) -> list[Event]:
        """The events as they are to be shown now: as they were changed since, and with the names
        and pictures that people have today."""
        return self.people.named(self._revised(rid, events))

    def _revised(self, rid: str, events: list[Event]) -> list[Event]:
        """The events with the bodies that were changed since, the reactions, and what they
        answer and mention."""
        changed = [n for n, event in enumerate(events) if event.kind in (POST, EDIT, *QUIET)]
        if changed:
            seqs = [events[n].about for n in changed]
            answered = list({e.number for e in events if e.kind == POST and e.number})
            pipeline = self.client.pipeline(transaction=False)
            pipeline.hmget(keys.edits(rid), [*seqs, *answered])
            pipeline.hmget(keys.reactions(rid), seqs)
            pipeline.hmget(keys.mentions(rid), seqs)
            pipeline.hget(keys.room(rid), "first")
            for seq in answered:
                pipeline.xrange(keys.events(rid), f"{seq}-0", f"{seq}-0")
            bodies, states, mentions, first, *entries = pipeline.execute()
            revised = bodies[len(seqs) :]
            quotes = {
                seq: _quote(rid, entry, body)
                for seq, entry, body in zip(answered, entries, revised, strict=True)
                if seq >= int(first or 1)  # what is kept no longer is not quoted
            }
            now = zip(changed, bodies[: len(seqs)], states, mentions, strict=True)
            for n, body, state, mentioned in in_pieces(now):  # reactions may be many
                if body is not None and not events[n].is_quiet:
                    events[n] = replace(events[n], body=body, edited=True)
                if mentioned is not None and not events[n].is_quiet:
                    events[n] = replace(events[n], mentions=unpack(mentioned))
                if state is not None and events[n].kind != EDIT:
                    events[n] = replace(events[n], reactions=Reactions.parse(state))
                if events[n].kind == POST and events[n].number:
                    events[n] = replace(events[n], quote=quotes.get(events[n].number))
        return events


def _ask_after(pipeline: Any, rid: str, after: int, limit: int) -> None:
    """Ask for the oldest event that is kept, for event `after`, and for `limit` behind it."""
    pipeline.xrange(keys.events(rid), "-", "+", count=1)
    pipeline.xrange(keys.events(rid), f"{after}-0", "+", count=limit + 1)


def _last_chars(events: list[Event], chars: int) -> list[Event]:
    """The last of the events, as many as have so many characters together, but one at least."""
    start, left = len(events), chars
    while start and (left := left - len(events[start - 1].body)) >= 0:
        start -= 1
    return events[min(start, len(events) - 1) :] if events else []


def _following(after: int, at: int, oldest: list[Any], entries: list[Any]) -> list[Any] | None:
    """Of what `_ask_after` asked for, the entries behind number `after`; None when they do not
    follow it: what came next is kept no longer, or event `after` was lost (in a failover to a
    replica that lagged) and its number is that of another now, which has another time."""
    if entries and _seq(entries[0]) == after:
        return entries[1:] if not at or int(entries[0][1]["at"]) == at else None
    # The first event of a room is never deleted: what is not there before the oldest is trimmed.
    return entries if oldest and _seq(oldest[0]) <= after + 1 else None


def _seq(entry: tuple[str, dict[str, str]]) -> int:
    return int(entry[0].partition("-")[0])


def _events(
    rid: str, entries: list[tuple[str, dict[str, str]]], after: int = 0, first: str | None = None
) -> list[Event]:
    """Stream entries as events, with something in the place of those that were deleted: their
    numbers are missing after number `after` (0: after the first entry) and between entries. What
    is missing before the number `first` was not deleted but is no longer kept."""
    events: list[Event] = []
    after = max(after, int(first or 1) - 1)
    for entry in entries:
        seq, at = _seq(entry), int(entry[1]["at"])
        missing = range(events[-1].seq + 1 if events else (after + 1 if after else seq), seq)
        events += [_deleted(rid, n, at) for n in missing]
        events.append(Event.parse(rid, seq, at, entry[1]["data"]))
    return events


def _quote(rid: str, entries: list[tuple[str, dict[str, str]]], body: str | None) -> Quote:
    """What is quoted of the message with these stream entries (none: it was deleted); `body` is
    what it was changed to."""
    events = _events(rid, entries)
    if not events:
        return Quote()
    return replace(events[0], body=events[0].body if body is None else body).as_quote


def _deleted(rid: str, seq: int, at: int) -> Event:
    return Event(rid, seq, at, DELETED, "", "", "")


def _check(answer: int) -> None:
    if answer == -1:
        raise NotFound("There is no such message in this room.")
    if answer == -2:
        raise Refused("Only the author may change that message.")
    if answer == -3:
        raise Refused("That message has as many reactions as it can take.")
