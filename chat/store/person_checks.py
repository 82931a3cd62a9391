"""Checks of one person: lists, drafts, tokens and webhooks."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from . import keys
from .batches import scanned
from .findings import SCAN_COUNT, Finding, is_number
from .name_index import entries, looks
from .person import GUEST
from .rooms import Rooms


class PersonChecks:
    def __init__(self, client: Any, rooms: Rooms) -> None:
        self.client = client
        self.rooms = rooms

    def person(self, uid: str) -> Iterator[Finding]:
        """Everything that is wrong with a person, and with what points to them."""
        yield from self.known(uid)
        yield from self._list(uid)
        yield from self._settings(uid)
        yield from self._tokens(uid)
        yield from self._webhook(uid)

    def known(self, uid: str) -> Iterator[Finding]:
        """The person's entries in the indexes of names and logins, and in the lists of bots."""
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
        """Notification levels and drafts, each by room."""
        for key, what in (
            (keys.notification_levels(uid), f"a notification level of {uid} for"),
            (keys.drafts(uid), f"a draft of {uid} in"),
        ):
            for some in scanned(self.client.hscan_iter, key, SCAN_COUNT):
                for rid in self._not_in(uid, (rid for rid, _ in some)):
                    gone = partial(self.client.hdel, key, rid)
                    yield Finding(f"{what} {rid} is stored, but they are not a member", gone)

    def _not_in(self, uid: str, rids: Iterable[str]) -> set[str]:
        """Those of the rooms of which the person is not a member."""
        listed = set(rids)
        return listed - self.rooms.joined(uid, listed)

    def _tokens(self, uid: str) -> Iterator[Finding]:
        for tid in self.client.smembers(keys.tokens(uid)):
            if self.client.hget(keys.token(tid), "uid") != uid:
                gone = partial(self.client.srem, keys.tokens(uid), tid)
                yield Finding(f"the tokens of {uid} include one that does not exist", gone)

    def _webhook(self, uid: str) -> Iterator[Finding]:
        """The cursors and the queue of a bot's webhook."""
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
