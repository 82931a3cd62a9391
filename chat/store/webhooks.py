"""Webhooks of bots: their addresses, how far each bot has read each room, and queued deliveries.

The queue contains numbers of messages and never their text. So a message that is deleted before its
delivery is not delivered, and nothing of it remains.

Stored numbers are read by `number`, which is 0 for a broken one: it must not stop the deliveries of
other rooms and bots.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from ..domain.validation import number
from . import keys
from .batches import ask_each, batched
from .lua import Script
from .verified import Verified, pairs

MAX_QUEUED = 1000  # deliveries of one bot; more are not queued
MAX_LOGGED_ATTEMPTS = 30  # that administrators can see
MAX_OUTCOME_CHARS = 300  # of the outcome of an attempt, which may quote the program's answer
_AT_ONCE = 500  # rooms or bots in one round trip


@dataclass(frozen=True, slots=True)
class Webhook:
    """Messages since the time `since` (ms) are delivered. `off` is the reason why the webhook was
    switched off, "" while it is on. `by` is the id of the administrator who saved it, "" if an
    earlier version did not store this."""

    uid: str
    address: str
    secret: str
    since: int
    off: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of message `seq` of a room to a bot, after so many `tries`."""

    uid: str
    rid: str
    seq: int
    tries: int = 0

    @property
    def did(self) -> str:
        """The id of the delivery, which is the same for each attempt."""
        return f"msg_{keys.digest(f'{self.uid} {self.rid} {self.seq}')[:32]}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The `number`th attempt of the delivery `did`, at `at` ms since 1970, and its outcome."""

    at: int
    did: str
    number: int
    outcome: str


