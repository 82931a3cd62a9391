"""The integrity check (`chat check`): compares rooms and people with what points to them, such as
the index of open rooms, lists of rooms, and logins, and can repair what is wrong.

It works on a running chat, where an unfinished change looks like an error. So each error is checked
again after a while, and only those that are still there count."""

import re
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from . import keys
from .batches import scanned
from .findings import SCAN_COUNT, Finding, Look, is_number
from .name_index import all_entries, entries, looks
from .person import GUEST
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

    def everything(self, settles: float = SETTLE_SECONDS) -> Iterator[Finding]:
        """Yield everything that is wrong. What seems wrong is checked again after `settles`
        seconds."""
        suspect = [look for look in self._looks() if any(_findings(look))]
        if suspect:
            time.sleep(settles)
        for look in suspect:
            yield from _findings(look)

    def _looks(self) -> Iterator[Look]:
        checks = {
            "room": self.room_checks.room,
            "user": self.person,
            "login": self.login,
            "token": self.token,
            "subject": self.subject,
        }
        for name in self.client.scan_iter(match="chat:*", count=SCAN_COUNT):
            if found := _KEY.fullmatch(name):
                noun, ident, part = found.groups()
                yield partial(self.part, name) if part else partial(checks[noun], ident)
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

    def part(self, name: str) -> Iterator[Finding]:
        """A key of a room or a person that no longer exists."""
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
        """A seat of a random room, as `<user id> <room id>`."""
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

    # A person

    def person(self, uid: str) -> Iterator[Finding]:
        """Yield everything that is wrong with a person, and with what points to them."""
        yield from self.known(uid)
        yield from self._list(uid)
        yield from self._settings(uid)
        yield from self._tokens(uid)
        yield from self._webhook(uid)

    def known(self, uid: str) -> Iterator[Finding]:
        """Check the person's entries in the indexes of names and logins, and in the lists of
        bots."""
        fields = self.client.hgetall(keys.user(uid))
        if not fields:
            return
        name, login = fields.get("name", ""), fields.get("login", "")
        if not name:
            yield Finding(f"the person {uid} has no name", None)
            return
        if fields.get("role", GUEST) != GUEST and self.client.ttl(keys.user(uid)) >= 0:
            keep = partial(self.client.persist, keys.user(uid))
            yield Finding(f"{uid} is not a guest, but would expire", keep)
        for key, expected, what in (
            (keys.NAMES, entries(uid, name), "the name"),
            (keys.LOOKALIKES, looks(uid, name), "names that look like"),
        ):
            if None in self.client.zmscore(key, expected) and not fields.get("forgotten"):
                add = partial(self.client.zadd, key, dict.fromkeys(expected, 0))
                yield Finding(f"{uid} is not found by {what} {name!r}", add)
        if login and (owner := self.client.get(keys.login(login))) != uid:
            taken = owner is not None and self.client.exists(keys.user(owner))
            yield Finding(
                f"the login {login!r} of {uid} belongs to {owner or 'nobody'}",
                None if taken else partial(self.client.set, keys.login(login), uid),
            )
        for key, is_in, what in (
            (keys.BOTS, fields.get("bot"), "bots"),
            (keys.WEBHOOKS, self.client.exists(keys.webhook(uid)), "bots with a webhook"),
        ):
            if is_in and not self.client.sismember(key, uid):
                add = partial(self.client.sadd, key, uid)
                yield Finding(f"{uid} is not in the list of {what}", add)

    def _list(self, uid: str) -> Iterator[Finding]:
        for rids in scanned(self.client.sscan_iter, keys.user_rooms(uid), SCAN_COUNT):
            for rid in self._not_in(uid, rids):
                gone = partial(self.client.srem, keys.user_rooms(uid), rid)
                yield Finding(f"the room list of {uid} has {rid}, which they have not joined", gone)

    def _settings(self, uid: str) -> Iterator[Finding]:
        """Check notification levels and drafts, each by room."""
        for key, what in (
            (keys.notification_levels(uid), f"a notification level of {uid} for"),
            (keys.drafts(uid), f"a draft of {uid} in"),
        ):
            for some in scanned(self.client.hscan_iter, key, SCAN_COUNT):
                for rid in self._not_in(uid, (rid for rid, _ in some)):
                    gone = partial(self.client.hdel, key, rid)
                    yield Finding(f"{what} {rid} is stored, but they are not a member", gone)

    def _not_in(self, uid: str, rids: Iterable[str]) -> set[str]:
        """Return those of the rooms of which the person is not a member."""
        listed = set(rids)
        return listed - self.rooms.joined(uid, listed)

    def _tokens(self, uid: str) -> Iterator[Finding]:
        for tid in self.client.smembers(keys.tokens(uid)):
            if self.client.hget(keys.token(tid), "uid") != uid:
                gone = partial(self.client.srem, keys.tokens(uid), tid)
                yield Finding(f"the tokens of {uid} include one that does not exist", gone)

    def _webhook(self, uid: str) -> Iterator[Finding]:
        """Check the cursors and the queue of a bot's webhook."""
        hook, *parts = keys.of_webhook(uid)
        if not self.client.exists(hook) and self.client.exists(*parts):
            drop_all = partial(self.client.unlink, *parts)
            yield Finding(f"parts of a removed webhook of {uid} are still stored", drop_all)
        cursors, queue = keys.webhook_cursors(uid), keys.webhook_queue(uid)
        for some in scanned(self.client.hscan_iter, cursors, SCAN_COUNT):
            left = self._not_in(uid, (rid for rid, _ in some))
            for rid, cursor in some:
                newest = self.client.hget(keys.room(rid), "seq") or "0"
                if rid in left:
                    gone = partial(self.client.hdel, cursors, rid)
                    text = f"the bot {uid} has a cursor in {rid}, of which it is not a member"
                    yield Finding(text, gone)
                elif is_number(newest) and not (is_number(cursor) and int(cursor) <= int(newest)):
                    back = partial(self.client.hset, cursors, rid, newest)
                    what = "beyond its end" if is_number(cursor) else "not a number"
                    yield Finding(f"the cursor of the bot {uid} in {rid} is {what}", back)
        for waiting in scanned(self.client.zscan_iter, queue, SCAN_COUNT):
            rooms = {name: name.partition(" ")[0] for name, _ in waiting}
            left = self._not_in(uid, rooms.values())
            for name, rid in rooms.items():
                if rid in left:
                    drop = partial(self.client.zrem, queue, name)
                    yield Finding(f"a delivery to the bot {uid} is from a room it has left", drop)
        for name in self.client.hkeys(keys.webhook_attempts(uid)):
            if self.client.zscore(queue, name) is None:
                drop = partial(self.client.hdel, keys.webhook_attempts(uid), name)
                yield Finding(f"a delivery to {uid} has attempts, but is not queued", drop)

    # How a person signs in

    def login(self, login: str) -> Iterator[Finding]:
        uid = self.client.get(keys.login(login))
        is_kept = self.client.ttl(keys.login(login)) < 0  # others expire, or get an account
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
    """Yield what a check finds. If a stored value is not a number, not JSON or of the wrong type,
    that is the check's last finding, and other checks continue."""
    try:
        yield from look()
    except (ValueError, TypeError, ResponseError) as error:
        about = " ".join(map(str, look.args))
        yield Finding(f"{about} has a value that cannot be read: {str(error)[:200]!r}", None)
