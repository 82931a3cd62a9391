"""What concerns somebody: which messages mention them, and how much of a room they want to hear.

Whom a message mentions is found when it is written, and kept with it by the same script. Nobody
has a list that could be behind: each room has an index by the ids of people, so that a message for
everybody is one entry in it, what is deleted is gone from it, and rooms that somebody has left are
not read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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
from .batches import AT_ONCE, batched
from .people import People
from .person import Person
from .presence import Presence

MOST_SAME = 1000  # people with one name, or one beginning of it, among whom members are looked for
MOST_HERE = 200  # people whom `@here` reaches one by one; where more are here it reaches all
MAX_COUNTED_MENTIONS = 100  # unread mentions of each kind that are counted in a room
MOST_OFFERED = 8  # people who are offered while somebody types a name

# How much of a room somebody wants to hear: each message, what mentions them, nothing at all; and
# nothing of a room that is not in the list either.
LEVELS = ALL, MENTIONS, NOTHING, HIDDEN = ("", "mentions", "nothing", "hidden")


@dataclass(frozen=True, slots=True)
class Found:
    """Message `seq` of a room, from `at` ms since 1970, which mentions somebody."""

    at: int
    rid: str
    seq: int


class Notifications:
    def __init__(self, client: Any, people: People, presence: Presence) -> None:
        self.client = client
        self.people = people
        self.presence = presence

    # Writing

    def mentions(self, rid: str, by: str, body: str) -> Mentions:
        """Whom a message of the person with the id `by` mentions in a room: members by their
        names, whoever is here, or everybody."""
        if "@" not in body:
            return ()
        said = without_code(body)
        called: dict[str, list[str]] = {}
        for person in self._members(rid, self.people.called(candidates(said), MOST_SAME)):
            if person.uid != by:
                called.setdefault(folded(person.name), []).append(person.uid)
        reached = {name: " ".join(uids) for name, uids in called.items()}
        for word in WORDS & mentioned(said, WORDS):
            reached[word] = EVERYBODY if word == ROOM else self._here(rid, by)
        found = mentioned(said, reached)
        return tuple((name, reached[name]) for name in sorted(found) if reached[name])

    def offered(self, rid: str, by: str, start: str) -> tuple[list[Person], list[str]]:
        """Members of a room whose names begin so, those who are here first, and such words."""
        some = self.people.beginning(start, MOST_SAME) if start.strip() else self._some(rid)
        people = [person for person in self._members(rid, some) if person.uid != by]
        here = self.presence.here([person.uid for person in people])
        people.sort(key=lambda person: (person.uid not in here, folded(person.name)))
        words = [word for word in sorted(WORDS) if word.startswith(folded(start))]
        return people[:MOST_OFFERED], words

    def _some(self, rid: str) -> list[str]:
        return list(self.client.zrange(keys.members(rid), 0, MOST_HERE - 1))

    def _members(self, rid: str, uids: Sequence[str]) -> list[Person]:
        """Those of the people with these ids who are in the room."""
        joined = self.client.zmscore(keys.members(rid), uids) if uids else []
        members = [uid for uid, at in zip(uids, joined, strict=True) if at is not None]
        return [person for person in self.people.several(members) if not person.deactivated]

    def _here(self, rid: str, by: str) -> str:
        here: set[str] = set()
        start = 0
        while some := self.client.zrange(keys.members(rid), start, start + MOST_SAME - 1):
            here |= self.presence.here(some) - {by}
            if len(here) > MOST_HERE:
                return EVERYBODY
            start += MOST_SAME
        return " ".join(sorted(here))

    # Reading

    def newest(self, uid: str, rids: Iterable[str], before: int, limit: int) -> list[Found]:
        """The newest `limit` messages in these rooms that mention somebody since they joined, and
        all others of the same ms as the last of them; those from before `before` ms, 0 for all."""
        found: list[Found] = []
        for some in batched(rids, AT_ONCE // 4):  # each answers up to twice `limit`
            pipeline = self.client.pipeline(transaction=False)
            for rid in some:
                pipeline.zscore(keys.members(rid), uid)
                ask_mentions(pipeline, rid, uid, limit, before)
            answers = iter(pipeline.execute())
            for rid, joined, own, all_ in zip(some, answers, answers, answers, strict=True):
                entries = {entry.split(" ", 1)[1] for entry in (*own, *all_)}
                times = [tuple(map(int, entry.split(" "))) for entry in entries]
                found += [Found(at, rid, seq) for at, seq in times if joined and at >= joined]
            found = _newest(found, limit)
        return found

    # How much somebody wants to hear

    def level(self, uid: str, rid: str) -> str:
        """One of LEVELS."""
        return self.client.hget(keys.notification_levels(uid), rid) or ALL

    def set_level(self, uid: str, rid: str, level: str) -> None:
        """Hear so much of a room from now on; open pages show it."""
        if level:
            self.client.hset(keys.notification_levels(uid), rid, level)
        if not level or self.client.zscore(keys.members(rid), uid) is None:  # who left meanwhile
            self.client.hdel(keys.notification_levels(uid), rid)
        self.client.spublish(keys.user_channel(uid), "")


def _newest(found: list[Found], limit: int) -> list[Found]:
    """The newest `limit`, and all others of the same ms as the last of them."""
    found.sort(key=lambda one: (one.at, one.seq), reverse=True)
    last = found[limit - 1].at if len(found) > limit else 0
    return [one for one in found if one.at >= last]


def ask_mentions(pipeline: Any, rid: str, uid: str, limit: int, before: int = 0) -> None:
    """Ask for what mentions somebody in a room, and for what mentions everybody: two answers,
    newest first."""
    for who in (uid, EVERYBODY):
        end = f"({who} {before:013d}" if before else f"({who} ~"
        pipeline.zrevrangebylex(keys.mentioned(rid), end, f"[{who} ", start=0, num=limit)