class Webhooks:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._edit = Script(client, "edit_webhook")
        self._queue = Script(client, "queue_deliveries")
        self._retry = Script(client, "retry_delivery")
        self._log = Script(client, "log_attempt")
        self._verified = Verified(client)

    # What administrators do

    def get(self, uid: str) -> Webhook | None:
        """The webhook of a bot, or None. One that lacks a field or has a broken time counts as
        none."""
        fields = pairs(self._verified.one("HGETALL", keys.webhook(uid)))
        since = number(fields.get("since", ""))
        if not since or not fields.keys() >= {"address", "secret"}:
            return None
        off, by = fields.get("off", ""), fields.get("by", "")
        return Webhook(uid, fields["address"], fields["secret"], since, off, by)

    def set(self, uid: str, address: str, secret: str, by: str = "") -> None:
        """Deliver messages to this address from now on, and queued ones at once. A webhook that is
        on already keeps its `since`. `by` is the id of the administrator who saves it."""
        seconds, micros = self.client.time()
        now, before = int(seconds) * 1000 + int(micros) // 1000, self.get(uid)
        since = before.since if before and not before.off else now
        fields = {"address": address, "secret": secret, "since": since, "off": "", "by": by}
        self.client.hset(keys.webhook(uid), mapping=fields)
        self.client.sadd(keys.WEBHOOKS, uid)
        if names := self.client.zrange(keys.webhook_queue(uid), 0, -1):
            self.client.zadd(keys.webhook_queue(uid), dict.fromkeys(names, now), xx=True)
        self.client.spublish(keys.WEBHOOKS, uid)

    def renew(self, hook: Webhook, secret: str) -> Webhook:
        """Sign with another secret from now on. Returns the webhook as it is now."""
        self._edit(keys.of_webhook(hook.uid), field="secret", value=secret)
        return replace(hook, secret=secret)

    def remove(self, uid: str) -> None:
        """Remove the webhook and its queued deliveries."""
        self.client.delete(*keys.of_webhook(uid))
        self.client.srem(keys.WEBHOOKS, uid)
        self.client.spublish(keys.WEBHOOKS, uid)

    def switch_off(self, uid: str, why: str) -> None:
        """Remove the queued deliveries and stop. The address stays: administrators see it with the
        reason, and can switch it on again."""
        self._edit(keys.of_webhook(uid), field="off", value=why)
        self.client.delete(keys.webhook_queue(uid), keys.webhook_attempts(uid))
        self.client.spublish(keys.WEBHOOKS, uid)

    # The queue

    def uids(self) -> list[str]:
        """The ids of the bots that have a webhook. This also corrects their list: a server may have
        died between the two writes of `set` or `remove`."""
        listed = set(self.client.smembers(keys.WEBHOOKS))
        uids = listed | self.client.smembers(keys.BOTS)
        asked = ((keys.webhook(uid),) for uid in uids)
        there = set(compress(uids, ask_each(self.client, "exists", asked, _AT_ONCE)))
        if there - listed:
            self.client.sadd(keys.WEBHOOKS, *(there - listed))
        if listed - there:
            self.client.srem(keys.WEBHOOKS, *(listed - there))
        return sorted(there)

    def rooms(self, uid: str) -> dict[str, str]:
        """The ids of a bot's rooms, and their kinds."""
        rids = sorted(self.client.smembers(keys.user_rooms(uid)))
        asked = ((keys.room(rid), "kind") for rid in rids)
        kinds = ask_each(self.client, "hget", asked, _AT_ONCE)
        return {rid: kind for rid, kind in zip(rids, kinds, strict=True) if kind}

    def behind(self, uid: str, rids: Sequence[str]) -> list[str]:
        """Return those of the rooms that have events behind the bot's cursor."""
        behind: list[str] = []
        for some in batched(rids, _AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.hmget(keys.webhook_cursors(uid), some)
            for rid in some:
                pipeline.hget(keys.room(rid), "seq")
            cursors, *newest = pipeline.execute()
            states = zip(some, newest, cursors, strict=True)
            behind += [rid for rid, seq, old in states if number(seq or "") > number(old or "")]
        return behind

    def cursor(self, uid: str, rid: str) -> tuple[str, int, float | None]:
        """The bot's cursor in a room ("" for none yet), the room's newest number, and the time (ms)
        when the bot joined the room, None if it is not a member."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.webhook_cursors(uid), rid)
        pipeline.hget(keys.room(rid), "seq")
        pipeline.zscore(keys.members(rid), uid)
        cursor, newest, joined = pipeline.execute()
        return cursor or "", number(newest or ""), joined

    def queue(
        self, uid: str, rid: str, before: str, cursor: int, seqs: Iterable[int], now: int
    ) -> int:
        """Queue messages and move the cursor from `before` on, both or neither. Returns how many
        deliveries are new in the queue; -1 if the cursor was not at `before`."""
        names = keys.of_webhook(uid)
        added = self._queue(
            names, rid=rid, before=before, cursor=cursor, at=now, limit=MAX_QUEUED, rest=seqs
        )
        return int(added)

    def due(self, uid: str, now: int, limit: int) -> tuple[list[Delivery], int]:
        """Up to `limit` deliveries that are due, the oldest first, and how many the queue has in
        total. An entry of the queue that names no message is removed."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zrangebyscore(keys.webhook_queue(uid), "-inf", now, start=0, num=limit)
        pipeline.zcard(keys.webhook_queue(uid))
        names, waiting = pipeline.execute()
        tries = self.client.hmget(keys.webhook_attempts(uid), names) if names else []
        found = {name: _delivery(uid, name, n) for name, n in zip(names, tries, strict=True)}
        if broken := [name for name, delivery in found.items() if _name(delivery) != name]:
            self.client.zrem(keys.webhook_queue(uid), *broken)
        return [found[name] for name in found if name not in broken], int(waiting)

    # Outcomes

    def retry(self, delivery: Delivery, at: int) -> None:
        """Try a delivery again at `at` ms, unless it was removed from the queue."""
        names, count = keys.of_webhook(delivery.uid), delivery.tries + 1
        self._retry(names, delivery=_name(delivery), at=at, count=count)

    def done(self, delivery: Delivery) -> None:
        """Remove a delivery from the queue."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zrem(keys.webhook_queue(delivery.uid), _name(delivery))
        pipeline.hdel(keys.webhook_attempts(delivery.uid), _name(delivery))
        pipeline.execute()

    def log_attempt(self, delivery: Delivery, at: int, outcome: str) -> None:
        """Log the outcome of an attempt for administrators, unless the webhook was removed."""
        fields = [at, delivery.did, delivery.tries + 1, outcome[:MAX_OUTCOME_CHARS]]
        entry = json.dumps(fields, ensure_ascii=False)
        self._log(keys.of_webhook(delivery.uid), entry=entry, limit=MAX_LOGGED_ATTEMPTS)

    def attempts(self, uid: str) -> list[Attempt]:
        """The last attempts, newest first."""
        entries = map(json.loads, self.client.lrange(keys.webhook_log(uid), 0, -1))
        return [Attempt(at, did, n, text[:MAX_OUTCOME_CHARS]) for at, did, n, text in entries]

    def waiting(self, uid: str) -> int:
        """Return how many deliveries are queued."""
        return int(self.client.zcard(keys.webhook_queue(uid)))


def _name(delivery: Delivery) -> str:
    return f"{delivery.rid} {delivery.seq}"


def _delivery(uid: str, name: str, tries: str | None) -> Delivery:
    rid, _, seq = name.partition(" ")
    return Delivery(uid, rid, number(seq), number(tries or ""))
