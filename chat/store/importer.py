"""Imports records (store.exporter) into a database that may have some of them already.

Everything keeps its id and number. People who are here do not change. A room is built under
temporary keys and moved to its place when it is complete.

Records are foreign unless the person who runs the chat says that this chat exported them
(`trusted`). Of foreign records, only new people and rooms are imported, with cleaned texts, and no
room in which somebody who is here has posted or is a member. Of trusted records, people keep their
rights, and a room that is here continues if its history is the beginning of the imported one;
otherwise it does not change.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import import_rules, keys
from .batches import ask_each
from .clock import Clock
from .exporter import BESIDE, Record
from .findings import repair_all
from .import_rules import check_id
from .imported_room import ImportedRoom
from .integrity import IntegrityCheck
from .people import People
from .person import GUEST, ROLES, STAFF, Person
from .room_kinds import OPEN, RANDOM
from .sessions import SESSION_SECONDS


class Importer:
    """`trusted`: the records were exported by this chat.

    `problems` are sentences about what was not imported; `done` counts the rest by kind; `news` has
    an entry of the audit log for each addition: what was added, and its name or id."""

    def __init__(
        self, client: Any, clock: Clock, check: IntegrityCheck, people: People, trusted: bool
    ) -> None:
        self.client = client
        self.clock = clock
        self.check = check
        self.people = people
        self.trusted = trusted
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self.news: list[tuple[str, str]] = []
        self.new_uids: set[str] = set()  # people whom these records have added
        self.room: ImportedRoom | None = None
        self._known: dict[str, bool] = {}  # by user id: see _was_here

    def take(self, record: Record) -> None:
        """Import one record; they must be in the order of the export. Raises KeyError, TypeError or
        ValueError for an invalid record."""
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
        """Return True if the file in this record must be stored."""
        room = self.room
        if self.trusted or room is None:
            return self.trusted
        return record["room"] == room.rid and not room.here and not room.problem

    def takes_picture(self, record: Record) -> bool:
        """Return True if the picture of the person in this record must be stored."""
        return self.trusted or record["id"] in self.new_uids

    def close(self) -> None:
        """Delete the parts of a room whose import was not completed."""
        if self.room:
            self.room.forget()

    def _present(self) -> ImportedRoom:
        if self.room is None:
            raise ValueError("a record of a room comes before the room")
        return self.room

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
            tag = self.people.tag(Person(uid, fields["name"]))
            self.client.hset(keys.user(uid), mapping={**fields, "uid": uid, "tag": tag})
        if not here:
            self.new_uids.add(uid)
            name, role = self.client.hmget(keys.user(uid), "name", "role")
            called = f"the {role}" if role in STAFF else "a person"
            if called != "a person" or not self.trusted:
                self.news.append((f"imported {called}", f"{name} ({uid})"))
        if self.trusted or not here:
            repair_all(self.check.known(uid))
        self.done["people here already" if here else "new people"] += 1

    def _trusted_person(
        self, uid: str, record: Record, here: dict[str, str], expires: int | None
    ) -> None:
        fields = import_rules.texts(record["fields"])
        if fields.get("role", GUEST) not in ROLES:
            raise ValueError("an unknown role")
        if not self._may_have_login(uid, fields, here):
            fields = {name: fields[name] for name in fields if name not in ("login", "password")}
        if not here:
            self._secrets(uid, record)
            if levels := import_rules.texts(record.get("levels") or {}):
                self.client.hset(keys.notification_levels(uid), mapping=levels)
        values = ((keys.user(uid), *field) for field in {**fields, "uid": uid}.items())
        ask_each(self.client, "hsetnx", values)
        if expires and not here:
            self.client.pexpireat(keys.user(uid), expires)

    def _may_have_login(self, uid: str, fields: Record, here: dict[str, str]) -> bool:
        """Return True if this person can have the imported login, and its password, in this
        chat."""
        login = fields.get("login", "")
        if here.get("login", login) != login:
            return False
        owner = self.client.get(keys.login(login)) if login else uid
        if owner in (None, uid) or not self.client.exists(keys.user(owner)):
            return True
        self.problems.append(
            f"the login {login!r} of {fields.get('name')!r} ({uid}) belongs to somebody else here, "
            "so the person was imported without it"
        )
        return False

    def _secrets(self, uid: str, record: Record) -> None:
        """Store how a new person signs in. This comes before the person, so that it is not missing
        if the import is interrupted."""
        if sessions := import_rules.texts(record.get("sessions") or {}):
            self.client.hset(keys.sessions(uid), mapping=sessions)
            self.client.expire(keys.sessions(uid), SESSION_SECONDS)
        for tid, fields in (record.get("tokens") or {}).items():
            self.client.hset(keys.token(check_id(tid)), mapping=import_rules.texts(fields))
            self.client.sadd(keys.tokens(uid), tid)
        if hook := record.get("hook"):
            for key, values in (
                (keys.webhook(uid), hook["fields"]),
                (keys.webhook_cursors(uid), hook["rooms"]),
                (keys.webhook_attempts(uid), hook["tries"]),
            ):
                if values := import_rules.texts(values):
                    self.client.hset(key, mapping=values)
            if hook["queue"]:
                queue = {
                    import_rules.text(name, 100): import_rules.moment(at, import_rules.DAY_MS * 30)
                    for name, at in hook["queue"].items()
                }
                self.client.zadd(keys.webhook_queue(uid), queue)

    # Rooms

    def _begin(self, record: Record) -> None:
        rid, given = check_id(record["id"]), record["fields"]
        fields = import_rules.texts(given) if self.trusted else import_rules.foreign_room(given)
        fields["rid"] = rid
        expires = import_rules.until(record.get("expires"))
        is_over = expires is not None and expires < self.clock.now() * 1000
        self.room = ImportedRoom(self.client, rid, fields, expires, is_over, self.trusted)
        if not self.trusted:
            is_direct = fields["kind"] == "direct"
            if is_direct and import_rules.direct_id(fields["name"]) != rid:
                raise ValueError("the id of a direct room does not match its members")
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
            if kind in ("members", "read"):  # of people whom the file does not describe
                values = {u: at for u, at in values.items() if self.client.exists(keys.user(u))}
        room.beside(kind, values)

    def _check_people(self, uids: Iterable[str]) -> None:
        """Do not import the room if one of these people was here before: a file must not add
        messages in their name, or add them to a room."""
        room = self._present()
        for uid in uids:
            if uid and not room.problem and not room.here and self._was_here(uid):
                room.problem = f"it involves {uid}, who exists here (--all imports it anyway)"

    def _was_here(self, uid: str) -> bool:
        """Return True if this person is here, unless only an import of a foreign file has added
        them."""
        if uid not in self._known:
            fields = self.client.hgetall(keys.user(uid))
            is_settled = any(fields.get(name) for name in ("login", "password", "role"))
            known = is_settled or not fields.get("imported")
            known = known or bool(self.client.exists(keys.sessions(uid)))
            self._known[uid] = bool(fields) and uid not in self.new_uids and known
        return self._known[uid]

    def _end(self, room: ImportedRoom) -> None:
        room.flush()
        if not room.problem and not room.is_news:
            self.done["rooms here already"] += 1
            return
        before = set(self.client.zrange(keys.members(room.rid), 0, -1))
        if not room.problem and not room.put():
            room.problem = "somebody wrote in it during the import: import it again"
        room.forget()
        if room.problem:
            name = f"{room.fields['name']!r} ({room.rid})"
            self.problems.append(f"the room {name} was skipped: {room.problem}")
            return
        self.done["rooms continued" if room.here else "new rooms"] += 1
        what = "imported more of the room" if room.here else "imported the room"
        self.news.append((what, f"{room.fields['name']} ({room.rid})"))
        self.client.spublish(keys.ROOMS, room.rid)
        repair_all(self.check.room_checks.room(room.rid))
        repair_all(self.check.indexed_room(keys.OPEN_ROOMS, OPEN, room.rid))
        repair_all(self.check.indexed_room(keys.RANDOM_ROOMS, RANDOM, room.rid))
        members = set(self.client.zrange(keys.members(room.rid), 0, -1))
        for uid in before - members:
            repair_all(self.check.person(uid))
            self.people.signal_change(uid)
        for uid in members.intersection(self.client.smembers(keys.WEBHOOKS)):
            self.client.spublish(keys.WEBHOOKS, uid)

    # The rest

    def _chat(self, record: Record) -> None:
        if record["admin"]:
            self.client.set(keys.FIRST_ADMIN, import_rules.text(record["admin"], 100), nx=True)
        count = import_rules.number(record["random"], import_rules.MAX_RANDOM_ROOMS)
        if int(self.client.get(keys.RANDOM_COUNT) or 0) < count:
            self.client.set(keys.RANDOM_COUNT, count)

    def _audit(self, record: Record) -> None:
        """Import an entry of the audit log if it is newer than all entries here."""
        entry = _parts(import_rules.text(record["id"], 50))
        import_rules.moment(entry[0])
        newest = self.client.xrevrange(keys.AUDIT, count=1)
        if not newest or _parts(newest[0][0]) < entry:
            fields = {"who": "", "what": "", "whom": "", "address": "", **record["fields"]}
            self.client.xadd(keys.AUDIT, import_rules.texts(fields), id=record["id"])


def _parts(entry: str) -> tuple[int, int]:
    ms, _, n = entry.partition("-")
    return int(ms), int(n)
