"""Imports records (store.exporter) into a database that may have some of them already.

Everything keeps its id and number. People who are here do not change. A room is built under
temporary keys and moved to its place when it is complete.

Records are foreign unless the person who runs the chat says that this chat exported them
(`trusted`). Of foreign records, only new people and rooms are imported, with cleaned texts, and no
room in which somebody who is here has posted or is a member. Of trusted records, people keep their
rights, and a room that is here continues if its history is the beginning of the imported one;
otherwise it does not change.
"""

from collections.abc import Iterable
from typing import Any

from . import import_rules, keys
from .clock import Clock
from .exporter import BESIDE, Record
from .findings import repair_all
from .import_rules import check_id
from .imported_people import PeopleImport
from .imported_room import ImportedRoom
from .integrity import IntegrityCheck
from .lua import Script
from .people import People
from .room_kinds import OPEN, RANDOM


class Importer(PeopleImport):
    """`trusted`: the records were exported by this chat.

    `problems` are sentences about what was not imported; `done` counts the rest by kind; `news` has
    what is new, as the audit log records it: what, and whom or which."""

    def __init__(
        self,
        client: Any,
        clock: Clock,
        check: IntegrityCheck,
        people: People,
        trusted: bool = False,
    ) -> None:
        super().__init__(client, clock, check, people, trusted)
        self.place = Script(client, "place_room")
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
        """True if the file in this record is to be stored."""
        room = self.room
        if self.trusted or room is None:
            return self.trusted
        return record["room"] == room.rid and not room.here and not room.problem

    def takes_picture(self, record: Record) -> bool:
        """True if the picture of the person in this record is to be stored."""
        return self.trusted or record["id"] in self.new_uids

    def close(self) -> None:
        """Delete the parts of a room whose import did not come to its end."""
        if self.room:
            self.room.forget()

    def _present(self) -> ImportedRoom:
        if self.room is None:
            raise ValueError("a record of a room comes before the room")
        return self.room

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
                values = {uid: at for uid, at in values.items() if self._exists(uid)}
        room.beside(kind, values)

    def _check_people(self, uids: Iterable[str]) -> None:
        """Do not import the room if one of these people was here before: a file must not put words
        into their mouths, or them into a room."""
        room = self._present()
        for uid in uids:
            if uid and not room.problem and not room.here and self._was_here(uid):
                room.problem = f"it involves {uid}, who exists here (--all imports it anyway)"

    def _was_here(self, uid: str) -> bool:
        """True if this person is here for another reason than the import of a foreign file."""
        if uid not in self._known:
            fields = self.client.hgetall(keys.user(uid))
            is_settled = any(fields.get(name) for name in ("login", "password", "role"))
            known = is_settled or not fields.get("imported")
            known = known or bool(self.client.exists(keys.sessions(uid)))
            self._known[uid] = bool(fields) and uid not in self.new_uids and known
        return self._known[uid]

    def _exists(self, uid: str) -> bool:
        return uid in self.new_uids or bool(self.client.exists(keys.user(uid)))

    def _end(self, room: ImportedRoom) -> None:
        room.flush()
        if not room.problem and not room.is_news:
            self.done["rooms here already"] += 1
            return
        before = set(self.client.zrange(keys.members(room.rid), 0, -1))
        if not room.problem and not room.put(self.place):
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
            repair_all(self.check.person_checks.person(uid))
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
