"""Webhooks of bots: where each is told of messages, how far it was told, and what still waits.

The queue holds numbers of messages and never their text: what is deleted before it was delivered
is not delivered, and stays nowhere.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from . import keys
from .batches import ask_each, batched
from .lua import Script
from .verified import Verified, pairs

MAX_WAITING = 1000  # deliveries of one bot; what comes on top is not queued
MAX_LOGGED_ATTEMPTS = 30  # tries that are shown
MAX_OUTCOME_CHARS = 300  # of how a try went, which may quote what the program answered
_AT_ONCE = 500  # rooms in one pipeline


@dataclass(frozen=True, slots=True)
class Webhook:
    """`since` is the time in ms from when messages are delivered; `off` says why the webhook was
    switched off, "" while it is on; `by` is the id of the admin who saved it, "" where that was
    not written down."""

    uid: str
    address: str
    secret: str
    since: int
    off: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Message `seq` of a room for a bot, tried so many times already."""

    uid: str
    rid: str
    seq: int
    tries: int = 0

    @property
    def did(self) -> str:
        """Its id: the same for each try, and no other's."""
        whole = f"{self.uid} {self.rid} {self.seq}"
        return f"msg_{hashlib.sha256(whole.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Try:
    """The `number`th try of the delivery `did`, at `at` ms since 1970, and how it went."""

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

    # Admins

    def get(self, uid: str) -> Webhook | None:
        """The webhook of a bot, or None."""
        fields = pairs(self._verified.one("HGETALL", keys.webhook(uid)))
        if "since" not in fields:
            return None
        since, off, by = int(fields["since"]), fields.get("off", ""), fields.get("by", "")
        return Webhook(uid, fields["address"], fields["secret"], since, off, by)

    def set(self, uid: str, address: str, secret: str, by: str = "") -> None:
        """Tell a bot of messages at this address, from now on, and of what waits at once. A
        webhook that is on already stays so since when it was. `by` is the admin who says so."""
        seconds, micros = self.client.time()
        now, before = int(seconds) * 1000 + int(micros) // 1000, self.get(uid)
        since = before.since if before and not before.off else now
        fields = {"address": address, "secret": secret, "since": since, "off": "", "by": by}
        self.client.hset(keys.webhook(uid), mapping=fields)
        self.client.sadd(keys.WEBHOOKS, uid)
        if names := self.client.zrange(keys.webhook_queue(uid), 0, -1):
            self.client.zadd(keys.webhook_queue(uid), dict.fromkeys(names, now), xx=True)
        self._tell(uid)

    def renew(self, hook: Webhook, secret: str) -> Webhook:
        """Sign with another secret from now on; returns the webhook as it is now."""
        self._change(hook.uid, "secret", secret)
        return replace(hook, secret=secret)

    def _change(self, uid: str, field: str, value: str) -> None:
        """Change a webhook, unless it was removed meanwhile."""
        self._edit(webhook=keys.webhook(uid), field=field, value=value)

    def remove(self, uid: str) -> None:
        """Nothing is delivered any more, nor waits."""
        self.client.delete(*keys.of_webhook(uid))
        self.client.srem(keys.WEBHOOKS, uid)
        self._tell(uid)

    def switch_off(self, uid: str, why: str) -> None:
        """As `remove`, but the address stays, to be seen with the reason and switched on."""
        self._change(uid, "off", why)
        self.client.delete(keys.webhook_queue(uid), keys.webhook_attempts(uid))
        self._tell(uid)

    def _tell(self, uid: str) -> None:
        self.client.spublish(keys.WEBHOOKS, uid)

    # What there is to deliver

    def uids(self) -> list[str]:
        """The ids of the bots that have a webhook. Their list is put right where it is not so: a
        server may have died between the two writes of `set` or `remove`."""
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
        """The ids of a bot's rooms and their kinds."""
        rids = sorted(self.client.smembers(keys.user_rooms(uid)))
        asked = ((keys.room(rid), "kind") for rid in rids)
        kinds = ask_each(self.client, "hget", asked, _AT_ONCE)
        return {rid: kind for rid, kind in zip(rids, kinds, strict=True) if kind}

    def behind(self, uid: str, rids: Sequence[str]) -> list[str]:
        """Those of the rooms that have events the bot's cursor has not passed."""
        behind: list[str] = []
        for some in batched(rids, _AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.hmget(keys.webhook_cursors(uid), some)
            for rid in some:
                pipeline.hget(keys.room(rid), "seq")
            cursors, *newest = pipeline.execute()
            states = zip(some, newest, cursors, strict=True)
            behind += [rid for rid, seq, cursor in states if int(seq or 0) > int(cursor or 0)]
        return behind

    def cursor(self, uid: str, rid: str) -> tuple[str, int, int | None]:
        """How far the bot was told of a room ("" for not yet), the room's newest number, and the
        time (ms) at which the bot joined, None for who is no member."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(keys.webhook_cursors(uid), rid)
        pipeline.hget(keys.room(rid), "seq")
        pipeline.zscore(keys.members(rid), uid)
        cursor, newest, joined = pipeline.execute()
        return cursor or "", int(newest or 0), None if joined is None else int(joined)

    def queue(
        self, uid: str, rid: str, before: str, cursor: int, seqs: Iterable[int], now: int
    ) -> int:
        """Queue messages and move the cursor from `before`, both or neither. Returns how many
        wait now that did not before; -1 when the cursor was not at `before`."""
        added = self._queue(
            webhook=keys.webhook(uid),
            cursors=keys.webhook_cursors(uid),
            queue=keys.webhook_queue(uid),
            rid=rid,
            before=before,
            cursor=cursor,
            at=now,
            limit=MAX_WAITING,
            rest=seqs,
        )
        return int(added)

    def due(self, uid: str, now: int, limit: int) -> tuple[list[Delivery], int]:
        """Up to `limit` deliveries whose time has come, the longest due first, and how many
        there are in all."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zrangebyscore(keys.webhook_queue(uid), "-inf", now, start=0, num=limit)
        pipeline.zcard(keys.webhook_queue(uid))
        names, waiting = pipeline.execute()
        tries = self.client.hmget(keys.webhook_attempts(uid), names) if names else []
        return [_delivery(uid, *entry) for entry in zip(names, tries, strict=True)], int(waiting)

    # How it went

    def again(self, delivery: Delivery, at: int) -> None:
        """It is to be tried once more at `at` ms, unless it was taken out of the queue."""
        self._retry(
            queue=keys.webhook_queue(delivery.uid),
            attempts=keys.webhook_attempts(delivery.uid),
            delivery=_name(delivery),
            at=at,
            count=delivery.tries + 1,
        )

    def done(self, delivery: Delivery) -> None:
        """It waits no longer."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zrem(keys.webhook_queue(delivery.uid), _name(delivery))
        pipeline.hdel(keys.webhook_attempts(delivery.uid), _name(delivery))
        pipeline.execute()

    def note(self, delivery: Delivery, at: int, outcome: str) -> None:
        """Write down how a try went, for admins to see, unless the webhook was removed."""
        outcome = outcome[:MAX_OUTCOME_CHARS]
        packed = json.dumps([at, delivery.did, delivery.tries + 1, outcome], ensure_ascii=False)
        uid = delivery.uid
        self._log(
            webhook=keys.webhook(uid),
            log=keys.webhook_log(uid),
            entry=packed,
            limit=MAX_LOGGED_ATTEMPTS,
        )

    def tries(self, uid: str) -> list[Try]:
        """The last tries, newest first."""
        packed = map(json.loads, self.client.lrange(keys.webhook_log(uid), 0, -1))
        return [Try(at, did, number, how[:MAX_OUTCOME_CHARS]) for at, did, number, how in packed]

    def waiting(self, uid: str) -> int:
        """How many deliveries wait."""
        return int(self.client.zcard(keys.webhook_queue(uid)))


def _name(delivery: Delivery) -> str:
    return f"{delivery.rid} {delivery.seq}"


def _delivery(uid: str, name: str, tries: str | None) -> Delivery:
    rid, _, seq = name.partition(" ")
    return Delivery(uid, rid, int(seq), int(tries or 0))
