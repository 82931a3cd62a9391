"""Checks one room: compares what is stored about it with its events and members."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from ..domain.events import Event
from ..domain.mentions import reached, unpack
from ..domain.validation import number
from . import keys
from .batches import ask_each, batched, scanned
from .findings import SCAN_COUNT, TEXTS_AT_ONCE, Finding, is_number
from .history import NEWEST, Entry, History
from .room_kinds import ENDED, ENDED_ROOM_SECONDS, OPEN, RANDOM
from .rooms import Rooms

_LINE = re.compile(r"([0-9]{1,15}) [0-9]{1,15} ")  # begins the line of an event: number, time


class RoomChecks:
    def __init__(self, client: Any, rooms: Rooms) -> None:
        self.client = client
        self.rooms = rooms
        self.history = History(client)

    def room(self, rid: str) -> Iterator[Finding]:
        """Yield everything that is wrong with a room, and with what points to it."""
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
        if is_number(fields["seq"]):
            yield from self._marks(rid, int(fields["seq"]))
        yield from self._beside(rid, keys.edits(rid), "the text of")
        yield from self._beside(rid, keys.reactions(rid), "the reactions to")
        yield from self._files(rid)
        yield from self._beside(rid, keys.mentions(rid), "the mentions in")
        yield from self._mentioned(rid)
        created = fields.get("created", "0")
        if not is_number(created):
            zero = partial(self.client.hset, keys.room(rid), "created", 0)
            yield Finding(f"the room {rid} was created at {created!r}, which is not a time", zero)
        if fields["kind"] == OPEN and self.client.zscore(keys.OPEN_ROOMS, rid) is None:
            add = partial(self.client.zadd, keys.OPEN_ROOMS, {rid: number(created)})
            yield Finding(f"the open room {rid} is not in the index of open rooms", add)
        if fields["kind"] == RANDOM:
            yield from self._seats(rid)

    def _numbers(self, rid: str, fields: dict[str, str]) -> Iterator[Finding]:
        """Compare the room's first and newest number with the stream, which is authoritative."""
        stream, key = keys.events(rid), keys.room(rid)
        found = self.client.xrange(stream, count=1) + self.client.xrevrange(stream, count=1)
        if not found:
            yield Finding(f"the room {rid} has no events", None)
            return
        first, last = (int(entry.partition("-")[0]) for entry, _ in found)
        numbers = [fields["seq"], fields.get("first", "1")]
        if not all(map(is_number, numbers)):
            ends = {"seq": last, "first": first}
            what = f"should have the numbers {first} to {last}, but has {numbers!r:.200}"
            yield Finding(f"the room {rid} {what}", partial(self.client.hset, key, mapping=ends))
            return
        seq, begins = map(int, numbers)
        if last < seq:
            yield Finding(
                f"the room {rid} is at number {seq}, but its last event has number {last}",
                self._put_back(rid, seq, fields["last"]),
            )
        elif last > seq or self._is_older(rid, fields["last"], last):
            change = {"seq": last, "last": self._newest_line(rid) or fields["last"]}
            yield Finding(
                f"the room {rid} does not know its last event, number {last}",
                partial(self.client.hset, key, mapping=change),
            )
        if first < begins or (first > 1 and begins == 1):
            yield Finding(
                f"the room {rid} should begin at number {begins}, but begins at {first}",
                partial(self.client.hset, key, "first", first),
            )

    def _is_older(self, rid: str, line: str, seq: int) -> bool:
        """True if an event after this line, up to number `seq`, is not silent, or if this is not
        the line of an event."""
        found = _LINE.match(line)
        if not found or int(found[1]) >= seq:
            return not found or int(found[1]) > seq
        newest = _LINE.match(self._newest_line(rid))
        return newest is not None and newest[1] != found[1]

    def _newest_line(self, rid: str) -> str:
        """The newest event that is not silent, as a line; "" if none is kept."""
        before: int | str = NEWEST
        while entries := self.history.piece(rid, "before", before, SCAN_COUNT).entries:
            for entry in entries:
                if not Event.parse(rid, *entry).is_silent:
                    return f"{entry.seq} {entry.at} {entry.data}"
            before = entries[-1].seq
        return ""

    def _put_back(self, rid: str, seq: int, line: str) -> Callable[[], object] | None:
        """Return the repair for a stream that lacks its newest event, which the room's hash has
        too. Other missing events are lost."""
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
                f"the room {rid} has ended, but parts of it are still stored",
                partial(self.client.unlink, *rest),
            )
        if self.client.exists(keys.past_members(rid)):
            agree = partial(self.rooms.pointers.agree_room, rid)
            yield Finding(f"the room {rid} has ended, but may still be in lists of people", agree)
        for key in kept:
            if self.client.ttl(key) == -1:
                yield Finding(
                    f"the room {rid} has ended, but {key} does not expire",
                    partial(self.client.expire, key, ENDED_ROOM_SECONDS),
                )

    def _members(self, rid: str) -> Iterator[Finding]:
        for members in scanned(self.client.zscan_iter, keys.members(rid), SCAN_COUNT):
            uids = [uid for uid, _ in members]
            there = ask_each(self.client, "exists", ((keys.user(uid),) for uid in uids))
            lacking = self.rooms.lacking(rid, uids)
            for uid, is_there in zip(uids, there, strict=True):
                if not is_there:
                    gone = partial(self.client.zrem, keys.members(rid), uid)
                    yield Finding(f"the room {rid} has a member {uid}, who does not exist", gone)
                elif uid in lacking:
                    add = partial(self.rooms.pointers.agree, rid, [uid])
                    yield Finding(f"the room list of {uid} lacks the room {rid}", add)

    def _marks(self, rid: str, seq: int) -> Iterator[Finding]:
        """Check the read marks."""
        for marks in scanned(self.client.hscan_iter, keys.read(rid), SCAN_COUNT):
            joined = self.client.zmscore(keys.members(rid), [uid for uid, _ in marks])
            for (uid, read), member in zip(marks, joined, strict=True):
                if member is None:
                    gone = partial(self.client.hdel, keys.read(rid), uid)
                    yield Finding(f"{uid} has a read mark in {rid}, but is not a member", gone)
                elif not is_number(read):
                    gone = partial(self.client.hdel, keys.read(rid), uid)
                    yield Finding(f"the read mark of {uid} in {rid} is not a number", gone)
                elif int(read) > seq:
                    back = partial(self.client.hset, keys.read(rid), uid, seq)
                    yield Finding(f"the read mark of {uid} in {rid} is beyond its end", back)

    def _beside(self, rid: str, key: str, what: str) -> Iterator[Finding]:
        """Check what is stored beside messages, by their numbers."""
        for kept in scanned(self.client.hscan_iter, key, TEXTS_AT_ONCE):
            there = self._there(rid, (int(seq) for seq, _ in kept))
            for seq, _ in kept:
                if int(seq) not in there:
                    gone = partial(self.client.hdel, key, seq)
                    yield Finding(f"the room {rid} stores {what} {seq}, which is deleted", gone)

    def _there(self, rid: str, seqs: Iterable[int]) -> dict[int, Entry]:
        """The events with these numbers that exist."""
        return {entry.seq: entry for entry in self.history.these(rid, list(seqs))}

    def _files(self, rid: str) -> Iterator[Finding]:
        """Compare the index of files with the messages that have them."""
        for kept in scanned(self.client.zscan_iter, keys.files(rid), SCAN_COUNT):
            there = self._there(rid, (int(seq) for _, seq in kept))
            for fid, seq in kept:
                if int(seq) not in there or fid not in _fids(rid, there[int(seq)]):
                    gone = partial(self.client.zrem, keys.files(rid), fid)
                    text = f"the room {rid} lists the file {fid} of {int(seq)}, which lacks it"
                    yield Finding(text, gone)

    def _mentioned(self, rid: str) -> Iterator[Finding]:
        """Compare the mentions of messages with the index of mentions."""
        index = keys.mentioned(rid)
        for found in scanned(self.client.zscan_iter, index, SCAN_COUNT):
            parts = [entry.split(" ") for entry, _ in found]
            seqs = list(dict.fromkeys(seq for _, _, seq in parts))
            kept: dict[str, str | None] = {}
            for some in batched(seqs, TEXTS_AT_ONCE):
                kept |= zip(some, self.client.hmget(keys.mentions(rid), some), strict=True)
            for (entry, _), (uid, _, seq) in zip(found, parts, strict=True):
                mentions = kept[seq]
                if uid not in reached(unpack(mentions or "[]")):
                    gone = partial(self.client.zrem, index, entry)
                    yield Finding(f"message {seq} of {rid} is indexed for {uid} by mistake", gone)
        for some in scanned(self.client.hscan_iter, keys.mentions(rid), TEXTS_AT_ONCE):
            there = self._there(rid, (int(seq) for seq, _ in some))
            for seq, mentions in some:
                stored = there.get(int(seq))
                lacks = [f"{uid} {stored.at} {seq}" for uid in reached(unpack(mentions)) if stored]
                lacks = [entry for entry in lacks if self.client.zscore(index, entry) is None]
                if lacks:
                    add = partial(self.client.zadd, index, dict.fromkeys(lacks, 0))
                    yield Finding(f"message {seq} of {rid} is not indexed for all it mentions", add)

    def _seats(self, rid: str) -> Iterator[Finding]:
        uids, score = self.rooms.uids(rid), self.client.zscore(keys.RANDOM_ROOMS, rid)
        if score != len(uids):
            count = partial(self.client.zadd, keys.RANDOM_ROOMS, {rid: len(uids)})
            yield Finding(f"the random room {rid} has the wrong number of seats", count)
        for uid in uids:
            if self.client.zscore(keys.RANDOM_SEATS, f"{uid} {rid}") is None:
                add = partial(self.client.zadd, keys.RANDOM_SEATS, {f"{uid} {rid}": 0})
                yield Finding(f"{uid} is in the random room {rid} without a seat", add)


def _fids(rid: str, entry: Entry) -> list[str]:
    """The ids of the files of the message in this stream entry."""
    return [file.fid for file in Event.parse(rid, *entry).files]
