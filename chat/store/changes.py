"""What changes in rooms, for the search index (chat.search.indexer), which follows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..domain.events import EDIT, POST, Event
from . import keys
from .batches import ask_each
from .history import History
from .room_kinds import ENDED

_AT_ONCE = 500  # rooms in one pipeline


@dataclass(frozen=True, slots=True)
class Since:
    """Some of the events of a room after a certain one, with the present bodies of messages.
    `first` is the oldest number that is kept, `seq` the newest. `follows` is False if another event
    has the number of that one now, after a failover to a lagging replica."""

    epoch: str
    seq: int
    first: int
    events: list[Event]
    follows: bool


class RoomChanges:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.history = History(client)

    def since(self, rid: str, seq: int, at: int, limit: int) -> Since | None:
        """The first events after number `seq`, whose time was `at` (ms): at most `limit`, and at
        most one piece. None if the room does not exist any more."""
        piece = self.history.piece(rid, "after", seq, limit)
        if piece.seq is None or piece.kind == ENDED:
            return None
        follows = piece.before in (None, at)
        events = [Event.parse(rid, *entry) for entry in piece.entries]
        return Since(piece.epoch, piece.seq, piece.first, self._now(rid, events), follows)

    def newest(self, rids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
        """The epoch, the newest number and the oldest number that is kept, of those of the rooms
        that exist and have not ended. They are texts as stored; whoever reads the room finds out
        whether they are numbers."""
        asked = ((keys.room(rid), "kind", "epoch", "seq", "first") for rid in rids)
        answers = ask_each(self.client, "hmget", asked, _AT_ONCE)
        return {
            rid: (epoch or "", seq, first or "1")
            for rid, (kind, epoch, seq, first) in zip(rids, answers, strict=True)
            if seq is not None and kind != ENDED
        }

    def _now(self, rid: str, events: list[Event]) -> list[Event]:
        seqs = list({event.about for event in events if event.kind in (POST, EDIT)})
        _, beside = self.history.beside(rid, [(seq, "") for seq in seqs])
        bodies = {seqs[n]: body for n, what, body in beside if what == "body"}
        return [
            replace(event, body=bodies[event.about])
            if event.kind in (POST, EDIT) and event.about in bodies
            else event
            for event in events
        ]
