"""A room during its import, which is built under temporary keys beside the room that this chat may
have."""

import json
from typing import Any

from ..domain.events import DELETE, SILENT
from . import import_rules, keys
from .exporter import BESIDE, HASHES, SCAN_COUNT, number_of, scan_beside
from .lua import Script

UNFINISHED_SECONDS = 24 * 3600  # for which a room is kept whose import was not completed


class ImportedRoom:
    """An imported room, and what this chat has of it (`here`)."""

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
        self.lasting = ""  # the line of the newest event that is not silent
        self.count = self.deletions = 0  # of events
        self.problem = ""  # why the room is not imported
        here = client.hgetall(keys.room(rid))
        self.here = int(here.get("seq", 0))  # the number of the newest event here
        self.made = keys.imported(rid)
        self.waiting: list[tuple[int, int, str]] = []  # events that are not stored yet
        self.first = 0  # number of the first event
        self.last = 0
        client.unlink(*self.made.values())
        if here and here.get("epoch") != fields["epoch"]:
            self.problem = "a different room has this id here (the epochs differ)"
        elif here and self.here + 1 < int(fields.get("first", 1)):
            self.problem = f"here it ends at number {self.here}, but the file begins later"
        elif here and not trusted and self.seq > self.here:
            self.problem = "it exists here, and only --all continues it"

    @property
    def is_news(self) -> bool:
        """True if the imported room has more events than this chat has of it, and has not
        expired."""
        return self.seq > self.here and not self.is_over

    def foreign_event(self, n: int, at: int, fields: list[str]) -> None:
        """Like `event`, for a foreign event whose fields were cleaned."""
        data = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        self.deletions += fields[0] == DELETE
        if fields[0] not in SILENT:
            self.lasting = f"{n} {at} {data}"
        self.event(n, at, data)

    def event(self, n: int, at: int, data: str) -> None:
        if not self.last < n <= self.seq:
            raise ValueError("the numbers of events are out of order")
        if not self.first:
            self._begin(n)
        self.last = n
        self.count += 1
        self.waiting.append((n, at, data))
        if len(self.waiting) == SCAN_COUNT:
            self.flush()

    def _begin(self, n: int) -> None:
        """Event `n` is the first. Older ones that this chat has are kept."""
        self.first, events = n, self.made["events"]
        after = "-"
        while self.here and self.is_news and not self.problem:
            older = self.client.xrange(keys.events(self.rid), after, f"({n}-0", count=SCAN_COUNT)
            if not older:
                break
            self.first = min(self.first, int(older[0][0].partition("-")[0]))
            after = f"({older[-1][0]}"
            pipeline = self.client.pipeline(transaction=False)
            for entry, fields in older:
                pipeline.xadd(events, fields, id=entry)
            pipeline.execute()
        if self.first < n:
            for kind in ("edits", "reactions", "mentions", "quiet", "files", "mentioned"):
                for some in scan_beside(self.client, self.rid, kind):
                    older_ones = [entry for entry in some if number_of(kind, *entry) < n]
                    self._store(kind, dict(older_ones))

    def flush(self) -> None:
        """Compare the waiting events with those that this chat has, and store them."""
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
            pipeline.expire(self.made["events"], UNFINISHED_SECONDS)
            pipeline.execute()

    def beside(self, kind: str, values: dict[str, Any]) -> None:
        """Store some of the data that is kept beside the events."""
        if self.problem or not self.is_news:
            return
        if kind == "read" and self.here and values:  # read marks never go back
            here = self.client.hmget(keys.read(self.rid), list(values))
            marks = zip(values.items(), here, strict=True)
            values = {uid: max(int(seq), int(mark or 0)) for (uid, seq), mark in marks}
        self._store(kind, values)

    def _store(self, kind: str, values: dict[str, Any]) -> None:
        key = self.made[BESIDE[kind]]
        if values and kind in HASHES:
            self.client.hset(key, mapping=values)
        elif values:
            self.client.zadd(key, values)
        self.client.expire(key, UNFINISHED_SECONDS)

    def put(self) -> bool:
        """Move the room to its final keys. Returns False if the existing room has changed
        meanwhile. Raises ValueError if events are missing."""
        if self.last != self.seq:
            raise ValueError("the newest event is missing")
        fields = {**self.fields, "first": str(self.first)}
        if not self.trusted:
            missing = self.seq - self.first + 1 - self.count
            if not self.lasting or missing > self.deletions + import_rules.MAX_MISSING_EVENTS:
                raise ValueError("events are missing that nobody deleted")
            fields["last"] = self.lasting
        if self.first == 1:
            del fields["first"]
        pairs = [part for pair in fields.items() for part in pair]
        return bool(
            Script(self.client, "place_room")(
                [*keys.of_room(self.rid), *self.made.values()],
                seq=self.here or "",
                expires_at=self.expires or "",
                rest=pairs,
            )
        )

    def forget(self) -> None:
        self.client.unlink(*self.made.values())
