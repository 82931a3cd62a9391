"""What points to rooms and people, held against them: the index of open rooms against the rooms,
lists against members, logins against people, and so on, and what is wrong put right.

It works on a running chat. What is half done at the moment looks wrong, so what seems wrong is
looked at again after a while, and only what still is wrong counts.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..domain.events import Event
from ..domain.mentions import reached, unpack
from ..domain.validation import number
from . import keys
from .batches import batched
from .history import NEWEST, Entry, History
from .people import GUEST, all_entries, entries, looks
from .room_kinds import ENDED, ENDED_ROOM_SECONDS, OPEN, RANDOM
from .rooms import Rooms

FEW = 4  # texts that are read in one command
PAGE = 500  # keys or members that are looked at in one command
SETTLES = 2.0  # seconds after which what is half done is done
_ROOM = re.compile(r"chat:room:\{([^{}]+)\}(:\w+)?")
_USER = re.compile(r"chat:user:\{([^{}]+)\}(:[\w:]+)?")
_LOGIN = re.compile(r"chat:login:\{([^{}]+)\}")
_TOKEN = re.compile(r"chat:token:(\w+)")
_SUBJECT = re.compile(r"chat:subject:(\w+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, in plain words, and what puts it right; None when nothing can."""

    text: str
    repair: Callable[[], object] | None


Look = Callable[[], Iterable[Finding]]  # at one thing; it may be repeated


