"""The integrity check (`chat check`): compares rooms and people with what points to them, such as
the index of open rooms, lists of rooms, and logins, and can repair what is wrong.

It works on a running chat, where a change that is half done looks wrong. So what seems wrong is
checked again after a while, and only what is still wrong counts."""

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from . import keys
from .findings import SCAN_COUNT, Finding, Look
from .name_index import all_entries, looks
from .person_checks import PersonChecks
from .room_checks import RoomChecks
from .room_kinds import OPEN, RANDOM
from .rooms import Rooms

SETTLE_SECONDS = 2.0  # after which a change that has begun is complete
_KEY = re.compile(r"chat:(room|user|login|token|subject):\{?([^{}:]+)\}?(:\w+|:hook:\w+)?")


class IntegrityCheck:
    def __init__(self, client: Any, rooms: Rooms) -> None:
        self.client = client
        self.rooms = rooms
        self.room_checks = RoomChecks(client, rooms)
        self.person_checks = PersonChecks(client, rooms)

    def everything(self, settles: float = SETTLE_SECONDS) -> Iterator[Finding]:
        """Everything that is wrong; this takes a while. What seems wrong is checked again after
        `settles` seconds."""
        suspect = [look for look in self._looks() if any(_findings(look))]
        if suspect:
            time.sleep(settles)
        for look in suspect:
            yield from _findings(look)

    def _looks(self) -> Iterator[Look]:
        for name in self.client.scan_iter(match="chat:*", count=SCAN_COUNT):
            if found := _KEY.fullmatch(name):
                yield self._look_at(name, *found.groups())
        for key, check in (
            (keys.OPEN_ROOMS, partial(self.indexed_room, keys.OPEN_ROOMS, OPEN)),
            (keys.RANDOM_ROOMS, partial(self.indexed_room, keys.RANDOM_ROOMS, RANDOM)),
            (keys.RANDOM_SEATS, self.seat),
            (keys.NAMES, partial(self.name, keys.NAMES)),
            (keys.LOOKALIKES, partial(self.name, keys.LOOKALIKES)),
        ):
            for entry, _ in self.client.zscan_iter(key, count=SCAN_COUNT):
                yield partial(check, entry)
        for key, what in ((keys.BOTS, "bot"), (keys.WEBHOOKS, "webhook")):
            for uid in self.client.sscan_iter(key, count=SCAN_COUNT):
                yield partial(self.listed, key, uid, what)

    def _look_at(self, name: str, noun: str, ident: str, part: str | None) -> Look:
        checks = {
            "room": self.room_checks.room,
            "user": self.person_checks.person,
            "login": self.login,
            "token": self.token,
            "subject": self.subject,
        }
        return partial(self.part, name) if part else partial(checks[noun], ident)

    def part(self, name: str) -> Iterator[Finding]:
        """A key of a room or a person that does not exist any more."""
        owner = name[: name.index("}") + 1]
        if not self.client.exists(owner) and self.client.ttl(name) == -1:
            drop = partial(self.client.unlink, name)
            yield Finding(f"{name} belongs to nothing that exists", drop)

    def indexed_room(self, key: str, kind: str, rid: str) -> Iterator[Finding]:
        """A room in the index of open rooms, or in that of random rooms."""
        if self.rooms.kind(rid) != kind:
            gone = partial(self.client.zrem, key, rid)
            yield Finding(f"the index of {kind} rooms has {rid}, which is not one", gone)

    def seat(self, seat: str) -> Iterator[Finding]:
        """`<user id> <room id>`"""
        uid, _, rid = seat.partition(" ")
        if self.rooms.kind(rid) != RANDOM or not self.rooms.is_member(rid, uid):
            gone = partial(self.client.zrem, keys.RANDOM_SEATS, seat)
            yield Finding(f"{uid} has a seat in {rid}, but is not a member", gone)

    def name(self, key: str, entry: str) -> Iterator[Finding]:
        """An entry of an index of names. Entries of forgotten guests, which stay for at most an
        hour (chat.services.retention), and of words that are not indexed any more are not
        wrong."""
        text, _, uid = entry.rpartition("\0")
        name = self.client.hget(keys.user(uid), "name")
        made = all_entries if key == keys.NAMES else looks
        if name is not None and entry not in made(uid, name):
            gone = partial(self.client.zrem, key, entry)
            yield Finding(f"{text!r} finds {uid}, who has a different name", gone)

    def listed(self, key: str, uid: str, what: str) -> Iterator[Finding]:
        """An entry in the list of bots or of webhooks."""
        hook, bot = self.client.exists(keys.webhook(uid)), self.client.hget(keys.user(uid), "bot")
        if not (hook if key == keys.WEBHOOKS else bot):
            gone = partial(self.client.srem, key, uid)
            yield Finding(f"{uid} is listed as a {what}, but is not one", gone)

    def login(self, login: str) -> Iterator[Finding]:
        uid = self.client.get(keys.login(login))
        is_kept = self.client.ttl(keys.login(login)) < 0  # others expire, or get their account
        if uid and is_kept and self.client.hget(keys.user(uid), "login") != login:
            gone = partial(self.client.delete, keys.login(login))
            yield Finding(f"the login {login!r} belongs to {uid}, who has a different login", gone)

    def token(self, tid: str) -> Iterator[Finding]:
        key = keys.token(tid)
        uid = self.client.hget(key, "uid") or ""
        if not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, key)
            yield Finding("a token belongs to a person who does not exist", gone)
        elif not self.client.sismember(keys.tokens(uid), tid) and self.client.ttl(key) == -1:
            add = partial(self.client.sadd, keys.tokens(uid), tid)
            yield Finding(f"a token of {uid} is missing from their list", add)

    def subject(self, digest: str) -> Iterator[Finding]:
        uid = self.client.get(keys.subject(digest))
        if uid and not self.client.exists(keys.user(uid)):
            gone = partial(self.client.delete, keys.subject(digest))
            yield Finding(f"an identity of another site belongs to {uid}, who does not exist", gone)


def _findings(look: Look) -> Iterator[Finding]:
    """What a look finds. If a stored value is no number, no JSON or of another type, that is the
    last finding, and other looks go on."""
    try:
        yield from look()
    except (ValueError, TypeError, ResponseError) as error:
        about = " ".join(map(str, look.args))
        yield Finding(f"{about} has a value that cannot be read: {str(error)[:200]!r}", None)
