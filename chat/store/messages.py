"""What is said in a room: its numbered events, read by number."""

import hashlib
from dataclasses import dataclass
from typing import Any

from ..errors import NotFound, NotMember
from ..events import POST, Event
from . import keys
from .people import People, Person
from .rooms import pack_by

PAGE_SIZE = 50  # events on a page
NONCES_KEPT = 5_000  # events after which a resend is no longer known as one


@dataclass(frozen=True, slots=True)
class Missed:
    """What a page lacks. `replace`: it knows another history, or lacks too much; `events` are
    then a page of the newest, to be shown instead of its list."""

    events: list[Event]
    replace: bool
    seq: int
    epoch: str


class Messages:
    def __init__(self, client: Any, people: People, post: Any, seen: Any) -> None:
        self.client = client
        self.people = people
        self._post = post
        self._seen = seen

    def post(self, rid: str, author: Person, body: str, nonce: str = "") -> int:
        """Store and publish a message; returns its number.

        The same nonce with the same body by the same author is a resend: nothing is stored and
        the first one's number is returned. An empty nonce is never a resend. Raises NotFound,
        NotMember, and redis's errors; after one of those the message may have been stored, and
        posting it again with its nonce is safe.
        """
        digest = hashlib.sha256(body.encode()).hexdigest()[:32]
        seq, _ = self._post(
            keys=[
                keys.room(rid),
                keys.events(rid),
                keys.members(rid),
                keys.read(rid),
                keys.nonces(rid),
            ],
            args=[
                keys.room_channel(rid),
                author.uid,
                pack_by(POST, author, body),
                f"{author.uid} {nonce} {digest}" if nonce else "",
                f"{author.uid} {nonce}",
                NONCES_KEPT,
            ],
        )
        if seq == -1:
            raise NotFound("There is no such room.")
        if seq == -2:
            raise NotMember("Join the room first to write here.")
        return int(seq)

    def posted(self, rid: str, author: Person, nonce: str) -> str | None:
        """The body that was first posted with this nonce, or None."""
        seq = self.client.zscore(keys.nonces(rid), f"{author.uid} {nonce}")
        events = [] if seq is None else self.after(rid, int(seq) - 1, 1)
        return events[0].body if events else None

    def newest(self, rid: str, limit: int = PAGE_SIZE) -> list[Event]:
        """The last `limit` events, oldest first."""
        return self._back(rid, "+", limit)

    def before(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """The `limit` events before number `seq`, oldest first."""
        return self._back(rid, f"({seq}-0", limit) if seq > 1 else []

    def after(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """The first `limit` events after number `seq`, oldest first."""
        entries = self.client.xrange(keys.events(rid), f"({seq}-0", "+", count=limit)
        return self.people.named([_event(rid, entry) for entry in entries])

    def around(self, rid: str, seq: int, limit: int = PAGE_SIZE) -> list[Event]:
        """Events around number `seq`, which is among them, oldest first. Raises NotFound."""
        events = self.before(rid, seq + 1, limit // 2 + 1)
        if not events or events[-1].seq != seq:
            raise NotFound("There is no such message in this room.")
        return events + self.after(rid, seq, limit // 2)

    def missed(self, rid: str, uid: str, after: int, epoch: str, limit: int = 300) -> Missed | None:
        """What the page of `uid` that shows `rid` up to number `after` lacks; None when `uid` is
        no member. An `epoch` of "" is taken as the present one."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zscore(keys.members(rid), uid)
        pipeline.hmget(keys.room(rid), "seq", "epoch")
        pipeline.xrange(keys.events(rid), f"({after}-0", "+", count=limit + 1)
        member, (seq, present), entries = pipeline.execute()
        if member is None or seq is None:
            return None
        events = self.people.named([_event(rid, entry) for entry in entries])
        replace = (epoch or present) != present or after > int(seq) or len(events) > limit
        if replace:
            events = self.newest(rid)
        return Missed(events, replace, events[-1].seq if events else after, present or "")

    def gap(self, rid: str, after: int, limit: int) -> tuple[int, list[Event]]:
        """The room's newest number and the first `limit` events after number `after`."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.room(rid), "seq")
        pipeline.xrange(keys.events(rid), f"({after}-0", "+", count=limit)
        seq, entries = pipeline.execute()
        return int(seq or 0), [_event(rid, entry) for entry in entries]

    def seen(self, rid: str, uid: str, seq: int) -> None:
        """Remember that `uid` has seen the room up to `seq`; it never goes back, and never
        beyond the newest."""
        self._seen(keys=[keys.read(rid), keys.room(rid)], args=[uid, seq])

    def _back(self, rid: str, end: str, limit: int) -> list[Event]:
        entries = self.client.xrevrange(keys.events(rid), end, "-", count=limit)
        return self.people.named([_event(rid, entry) for entry in reversed(entries)])


def _event(rid: str, entry: tuple[str, dict[str, str]]) -> Event:
    number, fields = entry
    return Event.parse(rid, int(number.partition("-")[0]), int(fields["at"]), fields["data"])