class Check:
    def __init__(self, client: Any, rooms: Rooms) -> None:
        self.client = client
        self.rooms = rooms
        self.history = History(client)

    def everything(self, settles: float = SETTLES) -> Iterator[Finding]:
        """All that is wrong; it takes a while. What is suspect is looked at again after so many
        seconds."""
        suspect = [look for look in self._looks() if any(look())]
        if suspect:
            time.sleep(settles)
        for look in suspect:
            yield from look()

    def _looks(self) -> Iterator[Look]:
        for name in self.client.scan_iter(match="chat:*", count=PAGE):
            yield from self._looks_at_key(name)
        for rid, _ in self.client.zscan_iter(keys.OPEN_ROOMS, count=PAGE):
            yield partial(self.open_room, rid)
        for rid, _ in self.client.zscan_iter(keys.RANDOM_ROOMS, count=PAGE):
            yield partial(self.random_room, rid)
        for seat, _ in self.client.zscan_iter(keys.RANDOM_SEATS, count=PAGE):
            yield partial(self.seat, seat)
        for key in (keys.NAMES, keys.LOOKALIKES):
            for entry, _ in self.client.zscan_iter(key, count=PAGE):
                yield partial(self.name, key, entry)
        for key, what in ((keys.BOTS, "bot"), (keys.HOOKS, "webhook")):
            for uid in self.client.sscan_iter(key, count=PAGE):
                yield partial(self.listed, key, uid, what)

    def _looks_at_key(self, name: str) -> Iterator[Look]:
        if found := _ROOM.fullmatch(name):
            rid, part = found.groups()
            yield partial(self.part, name, keys.room(rid)) if part else partial(self.room, rid)
        elif found := _USER.fullmatch(name):
            uid, part = found.groups()
            yield partial(self.part, name, keys.user(uid)) if part else partial(self.person, uid)
        elif found := _LOGIN.fullmatch(name):
            yield partial(self.login, found[1])
        elif found := _TOKEN.fullmatch(name):
            yield partial(self.token, found[1])
        elif _SUBJECT.fullmatch(name):
            yield partial(self.subject, name)

    def part(self, name: str, whole: str) -> Iterator[Finding]:
        """Something that is kept for a room or a person who is there no longer."""
        if not self.client.exists(whole) and self.client.ttl(name) == -1:
            yield Finding(f"{name} belongs to nothing", partial(self.client.unlink, name))

    # A room

    def room(self, rid: str) -> Iterator[Finding]:
        """What is wrong with a room, and with what points to it."""
        fields = self.client.hgetall(keys.room(rid))
        if not fields:
            return
        lacks = [name for name in ("name", "kind", "epoch", "seq", "last") if name not in fields]
        if lacks:
            yield Finding(f"the room {rid} has no {' and no '.join(lacks)}", None)
            return
        yield from self._numbers(rid, fields)
        if fields["kind"] == ENDED:
            yield from self._ended(rid)
            return
        yield from self._members(rid)
        yield from self._marks(rid, int(fields["seq"]))
        yield from self._beside(rid, keys.edits(rid), "the text of")
        yield from self._beside(rid, keys.reactions(rid), "the reactions to")
        yield from self._files(rid)
        yield from self._beside(rid, keys.mentions(rid), "the mentions in")
        yield from self._mentioned(rid)
        if fields["kind"] == OPEN and self.client.zscore(keys.OPEN_ROOMS, rid) is None:
            at = fields.get("created", 0)
            add = partial(self.client.zadd, keys.OPEN_ROOMS, {rid: at})
            yield Finding(f"the open room {rid} is not in the index of open rooms", add)
        if fields["kind"] == RANDOM:
            yield from self._seats(rid)

    def _numbers(self, rid: str, fields: dict[str, str]) -> Iterator[Finding]:
        """The number of the newest event against the stream, which is the record."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.xrange(keys.events(rid), count=1)
        pipeline.xrevrange(keys.events(rid), count=1)
        oldest, newest = pipeline.execute()
        if not newest:
            yield Finding(f"the room {rid} has no events", None)
            return
        seq, first, last = int(fields["seq"]), _number(oldest[0][0]), _number(newest[0][0])
        if last < seq:
            yield Finding(
                f"the room {rid} is at number {seq}, but its last event has number {last}",
                self._put_back(rid, seq, fields["last"]),
            )
        elif last > seq or self._is_older(rid, fields["last"], last):
            change = {"seq": last, "last": self._newest_line(rid) or fields["last"]}
            yield Finding(
                f"the room {rid} does not know its last event, number {last}",
                partial(self.client.hset, keys.room(rid), mapping=change),
            )
        begins = int(fields.get("first", 1))
        if first < begins or (first > 1 and begins == 1):
            yield Finding(
                f"the room {rid} is said to begin at number {begins}, but begins at {first}",
                partial(self.client.hset, keys.room(rid), "first", first),
            )

    def _is_older(self, rid: str, line: str, seq: int) -> bool:
        """Whether something between the line and number `seq` is to be read."""
        told = number(line.partition(" ")[0])
        if told >= seq:
            return told > seq
        newest = self._newest_line(rid)
        return bool(newest) and number(newest.partition(" ")[0]) != told

    def _newest_line(self, rid: str) -> str:
        """The newest event that is something to read, as a line; "" where none is kept."""
        before: int | str = NEWEST
        while entries := self.history.piece(rid, "before", before, PAGE).entries:
            for entry in entries:
                if not Event.parse(rid, *entry).is_silent:
                    return f"{entry.seq} {entry.at} {entry.data}"
            before = entries[-1].seq
        return ""

    def _put_back(self, rid: str, seq: int, line: str) -> Callable[[], object] | None:
        """The newest event is in the room's hash too; what is missing before it is lost."""
        event = Event.parse_line(rid, line)
        if event.seq != seq:
            return None
        fields = {"at": event.at, "data": line.split(" ", 2)[2]}
        return partial(self.client.xadd, keys.events(rid), fields, id=f"{seq}-0")

    def _ended(self, rid: str) -> Iterator[Finding]:
        kept = (keys.room(rid), keys.events(rid), keys.files(rid))
        rest = [key for key in keys.of_room(rid) if key not in kept]
        if self.client.exists(*rest):
            yield Finding(
                f"the room {rid} has ended, but not all of it has gone",
                partial(self.client.unlink, *rest),
            )
        if self.client.exists(keys.past_members(rid)):
            agree = partial(self.rooms.pointers.agree_room, rid)
            yield Finding(f"the room {rid} has ended, and may still be in lists of people", agree)
        for key in kept:
            if self.client.ttl(key) == -1:
                yield Finding(
                    f"the room {rid} has ended, but {key} is kept for ever",
                    partial(self.client.expire, key, ENDED_ROOM_SECONDS),
                )

    def _members(self, rid: str) -> Iterator[Finding]:
        for members in batched(self.client.zscan_iter(keys.members(rid), count=PAGE), PAGE):
            pipeline = self.client.pipeline(transaction=False)
            for uid, _ in members:
                pipeline.exists(keys.user(uid))
                pipeline.sismember(keys.user_rooms(uid), rid)
            answers = pipeline.execute()
            for n, (uid, _) in enumerate(members):
                if not answers[2 * n]:
                    gone = partial(self.client.zrem, keys.members(rid), uid)
                    yield Finding(f"the room {rid} has a member {uid}, who is nobody", gone)
                elif not answers[2 * n + 1]:
                    add = partial(self.rooms.mend_list, rid, uid)
                    yield Finding(f"the list of {uid} lacks the room {rid}", add)

    def _marks(self, rid: str, seq: int) -> Iterator[Finding]:
        """How far people have read."""
        for marks in batched(self.client.hscan_iter(keys.read(rid), count=PAGE), PAGE):
            joined = self.client.zmscore(keys.members(rid), [uid for uid, _ in marks])
            for (uid, read), member in zip(marks, joined, strict=True):
                if member is None:
                    gone = partial(self.client.hdel, keys.read(rid), uid)
                    yield Finding(f"how far {uid} has read {rid} is kept for no member", gone)
                elif int(read) > seq:
                    back = partial(self.client.hset, keys.read(rid), uid, seq)
                    yield Finding(f"{uid} is said to have read {rid} beyond its end", back)

    def _beside(self, rid: str, key: str, what: str) -> Iterator[Finding]:
        """What is kept beside messages, by their numbers."""
        for kept in batched(self.client.hscan_iter(key, count=FEW), FEW):
            there = self._there(rid, (int(seq) for seq, _ in kept))
            for seq, _ in kept:
                if int(seq) not in there:
                    gone = partial(self.client.hdel, key, seq)
                    yield Finding(f"the room {rid} keeps {what} {seq}, which is gone", gone)

    def _there(self, rid: str, seqs: Iterable[int]) -> dict[int, Entry]:
        """Those of the events with these numbers that are there."""
        return {entry.seq: entry for entry in self.history.these(rid, list(seqs))}

    def _files(self, rid: str) -> Iterator[Finding]:
        """The index of files against the messages that have them."""
        for kept in batched(self.client.zscan_iter(keys.files(rid), count=PAGE), PAGE):
            there = self._there(rid, (int(seq) for _, seq in kept))
            for fid, seq in kept:
                if int(seq) not in there or fid not in _fids(rid, there[int(seq)]):
                    gone = partial(self.client.zrem, keys.files(rid), fid)
                    text = f"the room {rid} keeps the file {fid} of {int(seq)}, which has none such"
                    yield Finding(text, gone)

    def _mentioned(self, rid: str) -> Iterator[Finding]:
        """What mentions whom, against who is mentioned in what."""
        index = keys.mentioned(rid)
        for found in batched(self.client.zscan_iter(index, count=PAGE), PAGE):
            parts = [entry.split(" ") for entry, _ in found]
            seqs = list(dict.fromkeys(seq for _, _, seq in parts))
            kept: dict[str, str | None] = {}
            for some in batched(seqs, FEW):
                kept |= zip(some, self.client.hmget(keys.mentions(rid), some), strict=True)
            for (entry, _), (uid, _, seq) in zip(found, parts, strict=True):
                mentions = kept[seq]
                if uid not in reached(unpack(mentions or "[]")):
                    gone = partial(self.client.zrem, index, entry)
                    yield Finding(f"message {seq} of {rid} is said to mention {uid}", gone)
        for some in batched(self.client.hscan_iter(keys.mentions(rid), count=FEW), FEW):
            there = self._there(rid, (int(seq) for seq, _ in some))
            for seq, mentions in some:
                stored = there.get(int(seq))
                lacks = [f"{uid} {stored.at} {seq}" for uid in reached(unpack(mentions)) if stored]
                lacks = [entry for entry in lacks if self.client.zscore(index, entry) is None]
                if lacks:
                    add = partial(self.client.zadd, index, dict.fromkeys(lacks, 0))
                    yield Finding(f"message {seq} of {rid} is not found by whom it mentions", add)

    def _seats(self, rid: str) -> Iterator[Finding]:
        uids, score = self.rooms.uids(rid), self.client.zscore(keys.RANDOM_ROOMS, rid)
        if score != len(uids):
            count = partial(self.client.zadd, keys.RANDOM_ROOMS, {rid: len(uids)})
            yield Finding(f"the seats of the random room {rid} are not those taken", count)
        for uid in uids:
            if self.client.zscore(keys.RANDOM_SEATS, f"{uid} {rid}") is None:
                add = partial(self.client.zadd, keys.RANDOM_SEATS, {f"{uid} {rid}": 0})
                yield Finding(f"{uid} is in the random room {rid} without a seat", add)

    # A person

    def person(self, uid: str) -> Iterator[Finding]:
        """What is wrong with a person, and with what points to them."""
        yield from self.known(uid)
        yield from self._list(uid)
        yield from self._levels(uid)
        yield from self._drafts(uid)
        yield from self._tokens(uid)
        yield from self._hook(uid)

    def known(self, uid: str) -> Iterator[Finding]:
        """Whether a person is found by name and login, and among the bots."""
        fields = self.client.hgetall(keys.user(uid))
        if not fields:
            return
        name, login = fields.get("name", ""), fields.get("login", "")
        if not name:
            yield Finding(f"the person {uid} has no name", None)
            return
        if fields.get("role", GUEST) != GUEST and self.client.ttl(keys.user(uid)) >= 0:
            keep = partial(self.client.persist, keys.user(uid))
            yield Finding(f"{uid}, who is no guest, is to be forgotten", keep)
        for key, whole, what in (
            (keys.NAMES, entries(uid, name), "the name"),
            (keys.LOOKALIKES, looks(uid, name), "names that look like"),
        ):
            if None in self.client.zmscore(key, whole) and not fields.get("forgotten"):
                add = partial(self.client.zadd, key, dict.fromkeys(whole, 0))
                yield Finding(f"{uid} is not found by {what} {name!r}", add)
        if login and (owner := self.client.get(keys.login(login))) != uid:
            taken = owner is not None and self.client.exists(keys.user(owner))
            yield Finding(
                f"the login {login!r} of {uid} leads to {owner or 'nobody'}",
                None if taken else partial(self.client.set, keys.login(login), uid),
            )
        for key, is_in, what in (
            (keys.BOTS, fields.get("bot"), "bots"),
            (keys.HOOKS, self.client.exists(keys.hook(uid)), "bots with a webhook"),
        ):
            if is_in and not self.client.sismember(key, uid):
                add = partial(self.client.sadd, key, uid)
                yield Finding(f"{uid} is not in the list of {what}", add)

    def _list(self, uid: str) -> Iterator[Finding]:
        for rids in batched(self.client.sscan_iter(keys.user_rooms(uid), count=PAGE), PAGE):
            for rid in self._not_in(uid, rids):
                gone = partial(self.client.srem, keys.user_rooms(uid), rid)
                yield Finding(f"the list of {uid} has the room {rid}, without membership", gone)

    def _levels(self, uid: str) -> Iterator[Finding]:
        for levels in batched(self.client.hscan_iter(keys.levels(uid), count=PAGE), PAGE):
            for rid in self._not_in(uid, [rid for rid, _ in levels]):
                gone = partial(self.client.hdel, keys.levels(uid), rid)
                yield Finding(f"how much {uid} wants to hear of {rid} is kept for no member", gone)

    def _drafts(self, uid: str) -> Iterator[Finding]:
        for drafts in batched(self.client.hscan_iter(keys.drafts(uid), count=PAGE), PAGE):
            for rid in self._not_in(uid, [rid for rid, _ in drafts]):
                gone = partial(self.client.hdel, keys.drafts(uid), rid)
                yield Finding(f"what {uid} has not sent in {rid} is kept for no member", gone)

    def _not_in(self, uid: str, rids: list[str]) -> list[str]:
        """Those of the rooms in which a person is not."""
        pipeline = self.client.pipeline(transaction=False)
        for rid in rids:
            pipeline.zscore(keys.members(rid), uid)
        joined = zip(rids, pipeline.execute(), strict=True)
        return [rid for rid, at in joined if at is None]

    def _tokens(self, uid: str) -> Iterator[Finding]:
        for tid in self.client.smembers(keys.tokens(uid)):
            if self.client.hget(keys.token(tid), "uid") != uid:
                gone = partial(self.client.srem, keys.tokens(uid), tid)
                yield Finding(f"{uid} is said to have a token that is not there", gone)

    def _hook(self, uid: str) -> Iterator[Finding]:
        """How far a bot was told of its rooms, and what it is still to be told."""
        hook, *parts = keys.of_hook(uid)
        if not self.client.exists(hook) and self.client.exists(*parts):
            drop_all = partial(self.client.unlink, *parts)
            yield Finding(f"something is kept of a webhook of {uid}, which is gone", drop_all)
        cursors, queue = keys.hook_cursors(uid), keys.hook_queue(uid)
        for told in batched(self.client.hscan_iter(cursors, count=PAGE), PAGE):
            gone = self._not_in(uid, [rid for rid, _ in told])
            for rid, cursor in told:
                newest = int(self.client.hget(keys.room(rid), "seq") or 0)
                if rid in gone:
                    yield Finding(
                        f"how far the bot {uid} was told of {rid} is kept, where it is not",
                        partial(self.client.hdel, cursors, rid),
                    )
                elif int(cursor) > newest:
                    yield Finding(
                        f"the bot {uid} was told of more of {rid} than there is",
                        partial(self.client.hset, cursors, rid, newest),
                    )
        for waiting in batched(self.client.zscan_iter(queue, count=PAGE), PAGE):
            names = [name for name, _ in waiting]
            gone = self._not_in(uid, [name.partition(" ")[0] for name in names])
            for name in names:
                if name.partition(" ")[0] in gone:
                    drop = partial(self.client.zrem, queue, name)
                    yield Finding(f"the bot {uid} is to be told of a room it is not in", drop)
        for name in self.client.hkeys(keys.hook_tries(uid)):
            if self.client.zscore(queue, name) is None:
                drop = partial(self.client.hdel, keys.hook_tries(uid), name)
                yield Finding(f"tries for the bot {uid} are counted of what does not wait", drop)

    # What points to them

    def open_room(self, rid: str) -> Iterator[Finding]:
        if self.rooms.kind(rid) != OPEN:
            gone = partial(self.client.zrem, keys.OPEN_ROOMS, rid)
            yield Finding(f"the index of open rooms has {rid}, which is none", gone)

    def random_room(self, rid: str) -> Iterator[Finding]:
        if self.rooms.kind(rid) != RANDOM:
            gone = partial(self.client.zrem, keys.RANDOM_ROOMS, rid)
            yield Finding(f"the index of random rooms has {rid}, which is none", gone)

    def seat(self, seat: str) -> Iterator[Finding]:
        """`<user id> <room id>`"""
        uid, _, rid = seat.partition(" ")
        if self.rooms.kind(rid) != RANDOM or not self.rooms.is_member(rid, uid):
            gone = partial(self.client.zrem, keys.RANDOM_SEATS, seat)
            yield Finding(f"{uid} has a seat in {rid} and is not there", gone)

    def name(self, key: str, entry: str) -> Iterator[Finding]:
        """An entry of an index of names. Those of guests who are forgotten stay for an hour at most
        (chat.services.guest_cleanup), and those of words that are not indexed any more: neither is
        wrong."""
        text, _, uid = entry.rpartition("\0")
        name = self.client.hget(keys.user(uid), "name")
        made = all_entries if key == keys.NAMES else looks
        if name is not None and entry not in made(uid, name):
            gone = partial(self.client.zrem, key, entry)
            yield Finding(f"{text!r} finds {uid}, whose name is another", gone)

    def listed(self, key: str, uid: str, what: str) -> Iterator[Finding]:
        """Somebody in the list of bots or of webhooks."""
        hook, bot = self.client.exists(keys.hook(uid)), self.client.hget(keys.user(uid), "bot")
        if not (hook if key == keys.HOOKS else bot):
            gone = partial(self.client.srem, key, uid)
            yield Finding(f"{uid} is listed as a {what} and is none", gone)

    def login(self, login: str) -> Iterator[Finding]:
        uid = self.client.get(keys.login(login))
        is_made = (
            self.client.ttl(keys.login(login)) >= 0
        )  # it is gone in a minute, or its account there
        if uid and not is_made and self.client.hget(keys.user(uid), "login") != login:
            gone = partial(self.client.delete, keys.login(login))
            yield Finding(f"the login {login!r} leads to {uid}, whose it is not", gone)

    def token(self, tid: str) -> Iterator[Finding]:
        key = keys.token(tid)
        uid = self.client.hget(key, "uid") or ""
        if not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, key)
            yield Finding("a token belongs to nobody", gone)
        elif not self.client.sismember(keys.tokens(uid), tid) and self.client.ttl(key) == -1:
            add = partial(self.client.sadd, keys.tokens(uid), tid)
            yield Finding(f"a token of {uid} is not in the list of theirs", add)

    def subject(self, key: str) -> Iterator[Finding]:
        uid = self.client.get(key)
        if uid and not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, key)
            yield Finding(f"somebody known by another site is {uid}, who is nobody", gone)


def _fids(rid: str, entry: Entry) -> list[str]:
    """The ids of the files of the message in this stream entry."""
    return [file.fid for file in Event.parse(rid, *entry).files]


def _number(entry: str) -> int:
    return int(entry.partition("-")[0])
