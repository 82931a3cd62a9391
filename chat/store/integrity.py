"""What points to rooms and people, held against them: the index of open rooms against the rooms,
lists against members, logins against people, and so on, and what is wrong put right.

It works on a running chat. What is half done at the moment looks wrong, so what seems wrong is
looked at again after a while, and only what still is wrong counts.
"""

import re
import time
from collections.abc import Iterator
from functools import partial

from . import keys
from .findings import SCAN_COUNT, Finding, Look
from .name_index import all_entries, looks
from .person_checks import PersonChecks
from .room_checks import RoomChecks
from .room_kinds import OPEN, RANDOM

SETTLE_SECONDS = 2.0  # seconds after which what is half done is done
_ROOM = re.compile(r"chat:room:\{([^{}]+)\}(:\w+)?")
_USER = re.compile(r"chat:user:\{([^{}]+)\}(:[\w:]+)?")
_LOGIN = re.compile(r"chat:login:\{([^{}]+)\}")
_TOKEN = re.compile(r"chat:token:(\w+)")
_SUBJECT = re.compile(r"chat:subject:(\w+)")


class IntegrityCheck(RoomChecks, PersonChecks):
    def everything(self, settles: float = SETTLE_SECONDS) -> Iterator[Finding]:
        """All that is wrong; it takes a while. What is suspect is looked at again after so many
        seconds."""
        suspect = [look for look in self._looks() if any(look())]
        if suspect:
            time.sleep(settles)
        for look in suspect:
            yield from look()

    def _looks(self) -> Iterator[Look]:
        for name in self.client.scan_iter(match="chat:*", count=SCAN_COUNT):
            yield from self._looks_at_key(name)
        for rid, _ in self.client.zscan_iter(keys.OPEN_ROOMS, count=SCAN_COUNT):
            yield partial(self.open_room, rid)
        for rid, _ in self.client.zscan_iter(keys.RANDOM_ROOMS, count=SCAN_COUNT):
            yield partial(self.random_room, rid)
        for seat, _ in self.client.zscan_iter(keys.RANDOM_SEATS, count=SCAN_COUNT):
            yield partial(self.seat, seat)
        for key in (keys.NAMES, keys.LOOKALIKES):
            for entry, _ in self.client.zscan_iter(key, count=SCAN_COUNT):
                yield partial(self.name, key, entry)
        for key, what in ((keys.BOTS, "bot"), (keys.WEBHOOKS, "webhook")):
            for uid in self.client.sscan_iter(key, count=SCAN_COUNT):
                yield partial(self.listed, key, uid, what)

    def _looks_at_key(self, name: str) -> Iterator[Look]:
        if found := _ROOM.fullmatch(name):
            rid, part = found.groups()
            yield partial(self.part, name, keys.room(rid)) if part else partial(self.room, rid)
        elif found := _USER.fullmatch(name):
            uid, part = found.groups()
            yield partial(self.part, name, keys.user(uid)) if part else partial(self.person, uid)
        elif found := _LOGIN.fullmatch(name):
            yield partial(self.login, found[1])
        elif found := _TOKEN.fullmatch(name):
            yield partial(self.token, found[1])
        elif _SUBJECT.fullmatch(name):
            yield partial(self.subject, name)

    def part(self, name: str, whole: str) -> Iterator[Finding]:
        """Something that is kept for a room or a person who is there no longer."""
        if not self.client.exists(whole) and self.client.ttl(name) == -1:
            yield Finding(f"{name} belongs to nothing", partial(self.client.unlink, name))

    def open_room(self, rid: str) -> Iterator[Finding]:
        if self.rooms.kind(rid) != OPEN:
            gone = partial(self.client.zrem, keys.OPEN_ROOMS, rid)
            yield Finding(f"the index of open rooms has {rid}, which is none", gone)

    def random_room(self, rid: str) -> Iterator[Finding]:
        if self.rooms.kind(rid) != RANDOM:
            gone = partial(self.client.zrem, keys.RANDOM_ROOMS, rid)
            yield Finding(f"the index of random rooms has {rid}, which is none", gone)

    def seat(self, seat: str) -> Iterator[Finding]:
        """`<user id> <room id>`"""
        uid, _, rid = seat.partition(" ")
        if self.rooms.kind(rid) != RANDOM or not self.rooms.is_member(rid, uid):
            gone = partial(self.client.zrem, keys.RANDOM_SEATS, seat)
            yield Finding(f"{uid} has a seat in {rid} and is not there", gone)

    def name(self, key: str, entry: str) -> Iterator[Finding]:
        """An entry of an index of names. Those of guests who are forgotten stay for an hour at most
        (chat.services.guest_cleanup), and those of words that are not indexed any more: neither is
        wrong."""
        text, _, uid = entry.rpartition("\0")
        name = self.client.hget(keys.user(uid), "name")
        made = all_entries if key == keys.NAMES else looks
        if name is not None and entry not in made(uid, name):
            gone = partial(self.client.zrem, key, entry)
            yield Finding(f"{text!r} finds {uid}, whose name is another", gone)

    def listed(self, key: str, uid: str, what: str) -> Iterator[Finding]:
        """Somebody in the list of bots or of webhooks."""
        hook, bot = self.client.exists(keys.webhook(uid)), self.client.hget(keys.user(uid), "bot")
        if not (hook if key == keys.WEBHOOKS else bot):
            gone = partial(self.client.srem, key, uid)
            yield Finding(f"{uid} is listed as a {what} and is none", gone)

    def login(self, login: str) -> Iterator[Finding]:
        uid = self.client.get(keys.login(login))
        is_made = (
            self.client.ttl(keys.login(login)) >= 0
        )  # it is gone in a minute, or its account there
        if uid and not is_made and self.client.hget(keys.user(uid), "login") != login:
            gone = partial(self.client.delete, keys.login(login))
            yield Finding(f"the login {login!r} leads to {uid}, whose it is not", gone)

    def token(self, tid: str) -> Iterator[Finding]:
        key = keys.token(tid)
        uid = self.client.hget(key, "uid") or ""
        if not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, key)
            yield Finding("a token belongs to nobody", gone)
        elif not self.client.sismember(keys.tokens(uid), tid) and self.client.ttl(key) == -1:
            add = partial(self.client.sadd, keys.tokens(uid), tid)
            yield Finding(f"a token of {uid} is not in the list of theirs", add)

    def subject(self, key: str) -> Iterator[Finding]:
        uid = self.client.get(key)
        if uid and not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, key)
            yield Finding(f"somebody known by another site is {uid}, who is nobody", gone)
