"""Mentions, and the notification level that a person has chosen for a room.

Mentions are found when a message is written, and the same script stores them. There is no list per
person that could be out of date. Instead, each room has an index by person: a message to everybody
is one entry, a deleted message has none, and the rooms that a person has left are not read.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ..domain.events import Position
from ..domain.mentions import (
    EVERYBODY,
    ROOM,
    WORDS,
    Mentions,
    candidates,
    folded,
    mentioned,
    without_code,
)
from . import keys
from .batches import AT_ONCE, batched, members_among
from .name_index import uids_beginning, uids_called
from .people import People
from .person import Person
from .presence import Presence

MAX_NAMESAKES = 1000  # people with a name, or with its beginning, among whom members are sought
MAX_HERE = 200  # whom `@here` mentions individually; if more are here, it mentions everybody
MAX_COUNTED_MENTIONS = 100  # unread mentions of each kind in a room; more are not counted
MAX_SUGGESTIONS = 8  # people who are suggested while somebody types a name

# The notification levels: all messages, only mentions, or none; HIDDEN is none, and the room is
# not in the room list either.
LEVELS = ALL, MENTIONS, MUTED, HIDDEN = ("", "mentions", "nothing", "hidden")


class Notifications:
    def __init__(self, client: Any, people: People, presence: Presence) -> None:
        self.client = client
        self.people = people
        self.presence = presence

    # Writing

    def mentions(self, rid: str, by: str, body: str) -> Mentions:
        """Return whom a message by the person with the id `by` mentions in a room: members by name,
        everybody who is here, or everybody."""
        if "@" not in body:
            return ()
        text = without_code(body)
        namesakes = uids_called(self.client, candidates(text), MAX_NAMESAKES)
        called: dict[str, list[str]] = {}
        for person in self._members(rid, namesakes):
            if person.uid != by:
                called.setdefault(folded(person.name), []).append(person.uid)
        reached = {name: " ".join(uids) for name, uids in called.items()}
        for word in mentioned(text, WORDS):
            reached[word] = EVERYBODY if word == ROOM else self._here(rid, by)
        found = mentioned(text, reached)
        return tuple((name, reached[name]) for name in sorted(found) if reached[name])

    def offered(self, rid: str, by: str, start: str) -> tuple[list[Person], list[str]]:
        """Return members of a room whose names begin with `start`, present ones first, and the
        words for all members that begin with it."""
        if start.strip():
            uids = uids_beginning(self.client, start, MAX_NAMESAKES)
        else:
            uids = self.client.zrange(keys.members(rid), 0, MAX_HERE - 1)
        people = [person for person in self._members(rid, uids) if person.uid != by]
        here = self.presence.here([person.uid for person in people])
        people.sort(key=lambda person: (person.uid not in here, folded(person.name)))
        words = [word for word in sorted(WORDS) if word.startswith(folded(start))]
        return people[:MAX_SUGGESTIONS], words

    def _members(self, rid: str, uids: Sequence[str]) -> list[Person]:
        """Return those of the people with these ids who are active members of the room."""
        members = members_among(self.client, keys.members(rid), uids)
        return [person for person in self.people.several(members) if not person.deactivated]

    def _here(self, rid: str, by: str) -> str:
        here: set[str] = set()
        start = 0
        while some := self.client.zrange(keys.members(rid), start, start + MAX_NAMESAKES - 1):
            here |= self.presence.here(some) - {by}
            if len(here) > MAX_HERE:
                return EVERYBODY
            start += MAX_NAMESAKES
        return " ".join(sorted(here))

    # Reading

    def newest(self, uid: str, rids: Iterable[str], before: int, limit: int) -> list[Position]:
        """Return the newest `limit` messages in these rooms that mention a person since they
        joined, and all others from the same ms as the last of them. They are older than `before`
        (ms); 0 for no limit."""
        found: list[Position] = []
        for some in batched(rids, AT_ONCE // 4):  # each answers up to twice `limit`
            pipeline = self.client.pipeline(transaction=False)
            for rid in some:
                pipeline.zscore(keys.members(rid), uid)
                ask_mentions(pipeline, rid, uid, limit, before)
            answers = iter(pipeline.execute())
            for rid, joined, own, all_ in zip(some, answers, answers, answers, strict=True):
                entries = {entry.split(" ", 1)[1] for entry in (*own, *all_)}
                times = [tuple(map(int, entry.split(" "))) for entry in entries]
                found += [Position(at, rid, seq) for at, seq in times if joined and at >= joined]
            found = _newest(found, limit)
        return found

    # Notification levels

    def level(self, uid: str, rid: str) -> str:
        """Return the notification level of a room, one of LEVELS."""
        return self.client.hget(keys.notification_levels(uid), rid) or ALL

    def set_level(self, uid: str, rid: str, level: str) -> None:
        """Set the notification level of a room, and announce it to the person's open pages."""
        if level:
            self.client.hset(keys.notification_levels(uid), rid, level)
        if not level or self.client.zscore(keys.members(rid), uid) is None:  # who left meanwhile
            self.client.hdel(keys.notification_levels(uid), rid)
        self.client.spublish(keys.user_channel(uid), "")


def _newest(found: list[Position], limit: int) -> list[Position]:
    """Return the newest `limit` mentions, and all others from the same ms as the last of them."""
    found.sort(key=lambda one: (one.at, one.seq), reverse=True)
    last = found[limit - 1].at if len(found) > limit else 0
    return [one for one in found if one.at >= last]


def ask_mentions(pipeline: Any, rid: str, uid: str, limit: int, before: int = 0) -> None:
    """Ask for the mentions of a person in a room, and for those of everybody: two answers, newest
    first."""
    for who in (uid, EVERYBODY):
        end = f"({who} {before:013d}" if before else f"({who} ~"
        pipeline.zrevrangebylex(keys.mentioned(rid), end, f"[{who} ", start=0, num=limit)
