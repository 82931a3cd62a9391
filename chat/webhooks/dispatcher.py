"""Telling bots' webhooks what concerns them, from the rooms' streams.

Posting a message does nothing for this: a room's stream is the queue that everything is in
already. For each bot and room there is a cursor; the script queue.lua moves it and puts what
concerns the bot into the bot's queue, both or neither, so that each message is queued once,
however many processes there are and wherever one dies. What is published in a room is only the
nudge to read its stream, and every LOOK seconds all of them are looked at without one.

One process at a time does this for all bots: who holds the lease. What it knows is read anew when
it begins, so that the next one takes over where it was; a delivery stays in the queue until it
went well or is given up. A program may be told twice of a message when a process dies, with the
same id, but what it answers is posted once, for that id is the nonce.
"""

import asyncio
import json
import logging
import random
import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

from greenback import with_portal_run_sync
from redis.exceptions import RedisError

from ..config import Settings
from ..domain.errors import ChatError, NotFound
from ..domain.events import POST, Event
from ..domain.mentions import mentioned
from ..http_client.public_only import Answer, Outbound
from ..redis_client.pubsub import Channels, Where
from ..rendering.serializers import message_json, person_json, room_json
from ..store import Person, Store, keys
from ..store.room_kinds import DIRECT
from ..store.webhooks import Delivery, Hook
from . import signing

log = logging.getLogger(__name__)

LEASE, RENEW = 12.0, 3.0  # seconds that the lease lasts, and after which it is renewed or tried
TURN = 1.0  # seconds between two looks at what is due
LOOK = 60.0  # seconds between two looks at everything
PAGE = 500  # events read at once
FIRST = 200  # events that are looked at in a room the first time: those since the bot joined
LATEST = 24 * 3600 * 1000  # ms after which a message is too old to be told of
PER_BOT, AT_ONCE = 4, 100  # deliveries on their way; only one for a bot whose last one failed
REST = 5.0  # seconds before a delivery is touched again whose end could not be written down


@dataclass(slots=True)
class Listener:
    """A bot that has a webhook, and its rooms with their kinds."""

    bot: Person
    hook: Hook
    rooms: dict[str, str]


class Post(Protocol):
    """Posts a message and returns its number. Raises ChatError."""

    def __call__(self, by: Person, rid: str, body: str, nonce: str) -> int: ...


