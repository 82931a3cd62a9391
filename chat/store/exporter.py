"""Exports rooms and people as records, which can be imported into another database
(store.importer).

A record is a dict whose "is" says what it is. People come before everything that refers to them.
After a room come its events in order, what is stored beside them, and "end of room". Nothing is
read as a whole, so a room may have any number of events."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..domain.events import Event
from . import keys
from .batches import scanned, stored_ids
from .history import History
from .room_kinds import DIRECT

SCAN_COUNT = 1000  # entries that are read at once
TEXTS_AT_ONCE = 4  # texts that are read at once, and are in one record
# What is stored beside the events of a room: the kinds of the records, and the names of the keys in
# keys.ROOM_KEYS.
BESIDE = {name: name for name in keys.ROOM_KEYS if name not in ("room", "events", "uncounted")}
BESIDE["quiet"] = "uncounted"
HASHES = ("read", "edits", "reactions", "mentions")  # of these kinds; the others are sorted sets
_TEXTS = ("edits", "reactions", "mentions")
PUBLIC = ("name", "tag", "picture", "about", "bot", "off")  # fields of a person in every export
_SECRET_FIELDS = ("password", "reset", "reset_by")

Record = dict[str, Any]


class Exporter:
    """`whole`: export everything about people except how they sign in. `secrets`: export that too,
    and the nonces of messages. Each person is exported once."""

    def __init__(self, client: Any, whole: bool = False, secrets: bool = False) -> None:
        self.client = client
        self.whole = whole
        self.secrets = secrets
        self.history = History(client)
        self._exported: set[str] = set()

    def everything(self) -> Iterator[Record]:
        """All people and all rooms; with secrets also the people of other sites, the audit log and
        the banned networks."""
        for uid in stored_ids(self.client, keys.user):
            yield from self._people([uid])
        counted = int(self.client.get(keys.RANDOM_COUNT) or 0)
        admin = self.client.get(keys.FIRST_ADMIN) if self.secrets else None
        yield {"is": "chat", "random": counted, "admin": admin or ""}
        for rid in set(stored_ids(self.client, keys.room)):
            yield from self.room(rid)
        if self.secrets:
            yield from self._subjects()
            yield from self._audit()
            yield {"is": "banned", "of": self.client.zrange(keys.BANNED, 0, -1)}

    def room(self, rid: str) -> Iterator[Record]:
        """Yield a room as it is now, without events that are posted during the export. Yields
        nothing if there is no such room."""
        fields = self.client.hgetall(keys.room(rid))
        if not fields.get("seq"):
            return
        if fields["kind"] == DIRECT:
            yield from self._people(fields["name"].split(" "))
        expires = self._expires(keys.room(rid))
        yield {"is": "room", "id": rid, "fields": fields, "expires": expires}
        yield from self._events(rid, int(fields["seq"]), fields["last"])
        for kind in BESIDE:
            if kind != "nonces" or self.secrets:
                yield from self._beside(rid, kind, int(fields["seq"]))
        yield {"is": "end of room", "id": rid}

    def _beside(self, rid: str, kind: str, seq: int) -> Iterator[Record]:
        """Yield what is stored beside the events up to number `seq`."""
        for some in scan_beside(self.client, rid, kind):
            if kind == "members":
                yield from self._people(uid for uid, _ in some)
            elif kind == "read":
                some = [(uid, min(read, seq)) for uid, read in some]
            else:
                some = [entry for entry in some if number_of(kind, *entry) <= seq]
            yield {"is": kind, "of": dict(some)}

    def _events(self, rid: str, seq: int, last: str) -> Iterator[Record]:
        at = 0
        while at < seq:
            found = self.history.piece(rid, "after", at, SCAN_COUNT).entries
            entries = [entry for entry in found if entry.seq <= seq]
            if not entries:
                # The newest event was deleted meanwhile; the room has a copy of it.
                _, time, data = last.split(" ", 2)
                yield {"is": "event", "n": seq, "at": int(time), "data": data}
                return
            yield from self._people(Event.parse(rid, *entry).uid for entry in entries)
            for n, when, data in entries:
                yield {"is": "event", "n": n, "at": when, "data": data}
            at = entries[-1].seq

    def _people(self, uids: Iterable[str]) -> Iterator[Record]:
        for uid in uids:
            if uid and uid not in self._exported:
                self._exported.add(uid)
                if fields := self.client.hgetall(keys.user(uid)):
                    yield self._person(uid, fields)

    def _person(self, uid: str, fields: dict[str, str]) -> Record:
        if self.secrets:
            given = fields
        elif self.whole:
            given = {name: value for name, value in fields.items() if name not in _SECRET_FIELDS}
        else:
            given = {name: fields[name] for name in PUBLIC if name in fields}
        record: Record = {"is": "person", "id": uid, "fields": given}
        if self.whole:
            record["expires"] = self._expires(keys.user(uid))
            record["levels"] = self.client.hgetall(keys.notification_levels(uid))
        if self.secrets:
            tids = self.client.smembers(keys.tokens(uid))
            record["sessions"] = self.client.hgetall(keys.sessions(uid))
            record["tokens"] = {tid: self.client.hgetall(keys.token(tid)) for tid in tids}
            if self.client.exists(keys.webhook(uid)):
                record["hook"] = self._webhook(uid)
        return record

    def _webhook(self, uid: str) -> Record:
        queue = self.client.zrange(keys.webhook_queue(uid), 0, -1, withscores=True)
        return {
            "fields": self.client.hgetall(keys.webhook(uid)),
            "rooms": self.client.hgetall(keys.webhook_cursors(uid)),
            "queue": {name: int(at) for name, at in queue},
            "tries": self.client.hgetall(keys.webhook_attempts(uid)),
        }

    def _subjects(self) -> Iterator[Record]:
        for digest in stored_ids(self.client, keys.subject, "string"):
            uid = self.client.get(keys.subject(digest)) or ""
            yield {"is": "subject", "digest": digest, "id": uid}

    def _audit(self) -> Iterator[Record]:
        at = "-"
        while entries := self.client.xrange(keys.AUDIT, at, "+", count=SCAN_COUNT):
            for eid, fields in entries:
                yield {"is": "audit", "id": eid, "fields": fields}
            at = f"({entries[-1][0]}"

    def _expires(self, key: str) -> int | None:
        """When the key expires, in ms since 1970; None for never."""
        at = int(self.client.pexpiretime(key))
        return at if at > 0 else None


def scan_beside(client: Any, rid: str, kind: str) -> Iterator[list[tuple[str, Any]]]:
    """Yield what a room stores of this kind (BESIDE): names with texts or whole numbers, some at a
    time."""
    scan = client.hscan_iter if kind in HASHES else client.zscan_iter
    size = TEXTS_AT_ONCE if kind in _TEXTS else SCAN_COUNT
    for some in scanned(scan, keys.ROOM_KEYS[BESIDE[kind]](rid), size):
        yield some if kind in _TEXTS else [(name, int(value)) for name, value in some]


def number_of(kind: str, name: str, value: Any) -> int:
    """Return the number of the message that an entry of `scan_beside` belongs to. Members and read
    marks belong to people instead."""
    if kind == "mentioned":
        return int(name.rpartition(" ")[2])
    return int(name if kind in _TEXTS else value)
