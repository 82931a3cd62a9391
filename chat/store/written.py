"""What is written in all rooms, as the index of messages (chat.index) follows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..events import EDIT, POST, Event
from . import keys
from .room_kinds import ENDED

_AT_ONCE = 500  # rooms in one pipeline


@dataclass(frozen=True, slots=True)
class Since:
    """What came in a room after an event: some of the events, the bodies of messages as they are
    now. `first` is the oldest number that is kept, `seq` the newest; `follows` is False where the
    event is another one than it was (in a failover to a replica that lagged)."""

    epoch: str
    seq: int
    first: int
    events: list[Event]
    follows: bool


class Written:
    def __init__(self, client: Any) -> None:
        self.client = client

    def since(self, rid: str, seq: int, at: int, limit: int) -> Since | None:
        """The first `limit` events after number `seq`, which was of the time `at` (ms). None where
        there is no such room any more."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hmget(keys.room(rid), "kind", "epoch", "seq", "first")
        pipeline.xrange(keys.events(rid), f"{seq}-0", "+", count=limit + 1)
        (kind, epoch, newest, first), entries = pipeline.execute()
        if newest is None or kind == ENDED:
            return None
        events = [_event(rid, entry) for entry in entries]
        there = bool(events) and events[0].seq == seq
        follows = not there or events[0].at == at
        events = events[1:] if there else events[:limit]
        return Since(epoch or "", int(newest), int(first or 1), self._now(rid, events), follows)

    def newest(self, rids: Sequence[str]) -> dict[str, tuple[str, int, int]]:
        """Epoch, newest number and oldest number that is kept, of those of the rooms that are
        there and have not ended."""
        answers = []
        for n in range(0, len(rids), _AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for rid in rids[n : n + _AT_ONCE]:
                pipeline.hmget(keys.room(rid), "kind", "epoch", "seq", "first")
            answers += pipeline.execute()
        return {
            rid: (epoch or "", int(seq), int(first or 1))
            for rid, (kind, epoch, seq, first) in zip(rids, answers, strict=True)
            if seq is not None and kind != ENDED
        }

    def _now(self, rid: str, events: list[Event]) -> list[Event]:
        seqs = [event.about for event in events if event.kind in (POST, EDIT)]
        bodies = (
            dict(zip(seqs, self.client.hmget(keys.edits(rid), seqs), strict=True)) if seqs else {}
        )
        return [
            replace(event, body=bodies[event.about])
            if event.kind in (POST, EDIT) and bodies[event.about] is not None
            else event
            for event in events
        ]


def _event(rid: str, entry: tuple[str, dict[str, str]]) -> Event:
    number, fields = entry
    return Event.parse(rid, int(number.partition("-")[0]), int(fields["at"]), fields["data"])