class Deliverer:
    """`post` stores what a program answers, under the limits of its bot."""

    def __init__(
        self, settings: Settings, store: Store, outbound: Outbound, where: Where, post: Post
    ) -> None:
        self.settings = settings
        self.chat = store
        self.outbound = outbound
        self.where = where
        self.post = post
        self.store = store.hooks
        self.name = secrets.token_urlsafe(12)
        self.wake = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        self.bots: dict[str, Listener] = {}
        self.changed: set[str] = set()  # bots whose webhook, rooms or rights are to be read
        self.said: set[str] = set()  # rooms whose streams are to be read
        self.waiting: set[str] = set()  # bots whose queue may hold something
        self.failing: set[str] = set()  # bots whose last delivery failed
        self.running: dict[tuple[str, str, int], asyncio.Task[None]] = {}
        self.renewed = self.looked = 0.0

    async def run(self) -> None:
        """Deliver whenever this process holds the lease, until cancelled."""
        try:
            while True:
                try:
                    if await with_portal_run_sync(self._hold):
                        await self._lead()
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("webhooks have to wait: %s", error)
                except Exception:
                    log.exception("webhooks have to wait")
                await asyncio.sleep(RENEW * random.uniform(0.8, 1.2))
        finally:
            await with_portal_run_sync(self.store.lease, self.name, 0)

    def _hold(self) -> bool:
        """Take the lease or renew it; False when another process has it."""
        asked = time.monotonic()
        held = self.store.lease(self.name, LEASE)
        self.renewed = asked if held else 0.0
        return held

    async def _lead(self) -> None:
        channels = Channels(self.where, self._said, self._stands)
        listening = asyncio.create_task(channels.run())
        try:
            _listen(channels, {keys.HOOKS})
            while True:
                self.wake.clear()
                if not await with_portal_run_sync(self._turn):
                    return
                _listen(channels, self._wanted())
                await self._wait()
        finally:
            tasks = [*self.running.values(), listening]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._forget()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(TURN):
                await self.wake.wait()
        except TimeoutError:
            pass

    # What is said

    def _wanted(self) -> set[str]:
        rooms = {rid for listener in self.bots.values() for rid in listener.rooms}
        wanted = {keys.HOOKS, *map(keys.user_channel, self.bots)}
        return wanted.union(map(keys.room_channel, rooms))

    def _said(self, channel: str, text: str) -> None:
        if channel == keys.HOOKS:
            self.changed.add(text)
        else:
            what, ident = keys.heard(channel)
            if what == "user":
                self.changed.add(ident)
            elif self._is_for_somebody(ident, text):
                self.said.add(ident)
            else:
                return
        self.wake.set()

    def _stands(self, channel: str, again: bool) -> None:
        """What the channel is about is read: something may have happened before."""
        if channel == keys.HOOKS:
            self.looked = 0.0
        else:
            what, ident = keys.heard(channel)
            self.changed.update([ident] if what == "user" else self._in(ident))
        self.wake.set()

    def _is_for_somebody(self, rid: str, line: str) -> bool:
        """False for what can be no bot's business; the cursor passes it later."""
        if line.startswith("~"):
            return False
        event = Event.parse_line(rid, line)
        if event.kind != POST:
            return False
        return "@" in event.body or any(
            listener.rooms[rid] == DIRECT for listener in self._in(rid).values()
        )

    def _in(self, rid: str) -> dict[str, Listener]:
        """The bots that are in a room, by their ids."""
        return {uid: bot for uid, bot in self.bots.items() if rid in bot.rooms}

    # A turn: what was said goes into queues, what is due leaves them

    def _turn(self) -> bool:
        """False when another process has taken the lease."""
        now = time.monotonic()
        if now > self.renewed + RENEW and not self._hold():
            return False
        if now > self.looked + LOOK or not self.looked:
            self.looked = now
            self.changed.update(self.store.uids(), self.bots)
        changed, self.changed = self.changed, set()
        for uid in changed:
            self._refresh(uid)
        said, self.said = self.said, set()
        for rid in said:
            for listener in self._in(rid).values():
                self._read(listener, rid)
        self._start_due()
        return True

    def _refresh(self, uid: str) -> None:
        """Read a bot, its webhook and its rooms."""
        bot, hook = self.chat.people.get(uid), self.store.get(uid)
        if bot is None or hook is None or not self._is_on(bot, hook):
            self.bots.pop(uid, None)
            self.waiting.discard(uid)
            return
        rooms = self.store.rooms(uid)
        self.bots[uid] = Listener(bot, hook, rooms)
        self.said.update(self.store.behind(uid, list(rooms)))
        self.waiting.add(uid)

    def _is_on(self, bot: Person, hook: Hook) -> bool:
        """False also where whoever saved the webhook is no admin any more: its address, where all
        would go, is that person's choice."""
        by = hook.by or bot.bot
        return not bot.off and not hook.off and self.chat.people.is_active_admin(by)

    def _read(self, listener: Listener, rid: str) -> None:
        """Queue for a bot what was said in a room since it was looked at last."""
        uid, now = listener.bot.uid, self._now()
        while True:
            before, newest, joined = self.store.cursor(uid, rid)
            if joined is None:
                return
            since = max(joined, listener.hook.since, now - LATEST)
            start = int(before) if before else max(0, newest - FIRST)
            events = self.chat.messages.after(rid, start, PAGE)
            if not events:
                return
            seqs = [e.seq for e in events if e.at >= since and self._concerns(listener, rid, e)]
            queued = self.store.queue(uid, rid, before, events[-1].seq, seqs, now)
            if seqs:
                self.waiting.add(uid)
            if 0 <= queued < len(seqs):
                log.warning("the queue of the bot %s is full", listener.bot.name)
            if queued < 0 or len(events) < PAGE:
                return

    def _concerns(self, listener: Listener, rid: str, event: Event) -> bool:
        """True for what is said in a direct room with the bot or mentions it, but not by a bot:
        two of them would never stop."""
        if event.kind != POST or event.uid == listener.bot.uid:
            return False
        if listener.rooms[rid] != DIRECT:
            names = [other.bot.name for other in self._in(rid).values()]
            if listener.bot.name not in mentioned(event.body, names):
                return False
        author = self.chat.people.get(event.uid)
        return author is not None and not author.bot

    def _start_due(self) -> None:
        """Begin what is due, as much as may be on its way at once: nobody waits for a program
        that is slow but its own bot."""
        for uid in random.sample(sorted(self.waiting), len(self.waiting)):
            mine = sum(key[0] == uid for key in self.running)
            free = min((1 if uid in self.failing else PER_BOT) - mine, AT_ONCE - len(self.running))
            if free <= 0:
                continue
            due, waiting = self.store.due(uid, self._now(), PER_BOT + free)
            due = [delivery for delivery in due if _key(delivery) not in self.running]
            for delivery in due[:free]:
                self.running[_key(delivery)] = asyncio.create_task(self._deliver(delivery))
            if not waiting:
                self.waiting.discard(uid)

    # A delivery

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            prepared = await with_portal_run_sync(self._prepare, delivery)
            if prepared is None:
                return
            try:
                answer = await self.outbound.post(*prepared)
            except ChatError as error:
                await with_portal_run_sync(self._failed, delivery, error.text)
            else:
                await with_portal_run_sync(self._answered, delivery, answer)
        except (RedisError, OSError) as error:
            log.warning("a delivery to a webhook could not be ended: %s", error)
            await asyncio.sleep(REST)
        except Exception:
            log.exception("a delivery to a webhook broke")
            await with_portal_run_sync(self._failed, delivery, "Something broke in the chat.")
        finally:
            self.running.pop(_key(delivery), None)
            self.wake.set()

    def _prepare(self, delivery: Delivery) -> tuple[str, bytes, dict[str, str]] | None:
        """Address, body and headers; None when there is nothing to tell any more."""
        hook, bot = self.store.get(delivery.uid), self.chat.people.get(delivery.uid)
        if hook is None or bot is None or not self._is_on(bot, hook):
            self.changed.add(delivery.uid)
            return None
        found = self._message(delivery)
        if found is None:
            self.store.done(delivery)
            return None
        room, event = found
        told = {
            "event": "direct" if room["kind"] == DIRECT else "mention",
            "bot": person_json(bot),
            "room": room,
            "message": event,
        }
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = signing.signed(hook.secret, delivery.did, body, self._now() // 1000)
        return hook.address, body, headers

    def _message(self, delivery: Delivery) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Room and message as the API gives them to the bot; None when the message is deleted or
        the bot is not there any more."""
        try:
            room = self.chat.rooms.member(delivery.rid, delivery.uid)
        except NotFound:
            return None
        events = self.chat.messages.before(delivery.rid, delivery.seq + 1, 1)
        if not events or events[0].seq != delivery.seq or events[0].kind != POST:
            return None
        return room_json(room), message_json(events[0])

    def _answered(self, delivery: Delivery, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            outcome = self._reply(delivery, signing.reply(answer))
            self.store.done(delivery)
            self.store.note(delivery, self._now(), outcome)
            self.failing.discard(delivery.uid)
        elif answer.status == 410:
            self.store.note(delivery, self._now(), "The program answered 410: no more of this.")
            self.store.switch_off(delivery.uid, "The program answered 410: no more of this.")
        else:
            why = f"The program answered {answer.status}."
            if 300 <= answer.status < 400:
                why += " Redirects are not followed."
            self._failed(delivery, why, signing.asked_to_wait(answer, self._now() / 1000))

    def _reply(self, delivery: Delivery, text: str) -> str:
        """Post what the program says; returns how the delivery went."""
        if not text:
            return "Delivered."
        rid, messages = delivery.rid, self.chat.messages
        bot, hook = self.chat.people.get(delivery.uid), self.store.get(delivery.uid)
        if bot is None or hook is None or not self._is_on(bot, hook):
            return "Delivered. The answer was not posted: the bot was stopped meanwhile."
        try:
            if messages.posted(rid, bot, delivery.did) is None:
                self.post(bot, rid, text, delivery.did)
        except ChatError as error:
            return f"Delivered, but the answer was not posted: {error.text}"
        return "Delivered, and the answer is in the room."

    def _now(self) -> int:
        """ms since 1970, by the clock of all hosts, which has dated the messages too."""
        return int(self.chat.clock.now() * 1000)

    def _failed(self, delivery: Delivery, why: str, wait: float = 0.0) -> None:
        """Try again later, or give up."""
        self.failing.add(delivery.uid)
        tries = delivery.tries + 1
        if tries >= signing.MOST_TRIES:
            self.store.done(delivery)
            self.store.note(delivery, self._now(), f"{why} Given up.")
            return
        wait = max(wait, signing.wait_after(tries, self.settings.hook_wait))
        self.store.again(delivery, self._now() + int(wait * 1000))
        self.store.note(delivery, self._now(), why)


def _listen(channels: Channels, wanted: set[str]) -> None:
    """Listen to these channels and no others."""
    names = set(channels.names)
    for name in wanted - names:
        channels.add(name)
    for name in names - wanted:
        channels.drop(name)


def _key(delivery: Delivery) -> tuple[str, str, int]:
    return delivery.uid, delivery.rid, delivery.seq
