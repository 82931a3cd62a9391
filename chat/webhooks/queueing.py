"""Decides which messages are queued for the webhook of which bot.

Posting a message does nothing for this, because the room's stream has every message already. For
each bot and room there is a cursor. queue_deliveries.lua moves the cursor and puts the messages for
the bot into the bot's queue, both or neither. So each message is queued once, however many
processes there are, and whenever one of them dies. An event that is published in a room only means
that its stream must be read. Every SWEEP_SECONDS, all streams are compared with their cursors.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..domain.events import POST, Event
from ..domain.mentions import mentioned
from ..domain.validation import number
from ..store import Person, Store, keys
from ..store.room_kinds import DIRECT
from ..store.webhooks import Webhook

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0  # between two comparisons of all streams with their cursors
EVENTS_PER_READ = 500
MAX_FIRST_EVENTS = 200  # read of a room that has no cursor for the bot yet
MAX_AGE_MS = 24 * 3600 * 1000  # of a message; older ones are not queued


@dataclass(slots=True)
class Listener:
    """A bot that has a webhook, and its rooms with their kinds."""

    bot: Person
    hook: Webhook
    rooms: dict[str, str]


def active_webhook(store: Store, uid: str) -> tuple[Person, Webhook] | None:
    """Return the bot and its webhook; None while the webhook is off. It is also off if the person
    who saved it is no longer an administrator, because that person chose the address to which all
    messages would go."""
    bot, hook = store.people.get(uid), store.webhooks.get(uid)
    if bot is None or hook is None or bot.deactivated or hook.off:
        return None
    return (bot, hook) if store.people.is_active_admin(hook.by or bot.bot) else None


def now_ms(store: Store) -> int:
    """Milliseconds since 1970, by the database's clock, as in the times of messages."""
    return int(store.clock.now() * 1000)


@dataclass(eq=False)
class Queueing:
    """The bots that have a webhook, as this process last read them, and what it must read again.
    `wake` is called when there is something to read."""

    store: Store
    wake: Callable[[], None]
    pending: set[str] = field(default_factory=set)  # bots whose queue may hold something
    listeners: dict[str, Listener] = field(default_factory=dict)  # by the bot's id
    # Bots whose webhook, rooms or rights must be read.
    changed: set[str] = field(default_factory=set)
    rooms: set[str] = field(default_factory=set)  # whose streams must be read
    swept_at: float = float("-inf")  # by the monotonic clock

    # Published messages

    def channels(self) -> set[str]:
        """The channels to subscribe to."""
        rooms = {rid for listener in self.listeners.values() for rid in listener.rooms}
        channels = {keys.WEBHOOKS, *map(keys.user_channel, self.listeners)}
        return channels.union(map(keys.room_channel, rooms))

    def on_message(self, channel: str, text: str) -> None:
        """Note what has to be read because of this message."""
        kind, ident = ("user", text) if channel == keys.WEBHOOKS else keys.parse_channel(channel)
        if kind == "user":
            self.changed.add(ident)
        elif self._concerns_somebody(ident, text):
            self.rooms.add(ident)
        else:
            return
        self.wake()

    def on_subscribed(self, channel: str, again: bool) -> None:
        """Record that the channel's rooms must be read, because messages may have been missed."""
        if channel == keys.WEBHOOKS:
            self.swept_at = float("-inf")
        else:
            kind, ident = keys.parse_channel(channel)
            self.changed.update([ident] if kind == "user" else self._listeners_in(ident))
        self.wake()

    def _concerns_somebody(self, rid: str, line: str) -> bool:
        """Return False for an event that concerns no bot; the cursor passes it later."""
        if line.startswith("~"):
            return False
        event = Event.parse_line(rid, line)
        if event.kind != POST:
            return False
        return "@" in event.body or any(
            listener.rooms[rid] == DIRECT for listener in self._listeners_in(rid).values()
        )

    def _listeners_in(self, rid: str) -> dict[str, Listener]:
        """The bots that are in a room, by their ids."""
        return {uid: bot for uid, bot in self.listeners.items() if rid in bot.rooms}

    # Queueing

    def queue_new(self) -> None:
        """Read everything that `on_message` has noted, and queue the messages for bots."""
        now = time.monotonic()
        if now > self.swept_at + SWEEP_SECONDS:
            self.swept_at = now
            self.changed.update(self.store.webhooks.uids(), self.listeners)
        changed, self.changed = self.changed, set()
        for uid in changed:
            self._refresh(uid)
        rooms, self.rooms = self.rooms, set()
        for rid in rooms:
            for listener in self._listeners_in(rid).values():
                self._read(listener, rid)

    def _refresh(self, uid: str) -> None:
        """Read a bot, its webhook and its rooms."""
        active = active_webhook(self.store, uid)
        if active is None:
            self.listeners.pop(uid, None)
            self.pending.discard(uid)
            return
        rooms = self.store.webhooks.rooms(uid)
        self.listeners[uid] = Listener(*active, rooms)
        self.rooms.update(self.store.webhooks.behind(uid, list(rooms)))
        self.pending.add(uid)

    def _read(self, listener: Listener, rid: str) -> None:
        """Queue the messages for a bot that were posted in a room since its cursor."""
        uid, now, hooks = listener.bot.uid, now_ms(self.store), self.store.webhooks
        while True:
            cursor, newest, joined = hooks.cursor(uid, rid)
            if joined is None:
                return
            since = max(joined, listener.hook.since, now - MAX_AGE_MS)
            # A broken cursor is replaced, and the program may get a message twice.
            start = number(cursor) or max(0, newest - MAX_FIRST_EVENTS)
            events = self.store.messages.after(rid, start, EVENTS_PER_READ)
            if not events:
                return
            seqs = [e.seq for e in events if e.at >= since and self._concerns(listener, rid, e)]
            queued = hooks.queue(uid, rid, cursor, events[-1].seq, seqs, now)
            if seqs:
                self.pending.add(uid)
            if 0 <= queued < len(seqs):
                log.warning("the queue of the bot %r is full", listener.bot.name)
            if queued < 0 or len(events) < EVENTS_PER_READ:
                return

    def _concerns(self, listener: Listener, rid: str, event: Event) -> bool:
        """True for a message in a direct room with the bot, or one that mentions the bot. False for
        messages by bots, because two bots would answer each other forever."""
        if event.kind != POST or event.uid == listener.bot.uid:
            return False
        if listener.rooms[rid] != DIRECT:
            names = [other.bot.name for other in self._listeners_in(rid).values()]
            if listener.bot.name not in mentioned(event.body, names):
                return False
        author = self.store.people.get(event.uid)
        return author is not None and not author.bot
