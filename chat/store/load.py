"""Putting records (store.dump) into a database, which may have some of it already.

Everything keeps its id and number. Who is here stays as he is. A room is put together beside its
place and moved there when it is whole; one that is here goes on where its history is the
beginning of the one that comes, and is left alone where it is another or has gone further.
"""

import re
import time
from collections import Counter
from typing import Any

from . import keys
from .check import Check
from .dump import PAGE, PUBLIC, Record
from .people import People
from .sessions import LASTS

WAITS = 24 * 3600  # seconds for which a room that was not put together to its end is kept
# As in keys.of_room.
BESIDE = (
    "members",
    "read",
    "nonces",
    "edits",
    "reactions",
    "quiet",
    "files",
    "mentions",
    "mentioned",
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Load:
    """`place` is the script place.lua. `whole`: people come with more than is PUBLIC.

    `problems` are sentences on what was left alone; `done` counts the rest by what it is."""

    def __init__(
        self, client: Any, check: Check, people: People, place: Any, whole: bool = False
    ) -> None:
        self.client = client
        self.check = check
        self.people = people
        self.place = place
        self.whole = whole
        self.room: _Room | None = None
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Put in one record, in the order in which they came out. Raises KeyError, TypeError or
        ValueError for what is none."""
        kind = record["is"]
        if kind == "event":
            self._present().event(int(record["n"]), int(record["at"]), str(record["data"]))
        elif kind in BESIDE:
            self._present().beside(kind, record["of"])
        elif kind == "room":
            fields = {str(name): str(value) for name, value in record["fields"].items()}
            self.room = _Room(self.client, _id(record), fields, record.get("expires"))
        elif kind == "end of room":
            self._end(self._present())
            self.room = None
        elif kind == "person":
            self._person(_id(record), record)
        elif kind == "chat":
            self._chat(record)
        elif kind == "subject" and self.whole:
            self.client.set(keys.subject(record["digest"]), _id(record), nx=True)
        elif kind == "audit" and self.whole:
            self._audit(record)
        elif kind == "banned" and self.whole and record["of"]:
            self.client.zadd(keys.BANNED, dict.fromkeys(map(str, record["of"]), 0))

    def _present(self) -> "_Room":
        if self.room is None:
            raise ValueError("no room")
        return self.room

    # Rooms

    def _end(self, room: "_Room") -> None:
        room.flush()
        if not room.problem and not room.is_news:
            self.done["rooms here already"] += 1
            return
        before = set(self.client.zrange(keys.members(room.rid), 0, -1))
        if not room.problem and not room.put(self.place):
            room.problem = "somebody wrote in it meanwhile: import it again"
        room.forget()
        if room.problem:
            name = f"{room.fields['name']!r} ({room.rid})"
            self.problems.append(f"the room {name} is left alone: {room.problem}")
            return
        self.done["rooms continued" if room.here else "new rooms"] += 1
        self.client.spublish(keys.ROOMS, room.rid)
        for look in (self.check.room, self.check.open_room, self.check.random_room):
            self._mend(look(room.rid))
        members = set(self.client.zrange(keys.members(room.rid), 0, -1))
        for uid in before - members:
            self._mend(self.check.person(uid))
            self.people.look_again(uid)
        for uid in members.intersection(self.client.smembers(keys.HOOKS)):
            self.client.spublish(keys.HOOKS, uid)

    def _mend(self, findings: Any) -> None:
        for finding in findings:
            if finding.repair:
                finding.repair()

    # People

    def _person(self, uid: str, record: Record) -> None:
        expires, fields = record.get("expires"), record["fields"]
        if expires and expires < time.time() * 1000:
            return
        if not self.whole:
            fields = {name: fields[name] for name in PUBLIC if name in fields}
        here = self.client.hgetall(keys.user(uid))
        if not self._may_have_login(uid, fields, here):
            fields = {name: fields[name] for name in fields if name not in ("login", "password")}
        if not here and self.whole:
            self._secrets(uid, record)
            if levels := record.get("levels"):
                self.client.hset(keys.levels(uid), mapping=levels)
        pipeline = self.client.pipeline(transaction=False)
        for name, value in fields.items():
            pipeline.hsetnx(keys.user(uid), str(name), str(value))
        pipeline.execute()
        if expires and not here:
            self.client.pexpireat(keys.user(uid), int(expires))
        self._mend(self.check.known(uid))
        self.done["people here already" if here else "new people"] += 1

    def _may_have_login(self, uid: str, fields: Record, here: dict[str, str]) -> bool:
        """Whether the login, and the password with it, is that of this person here."""
        login = fields.get("login", "")
        if here.get("login", login) != login:
            return False
        owner = self.client.get(keys.login(login)) if login else uid
        if owner in (None, uid) or not self.client.exists(keys.user(owner)):
            return True
        self.problems.append(
            f"the login {login!r} of {fields.get('name')!r} ({uid}) is somebody else's here: "
            "that person comes without it"
        )
        return False

    def _secrets(self, uid: str, record: Record) -> None:
        """How somebody new signs in; before the person, so that it is not forgotten when this is
        cut off."""
        if sessions := record.get("sessions"):
            self.client.hset(keys.sessions(uid), mapping=sessions)
            self.client.expire(keys.sessions(uid), LASTS)
        for tid, fields in record.get("tokens", {}).items():
            self.client.hset(keys.token(tid), mapping=fields)
            self.client.sadd(keys.tokens(uid), tid)
        if hook := record.get("hook"):
            for key, values in (
                (keys.hook(uid), hook["fields"]),
                (keys.hook_cursors(uid), hook["rooms"]),
                (keys.hook_tries(uid), hook["tries"]),
            ):
                if values:
                    self.client.hset(key, mapping=values)
            if hook["queue"]:
                self.client.zadd(keys.hook_queue(uid), hook["queue"])

    # The rest

    def _chat(self, record: Record) -> None:
        if record["admin"] and self.whole:
            self.client.set(keys.FIRST_ADMIN, record["admin"], nx=True)
        if int(self.client.get(keys.RANDOM_COUNT) or 0) < int(record["random"]):
            self.client.set(keys.RANDOM_COUNT, int(record["random"]))

    def _audit(self, record: Record) -> None:
        """What is newer than all that is written down here."""
        newest = self.client.xrevrange(keys.AUDIT, count=1)
        if not newest or _parts(newest[0][0]) < _parts(record["id"]):
            self.client.xadd(keys.AUDIT, record["fields"], id=record["id"])


class _Room:
    """A room that comes, and what is here of it."""

    def __init__(self, client: Any, rid: str, fields: dict[str, str], expires: int | None) -> None:
        self.client = client
        self.rid = rid
        self.fields = fields
        self.expires = expires
        self.seq = int(fields["seq"])
        self.problem = ""  # why it is left alone
        here = client.hgetall(keys.room(rid))
        self.here = int(here.get("seq", 0))  # the number of the newest event here
        self.made = keys.made(rid)
        self.beside_made = dict(zip(BESIDE, self.made[1:], strict=True))
        self.waiting: list[tuple[int, int, str]] = []  # events that are not written yet
        self.first = 0  # number of the first event
        self.last = 0
        client.unlink(*self.made)
        if here and here.get("epoch") != fields["epoch"]:
            self.problem = "here it is another one (its epoch differs)"
        elif here and self.here + 1 < int(fields.get("first", 1)):
            self.problem = f"here it ends at number {self.here}, and the file begins later"

    @property
    def is_news(self) -> bool:
        """Whether it has more than what is here, and is not over."""
        over = self.expires is not None and self.expires < time.time() * 1000
        return self.seq > self.here and not over

    def event(self, n: int, at: int, data: str) -> None:
        if not self.last < n <= self.seq:
            raise ValueError("numbers out of order")
        if not self.first:
            self._begin(n)
        self.last = n
        self.waiting.append((n, at, data))
        if len(self.waiting) == PAGE:
            self.flush()

    def _begin(self, n: int) -> None:
        """Number `n` is the first. What is here of older ones stays."""
        self.first, events = n, self.made[0]
        after = "-"
        while self.here and self.is_news and not self.problem:
            older = self.client.xrange(keys.events(self.rid), after, f"({n}-0", count=PAGE)
            if not older:
                break
            self.first = min(self.first, int(older[0][0].partition("-")[0]))
            after = f"({older[-1][0]}"
            pipeline = self.client.pipeline(transaction=False)
            for entry, fields in older:
                pipeline.xadd(events, fields, id=entry)
            pipeline.execute()
        if self.first < n:
            hashes = (
                ("edits", keys.edits),
                ("reactions", keys.reactions),
                ("mentions", keys.mentions),
            )
            for kind, key in hashes:
                for seq, value in self.client.hscan_iter(key(self.rid), count=PAGE):
                    if int(seq) < n:
                        self.client.hset(self.beside_made[kind], seq, value)
            for seq, _ in self.client.zscan_iter(keys.quiet(self.rid), count=PAGE):
                if int(seq) < n:
                    self.client.zadd(self.beside_made["quiet"], {seq: int(seq)})
            for fid, seq in self.client.zscan_iter(keys.files(self.rid), count=PAGE):
                if seq < n:
                    self.client.zadd(self.beside_made["files"], {fid: seq})
            for entry, _ in self.client.zscan_iter(keys.mentioned(self.rid), count=PAGE):
                if int(entry.rpartition(" ")[2]) < n:
                    self.client.zadd(self.beside_made["mentioned"], {entry: 0})

    def flush(self) -> None:
        """Compare what waits with what is here, and write it."""
        events, self.waiting = self.waiting, []
        if not events or self.problem:
            return
        if events[0][0] <= self.here:
            upto = f"{events[-1][0]}-0"
            entries = self.client.xrange(keys.events(self.rid), f"{events[0][0]}-0", upto)
            here = {entry: (int(fields["at"]), fields["data"]) for entry, fields in entries}
            for n, at, data in events:
                if here.get(f"{n}-0", (at, data)) != (at, data):
                    self.problem = f"number {n} is another message here"
                    return
        if self.is_news:
            pipeline = self.client.pipeline(transaction=False)
            for n, at, data in events:
                pipeline.xadd(self.made[0], {"at": at, "data": data}, id=f"{n}-0")
            pipeline.expire(self.made[0], WAITS)
            pipeline.execute()

    def beside(self, kind: str, values: dict[str, Any]) -> None:
        """Some of what stands beside the events."""
        if self.problem or not self.is_news or not values:
            return
        key = self.beside_made[kind]
        if kind == "read" and self.here:  # nobody has read less than before
            here = self.client.hmget(keys.read(self.rid), list(values))
            marks = zip(values.items(), here, strict=True)
            values = {uid: max(int(seq), int(mark or 0)) for (uid, seq), mark in marks}
        if kind in ("members", "nonces", "quiet", "files", "mentioned"):
            self.client.zadd(key, values)
        else:
            self.client.hset(key, mapping=values)
        self.client.expire(key, WAITS)

    def put(self, place: Any) -> bool:
        """Move it into its place; False when what was here has changed. Raises ValueError when
        its end is missing."""
        if self.last != self.seq:
            raise ValueError("the newest event is missing")
        fields = {**self.fields, "first": str(self.first)}
        if self.first == 1:
            del fields["first"]
        pairs = [part for pair in fields.items() for part in pair]
        return bool(
            place(
                keys=[*keys.of_room(self.rid), *self.made],
                args=[keys.room_channel(self.rid), self.here or "", self.expires or "", *pairs],
            )
        )

    def forget(self) -> None:
        self.client.unlink(*self.made)


def _id(record: Record) -> str:
    return check_id(record["id"])


def check_id(found: str) -> str:
    """What is an id; raises ValueError for what is none."""
    if not _ID.fullmatch(found):
        raise ValueError(f"no id: {found!r}")
    return str(found)


def _parts(entry: str) -> tuple[int, int]:
    ms, _, n = entry.partition("-")
    return int(ms), int(n)
