"""From Redis pub/sub to the hub.

What is published is only a nudge; the stream is the record. A number that does not follow the
last one, and every subscription that stands again, makes the subscriber read the room's stream
from the last number the hub has, so that nothing is lost while the link was.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from redis.exceptions import RedisError

from ..domain.events import ADD, JOIN, LEAVE, REMOVE, Event
from ..observability.metrics import GAPS
from ..observability.redaction import without_message
from ..redis_client.pubsub import Channels, Where
from ..store import Store, keys
from .hub import Hub

log = logging.getLogger(__name__)

PAGE = 500  # events read at once when a gap is filled
MEMBERS = (JOIN, ADD, LEAVE, REMOVE)  # events after which others are members
ROOMS_AT_ONCE = 32  # rooms whose gaps are read at once: all answers that come together are one step

Portal = Callable[..., Awaitable[Any]]  # runs a function that may block its greenlet


class Texts(Protocol):
    """What renders the texts of events: those it has not rendered before take it a moment."""

    def is_ready(self, event: Event) -> bool:
        """True when nobody who shows this event will wait."""

    async def prepare(self, event: Event) -> None:
        """Make it so."""

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """The same for the lines of rooms whose newest events these are."""


class Subscriber:
    """`store` is called in a greenlet made by `portal`; `changed(uid)` is called there when the
    sessions or rooms of a person have changed, or may have. The hub gets an event when `texts` has
    its text ready; the later events of its room wait behind it."""

    def __init__(
        self,
        where: Where,
        store: Store,
        portal: Portal,
        changed: Callable[[str], None],
        texts: Texts,
    ) -> None:
        self.channels = Channels(where, self._said, self._stands)
        self.store = store
        self.portal = portal
        self.changed = changed
        self.texts = texts
        self.hub: Hub
        # Called with a room's id and what was said there that is no event (see store.keys).
        self.word: Callable[[str, str], None] = lambda rid, word: None
        self._filling: dict[str, bool] = {}  # room: True when it must be read once more
        # By room: events whose turn has not come, and words that came behind them.
        self._unready: dict[str, deque[Event | str]] = {}
        self._words: dict[str, list[str]] = {}  # by room: words that came while a gap was read
        self._reading = asyncio.Semaphore(ROOMS_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """True while what is published comes in."""
        return self.channels.connected

    async def run(self) -> None:
        """Listen until cancelled."""
        await self.channels.run()

    # Told by the hub

    def opened(self, channel: str) -> None:
        """The first viewer of `room:<id>` or `user:<id>` has come."""
        self.channels.add(_key(channel))

    def closed(self, channel: str) -> None:
        """The last viewer of the channel has gone."""
        self.channels.drop(_key(channel))

    async def ready(self, channel: str, timeout: float = 3.0) -> None:
        """Wait until what is published to `room:<id>` or `user:<id>` comes in; raises TimeoutError
        (seconds), also when its last viewer goes meanwhile."""
        await self.channels.ready(_key(channel), timeout)

    # Told by the channels

    def _said(self, channel: str, text: str) -> None:
        what, ident = keys.heard(channel)
        if what == "room":
            self._event(ident, text)
        else:
            self._spawn(self.portal(self.changed, ident))

    def _stands(self, channel: str, again: bool) -> None:
        """Something may have happened before this subscription stood. Whoever opens the first page
        of a person reads what is stored after it stands; only when it stands `again` there are
        pages that may have missed something."""
        what, ident = keys.heard(channel)
        if what == "room":
            self._fill(ident)
            if again:
                self.word(ident, "here")  # somebody may have come or gone unheard
                self._word(ident, "names")  # or been renamed
        elif again:
            self._spawn(self.portal(self.changed, ident))

    def _event(self, rid: str, line: str) -> None:
        if line == keys.NEW:
            self._fill(rid)
        elif line.startswith("~"):
            self._word(rid, line[1:])
        elif rid in self._filling:
            self._filling[rid] = True
        else:
            event = Event.parse_line(rid, line)
            if rid in self._unready:
                self._unready[rid].append(event)
            elif not self.texts.is_ready(event):
                self._unready[rid] = deque([event])
                self._spawn(self._make_ready(rid))
            else:
                self._publish(rid, event)

    def _word(self, rid: str, word: str) -> None:
        """Pass a word on after the events that were published before it: one about a person's new
        name must find the messages with the old name shown."""
        if rid in self._unready:
            self._unready[rid].append(word)
        else:
            self._pass_on(rid, word)

    def _publish(self, rid: str, event: Event) -> None:
        self._count_members(event)
        # Somebody is out: what follows is read, together with who is still in.
        if not self.hub.publish(event) or event.kind in (LEAVE, REMOVE):
            self._fill(rid)

    def _count_members(self, event: Event) -> None:
        """With other members, others of the members are here."""
        if event.kind in MEMBERS:
            self.word(event.room, "here")

    async def _prepare(self, event: Event) -> None:
        """Have the text of an event rendered. If that fails, it is shown as it was typed."""
        try:
            await self.texts.prepare(event)
        except Exception as error:
            where = without_message(error)
            log.error("cannot prepare event %d of room %s: %s", event.seq, event.room, where)

    async def _make_ready(self, rid: str) -> None:
        """Publish the events that wait in a room, each when its text is ready, in order."""
        events = self._unready[rid]
        try:
            while events:
                event = events[0]
                if not isinstance(event, str):
                    await self._prepare(event)
                events.popleft()
                if isinstance(event, str):
                    self._pass_on(rid, event)
                elif rid in self._filling:
                    self._filling[rid] = True
                else:
                    self._publish(rid, event)
        finally:
            del self._unready[rid]

    def _pass_on(self, rid: str, word: str) -> None:
        if rid in self._filling:
            self._words.setdefault(rid, []).append(word)
        else:
            self.word(rid, word)

    # Gaps

    def _fill(self, rid: str) -> None:
        if rid in self._filling:
            self._filling[rid] = True
        elif rid in self.hub.rooms:
            self._filling[rid] = True
            self._spawn(self._read_gap(rid))

    async def _read_gap(self, rid: str) -> None:
        """Publish to the hub what the room's stream has and the hub has not, to those only who
        are in the room. What is published meanwhile is read from the stream too, in order."""
        try:
            while self._filling[rid]:
                self._filling[rid] = False
                while rid in self.hub.rooms:
                    async with self._reading:
                        room = self.hub.rooms.get(rid)
                        if room is None:
                            break  # its last viewer went while others were read
                        uids, gap = self.hub.uids(rid), self.store.messages.gap
                        found = await self.portal(gap, rid, room.last, PAGE, uids, room.at)
                    seq, events, gone = found
                    for uid in gone:
                        await self._take_out(rid, uid)
                    for event in events or ():
                        await self._prepare(event)
                    if room is not self.hub.rooms.get(rid):
                        continue  # its last viewer went meanwhile
                    if events is None:
                        self.hub.restart(rid, seq)
                        return
                    if events:
                        GAPS.inc()
                    for event in events:
                        room.last = max(room.last, event.seq - 1)  # what is not there is gone
                        self.hub.publish(event)
                        self._count_members(event)
                    if len(events) < PAGE:
                        break
        except (RedisError, OSError) as error:
            log.warning("cannot read what room %s missed: %s", rid, error)
            self.channels.relink(keys.room_channel(rid))  # when it stands again, it is read again
        except Exception as error:
            log.error("cannot show what room %s missed: %s", rid, without_message(error))
            self.hub.reset(rid)
        finally:
            del self._filling[rid]
            for word in self._words.pop(rid, ()):
                self.word(rid, word)

    async def _take_out(self, rid: str, uid: str) -> None:
        """Take the pages of a person out of a room who is no member any more, whatever happens:
        what follows is not for them."""
        try:
            await self.portal(self.changed, uid)
        except (RedisError, OSError):
            raise
        except Exception as error:
            log.error("cannot tell the pages of %s: %s", uid, without_message(error))
            self.hub.leave_all(rid, uid)

    def ask(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function that asks the store, in a greenlet of its own."""
        self._spawn(self.portal(function, *args))

    def ask_in_turn(self, function: Callable[..., None], *args: Any) -> None:
        """The same for what is asked about many rooms at once: ROOMS_AT_ONCE of them at a time."""
        self._spawn(self._in_turn(function, *args))

    async def _in_turn(self, function: Callable[..., None], *args: Any) -> None:
        async with self._reading:
            await self.portal(function, *args)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, RedisError | OSError):
            log.error("in the subscriber: %s", without_message(error))


def _key(channel: str) -> str:
    what, _, ident = channel.partition(":")
    return keys.room_channel(ident) if what == "room" else keys.user_channel(ident)
