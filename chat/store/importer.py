"""Putting records (store.dump) into a database, which may have some of it already.

Everything keeps its id and number. Who is here stays as he is. A room is put together beside its
place and moved there when it is whole.

Records are foreign unless whoever runs the chat says that they are the chat's own (`trusted`). Of
foreign ones only people and rooms are taken that are new here, with clean texts; a room in which
somebody who is here has spoken or is a member is left alone. Of the chat's own, people come with
their rights, and a room that is here goes on where its history is the beginning of the one that
comes; it is left alone where it is another or has gone further.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..domain.events import DELETE, SILENT
from . import import_rules, keys
from .clock import Clock
from .exporter import PAGE, Record
from .import_rules import check_id
from .integrity import Check
from .lua import Script
from .people import GUEST, ROLES, People
from .sessions import LASTS

WAITS = 24 * 3600  # seconds for which a room that was not put together to its end is kept
# The records of what is stored beside a room's events, and the keys they are put into.
BESIDE = {name: name for name in keys.ROOM_KEYS if name not in ("room", "events", "uncounted")}
BESIDE["quiet"] = "uncounted"
HIGH = ("admin", "moderator")  # roles that are told when somebody comes with them


class Load:
    """`trusted`: the records are the chat's own.

    `problems` are sentences on what was left alone; `done` counts the rest by what it is; `news`
    has what is new, as it is written into the audit: what, and whom or which."""

    def __init__(
        self,
        client: Any,
        clock: Clock,
        check: Check,
        people: People,
        trusted: bool = False,
    ) -> None:
        self.client = client
        self.clock = clock
        self.check = check
        self.people = people
        self.place = Script(client, "place_room")
        self.trusted = trusted
        self.room: _Room | None = None
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self.news: list[tuple[str, str]] = []
        self.came: set[str] = set()  # people that these records brought
        self._settled: dict[str, bool] = {}  # whether somebody was here before

    def take(self, record: Record) -> None:
        """Put in one record, in the order in which they came out. Raises KeyError, TypeError or
        ValueError for what is none."""
        kind = record["is"]
        if kind == "event":
            self._event(record)
        elif kind in BESIDE:
            self._beside(kind, record["of"])
        elif kind == "room":
            self._begin(record)
        elif kind == "end of room":
            self._end(self._present())
            self.room = None
        elif kind == "person":
            self._person(check_id(record["id"]), record)
        elif not self.trusted:
            return
        elif kind == "chat":
            self._chat(record)
        elif kind == "subject":
            digest = check_id(record["digest"])
            self.client.set(keys.subject(digest), check_id(record["id"]), nx=True)
        elif kind == "audit":
            self._audit(record)
        elif kind == "banned" and record["of"]:
            banned = [import_rules.text(entry, 200) for entry in record["of"]]
            self.client.zadd(keys.BANNED, dict.fromkeys(banned, 0))

    def takes_file(self, record: Record) -> bool:
        """Whether the file of a message in this record is to be kept."""
        room = self.room
        if self.trusted or room is None:
            return self.trusted
        return record["room"] == room.rid and not room.here and not room.problem

    def takes_picture(self, record: Record) -> bool:
        """Whether the picture of the person in this record is to be kept."""
        return self.trusted or record["id"] in self.came

    def close(self) -> None:
        """Let go of a room that was not put together to its end."""
        if self.room:
            self.room.forget()

    def _present(self) -> "_Room":
        if self.room is None:
            raise ValueError("no room")
        return self.room

    # Rooms

    def _begin(self, record: Record) -> None:
        rid, told = check_id(record["id"]), record["fields"]
        fields = import_rules.texts(told) if self.trusted else import_rules.foreign_room(told)
        fields["rid"] = rid
        expires = import_rules.until(record.get("expires"))
        is_over = expires is not None and expires < self.clock.now() * 1000
        self.room = _Room(self.client, rid, fields, expires, is_over, self.trusted)
        if not self.trusted:
            is_direct = fields["kind"] == "direct"
            if is_direct and import_rules.direct_id(fields["name"]) != rid:
                raise ValueError("a direct room with the id of others")
            names = fields["name"].split(" ") if is_direct else []
            self._check_people([*names, fields.get("owner", "")])

    def _event(self, record: Record) -> None:
        room = self._present()
        n, at = import_rules.number(record["n"], room.seq), import_rules.moment(record["at"])
        if self.trusted:
            room.event(n, at, import_rules.text(record["data"]))
            return
        fields = import_rules.foreign_event(record["data"], n, room.seq)
        self._check_people([fields[1]])
        room.foreign_event(n, at, fields)

    def _beside(self, kind: str, values: Any) -> None:
        room = self._present()
        values = import_rules.beside(kind, values, room.seq)
        if not self.trusted:
            values = import_rules.foreign_beside(kind, values)
            self._check_people(import_rules.people_beside(kind, values))
            if kind in ("members", "read"):  # of somebody of whom the file says nothing
                values = {uid: at for uid, at in values.items() if self._exists(uid)}
        room.beside(kind, values)

    def _check_people(self, uids: Iterable[str]) -> None:
        """Leave the room alone where one of these was here before: nobody speaks for them, and
        nobody puts them into a room."""
        room = self._present()
        for uid in uids:
            if uid and not room.problem and not room.here and self._was_here(uid):
                room.problem = f"{uid} in it is somebody here (with --all it is taken all the same)"

    def _was_here(self, uid: str) -> bool:
        """Whether somebody is here for another reason than that a foreign file brought them."""
        if uid not in self._settled:
            fields = self.client.hgetall(keys.user(uid))
            is_settled = any(fields.get(name) for name in ("login", "password", "role"))
            known = is_settled or not fields.get("imported")
            known = known or bool(self.client.exists(keys.sessions(uid)))
            self._settled[uid] = bool(fields) and uid not in self.came and known
        return self._settled[uid]

    def _exists(self, uid: str) -> bool:
        return uid in self.came or bool(self.client.exists(keys.user(uid)))

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
        what = "imported more of the room" if room.here else "imported the room"
        self.news.append((what, f"{room.fields['name']} ({room.rid})"))
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
        expires = import_rules.until(record.get("expires"))
        if expires and expires < self.clock.now() * 1000:
            return
        here = self.client.hgetall(keys.user(uid))
        if self.trusted:
            self._trusted_person(uid, record, here, expires)
        elif not here:
            fields = import_rules.public_person(record["fields"])
            tag = self.people.tag(uid, fields["name"], GUEST)
            self.client.hset(keys.user(uid), mapping={**fields, "uid": uid, "tag": tag})
        if not here:
            self.came.add(uid)
            name, role = self.client.hmget(keys.user(uid), "name", "role")
            called = f"the {role}" if role in HIGH else "a person"
            if called != "a person" or not self.trusted:
                self.news.append((f"imported {called}", f"{name} ({uid})"))
        if self.trusted or not here:
            self._mend(self.check.known(uid))
        self.done["people here already" if here else "new people"] += 1

    def _trusted_person(
        self, uid: str, record: Record, here: dict[str, str], expires: int | None
    ) -> None:
        fields = import_rules.texts(record["fields"])
        if fields.get("role", GUEST) not in ROLES:
            raise ValueError("no role")
        if not self._may_have_login(uid, fields, here):
            fields = {name: fields[name] for name in fields if name not in ("login", "password")}
        if not here:
            self._secrets(uid, record)
            if levels := import_rules.texts(record.get("levels") or {}):
                self.client.hset(keys.levels(uid), mapping=levels)
        pipeline = self.client.pipeline(transaction=False)
        for name, value in {**fields, "uid": uid}.items():
            pipeline.hsetnx(keys.user(uid), name, value)
        pipeline.execute()
        if expires and not here:
            self.client.pexpireat(keys.user(uid), expires)

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
        if sessions := import_rules.texts(record.get("sessions") or {}):
            self.client.hset(keys.sessions(uid), mapping=sessions)
            self.client.expire(keys.sessions(uid), LASTS)
        for tid, fields in (record.get("tokens") or {}).items():
            self.client.hset(keys.token(check_id(tid)), mapping=import_rules.texts(fields))
            self.client.sadd(keys.tokens(uid), tid)
        if hook := record.get("hook"):
            for key, values in (
                (keys.hook(uid), hook["fields"]),
                (keys.hook_cursors(uid), hook["rooms"]),
                (keys.hook_tries(uid), hook["tries"]),
            ):
                if values := import_rules.texts(values):
                    self.client.hset(key, mapping=values)
            if hook["queue"]:
                queue = {
                    import_rules.text(name, 100): import_rules.moment(at, import_rules.DAY_MS * 30)
                    for name, at in hook["queue"].items()
                }
                self.client.zadd(keys.hook_queue(uid), queue)

    # The rest

    def _chat(self, record: Record) -> None:
        if record["admin"]:
            self.client.set(keys.FIRST_ADMIN, import_rules.text(record["admin"], 100), nx=True)
        count = import_rules.number(record["random"], import_rules.MAX_RANDOM_ROOMS)
        if int(self.client.get(keys.RANDOM_COUNT) or 0) < count:
            self.client.set(keys.RANDOM_COUNT, count)

    def _audit(self, record: Record) -> None:
        """What is newer than all that is written down here."""
        entry = _parts(import_rules.text(record["id"], 50))
        import_rules.moment(entry[0])
        newest = self.client.xrevrange(keys.AUDIT, count=1)
        if not newest or _parts(newest[0][0]) < entry:
            fields = {"who": "", "what": "", "whom": "", "address": "", **record["fields"]}
            self.client.xadd(keys.AUDIT, import_rules.texts(fields), id=record["id"])


class _Room:
    """A room that comes, and what is here of it."""

    def __init__(
        self,
        client: Any,
        rid: str,
        fields: dict[str, str],
        expires: int | None,
        is_over: bool,
        trusted: bool,
    ) -> None:
        self.client = client
        self.rid = rid
        self.fields = fields
        self.expires, self.is_over = expires, is_over
        self.trusted = trusted
        self.seq = import_rules.number(int(fields["seq"]))
        self.lasting = ""  # the line of the newest event that is something to read
        self.count = self.deletions = 0  # of events
        self.problem = ""  # why it is left alone
        here = client.hgetall(keys.room(rid))
        self.here = int(here.get("seq", 0))  # the number of the newest event here
        self.made = keys.imported(rid)
        self.waiting: list[tuple[int, int, str]] = []  # events that are not written yet
        self.first = 0  # number of the first event
        self.last = 0
        client.unlink(*self.made.values())
        if here and here.get("epoch") != fields["epoch"]:
            self.problem = "here it is another one (its epoch differs)"
        elif here and self.here + 1 < int(fields.get("first", 1)):
            self.problem = f"here it ends at number {self.here}, and the file begins later"
        elif here and not trusted and self.seq > self.here:
            self.problem = "it is here, and it goes on only with --all"

    @property
    def is_news(self) -> bool:
        """Whether it has more than what is here, and is not over."""
        return self.seq > self.here and not self.is_over

    def foreign_event(self, n: int, at: int, fields: list[str]) -> None:
        """As `event`, of fields that are clean."""
        data = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        self.deletions += fields[0] == DELETE
        if fields[0] not in SILENT:
            self.lasting = f"{n} {at} {data}"
        self.event(n, at, data)

    def event(self, n: int, at: int, data: str) -> None:
        if not self.last < n <= self.seq:
            raise ValueError("numbers out of order")
        if not self.first:
            self._begin(n)
        self.last = n
        self.count += 1
        self.waiting.append((n, at, data))
        if len(self.waiting) == PAGE:
            self.flush()

    def _begin(self, n: int) -> None:
        """Number `n` is the first. What is here of older ones stays."""
        self.first, events = n, self.made["events"]
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
                        self.client.hset(self.made[BESIDE[kind]], seq, value)
            for seq, _ in self.client.zscan_iter(keys.uncounted(self.rid), count=PAGE):
                if int(seq) < n:
                    self.client.zadd(self.made["uncounted"], {seq: int(seq)})
            for fid, seq in self.client.zscan_iter(keys.files(self.rid), count=PAGE):
                if seq < n:
                    self.client.zadd(self.made["files"], {fid: seq})
            for entry, _ in self.client.zscan_iter(keys.mentioned(self.rid), count=PAGE):
                if int(entry.rpartition(" ")[2]) < n:
                    self.client.zadd(self.made["mentioned"], {entry: 0})

    def flush(self) -> None:
        """Compare what waits with what is here, and write it."""
        events, self.waiting = self.waiting, []
        if not events or self.problem:
            return
        if self.trusted and events[0][0] <= self.here:
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
                pipeline.xadd(self.made["events"], {"at": at, "data": data}, id=f"{n}-0")
            pipeline.expire(self.made["events"], WAITS)
            pipeline.execute()

    def beside(self, kind: str, values: dict[str, Any]) -> None:
        """Some of what stands beside the events."""
        if self.problem or not self.is_news or not values:
            return
        key = self.made[BESIDE[kind]]
        if kind == "read" and self.here:  # nobody has read less than before
            here = self.client.hmget(keys.read(self.rid), list(values))
            marks = zip(values.items(), here, strict=True)
            values = {uid: max(int(seq), int(mark or 0)) for (uid, seq), mark in marks}
        if kind in ("members", "nonces", "quiet", "files", "mentioned"):
            self.client.zadd(key, values)
        else:
            self.client.hset(key, mapping=values)
        self.client.expire(key, WAITS)

    def put(self, place: Script) -> bool:
        """Move it into its place; False when what was here has changed. Raises ValueError when
        its end is missing."""
        if self.last != self.seq:
            raise ValueError("the newest event is missing")
        fields = {**self.fields, "first": str(self.first)}
        if not self.trusted:
            missing = self.seq - self.first + 1 - self.count
            if not self.lasting or missing > self.deletions + import_rules.UNEXPLAINED:
                raise ValueError("events are missing that nobody deleted")
            fields["last"] = self.lasting
        if self.first == 1:
            del fields["first"]
        pairs = [part for pair in fields.items() for part in pair]
        return bool(
            place(
                [*keys.of_room(self.rid), *self.made.values()],
                seq=self.here or "",
                expires_at=self.expires or "",
                rest=pairs,
            )
        )

    def forget(self) -> None:
        self.client.unlink(*self.made.values())


def _parts(entry: str) -> tuple[int, int]:
    ms, _, n = entry.partition("-")
    return int(ms), int(n)
