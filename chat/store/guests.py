"""Deletes guests who will not come back, and what is left of deleted ones.

A guest has no password and can only come back by a session that has not ended, or by a token. The
messages of a forgotten guest stay, with the name that each of them contains. Everything else is
deleted: sessions, tokens, drafts, memberships, entries in the indexes of names, and finally the
person. If this is interrupted, it starts again, because the person is deleted last.

A direct room has the name of its other members. So a guest in a direct room stays as a deactivated
person with nothing else (`forgotten`).
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from ..domain.errors import NotFound
from ..domain.events import END
from . import keys
from .batches import ask_each, batched, scanned
from .lua import Script
from .name_index import remove_from_indexes
from .people import GUEST_SECONDS, People
from .person import GUEST, Person
from .room_kinds import DIRECT, ENDED
from .rooms import Rooms, event_by
from .sessions import Sessions
from .tokens import Tokens
from .verified import check_own

SCAN_COUNT = 100  # people, or entries of an index, that are read in one step
NEW_SECONDS = 24 * 3600  # during which a guest without a session may still be signing in
_USER = re.compile(r"chat:user:\{([^{}]+)\}(:[\w:]+)?")
_FIELDS = ("uid", "name", "role", "bot", "login", "off", "forgotten")
_PARTS = (keys.sessions, keys.tokens, keys.notification_levels, keys.drafts, keys.user_pages)


class Guests:
    def __init__(self, people: People, rooms: Rooms, sessions: Sessions, tokens: Tokens) -> None:
        self.client = people.client
        self.rooms = rooms
        self.sessions = sessions
        self.tokens = tokens
        self._forget_member = Script(people.client, "forget_member")

    def forget(self, days: int) -> Iterator[list[str]]:
        """Forget guests who have not been here for that many `days`, and delete what is left of
        forgotten people. Works in steps; each yields the ids of the guests it has forgotten."""
        left: set[str] = set()
        found = self.client.scan_iter(match=keys.user("*").replace("}", "*"), count=SCAN_COUNT)
        for names in batched(found, SCAN_COUNT):
            matches = [match for name in names if (match := _USER.fullmatch(name))]
            uids = list(dict.fromkeys(match[1] for match in matches))
            yield self._forget_some(uids, days, left)
        # Later, because an import stores what belongs to a person before the person.
        for uids in batched(sorted(left), SCAN_COUNT):
            self._forget_rest(uids)
            yield []
        for index in (keys.NAMES, keys.LOOKALIKES, keys.GUESTS_GONE):
            for entries in scanned(self.client.zscan_iter, index, SCAN_COUNT):
                self._forget_entries(index, [entry for entry, _ in entries])
                yield []

    def _forget_some(self, uids: list[str], days: int, left: set[str]) -> list[str]:
        """Forget those of these people who are guests and will not come back; add to `left` the ids
        of people who do not exist any more."""
        pipeline = self.client.pipeline(transaction=False)
        for uid in uids:
            pipeline.hmget(keys.user(uid), _FIELDS)
            pipeline.ttl(keys.user(uid))
        answers, gone = iter(pipeline.execute()), []
        for uid, values, expires in zip(uids, answers, answers, strict=True):
            check_own(keys.user(uid), uid, values, len(_FIELDS))
            fields = dict(zip(_FIELDS, values, strict=True))
            if not fields["name"]:
                left.add(uid)
            elif self._is_guest(fields) and self._is_away(uid, expires, days):
                self._forget_guest(Person(uid, fields["name"]))
                gone.append(uid)
        return gone

    def _forget_rest(self, uids: list[str]) -> None:
        for uid in uids:
            if not self.client.exists(keys.user(uid)):
                self._forget_parts(uid)
                self.client.delete(keys.user_rooms(uid))
                self.client.zrem(keys.GUESTS_GONE, uid)

    def _is_guest(self, fields: dict[str, str | None]) -> bool:
        """True for a guest who can be forgotten. A guest whom an administrator has deactivated
        stays, so that the administrator can still delete their messages and lift the ban of their
        networks."""
        others = fields["bot"] or fields["login"] or fields["off"] or fields["forgotten"]
        return (fields["role"] or GUEST) == GUEST and not others

    def _is_away(self, uid: str, expires: int, days: int) -> bool:
        """True if this guest has not been here for that many `days`. `expires`: seconds until the
        guest expires; -1 for guests who have joined a room, and do not."""
        now = self.sessions.clock.now()
        if expires >= 0 and GUEST_SECONDS - expires < NEW_SECONDS:
            return False
        used = [max(token.made, token.used) for token in self.tokens.of(uid)]
        seen = max([session.seen for session in self.sessions.of(uid)] + used, default=0)
        if not seen:  # signed out: the store says when this was first noticed
            self.client.zadd(keys.GUESTS_GONE, {uid: int(now)}, nx=True)
            seen = int(self.client.zscore(keys.GUESTS_GONE, uid) or now)
        return seen < now - days * 24 * 3600

    def _forget_guest(self, person: Person) -> None:
        uid, direct = person.uid, False
        # If this is interrupted, the next attempt finds no session any more.
        self.client.zadd(keys.GUESTS_GONE, {uid: 1})
        rids = self.client.smembers(keys.user_rooms(uid))  # including ended ones
        self.rooms.release_ownership(person)
        for rid in rids:
            if self.rooms.kind(rid) == DIRECT and self.rooms.is_member(rid, uid):
                direct = True
                continue
            self._leave(rid, person)
            self.client.srem(keys.user_rooms(uid), rid)
        pipeline = self.client.pipeline(transaction=False)
        remove_from_indexes(pipeline, uid, person.name)
        pipeline.execute()
        self._forget_parts(uid)
        if direct:
            self.client.hset(keys.user(uid), mapping={"off": "1", "forgotten": "1", "picture": ""})
        else:
            self.client.delete(keys.user(uid), keys.user_rooms(uid))
        self.client.zrem(keys.GUESTS_GONE, uid)
        self.client.spublish(keys.user_channel(uid), "")

    def _leave(self, rid: str, person: Person) -> None:
        left = self._forget_member(keys.of_ending(rid), event_by(END, person))
        if left == -1:
            with suppress(NotFound):  # a random room that `release_ownership` has not left
                self.rooms.leave(rid, person)
        if self.rooms.kind(rid) == ENDED:  # now, or before an interruption
            self.client.zrem(keys.OPEN_ROOMS, rid)

    def _forget_parts(self, uid: str) -> None:
        """Delete what is stored beside a person."""
        for tid in self.client.smembers(keys.tokens(uid)):
            self.client.delete(keys.token(tid))
        self.client.delete(*(part(uid) for part in _PARTS))

    def _forget_entries(self, index: str, entries: list[str]) -> None:
        """Delete entries of people who do not exist any more."""
        users = ((keys.user(entry.rpartition("\0")[2]),) for entry in entries)
        there = zip(entries, ask_each(self.client, "exists", users), strict=True)
        if gone := [entry for entry, exists in there if not exists]:
            self.client.zrem(index, *gone)
