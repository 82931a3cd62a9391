"""From Redis pub/sub to the hub.

What is published is only a nudge; the stream is the record. A number that does not follow the
last one, and every subscription that stands again, makes the subscriber read the room's stream
from the last number the hub has, so that nothing is lost while the link was.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from redis.exceptions import RedisError

from ..domain.events import ADD, JOIN, LEAVE, REMOVE, Event
from ..observability.metrics import GAPS
from ..observability.redaction import without_message
from ..redis_client.pubsub import PubSub, Topology
from ..store import Store, keys
from .background import Background
from .hub import Hub

log = logging.getLogger(__name__)

MAX_EVENTS_READ = 500  # at once, when a gap is filled
MEMBERSHIP_EVENTS = (JOIN, ADD, LEAVE, REMOVE)


class Texts(Protocol):
    """What renders the texts of events: those it has not rendered before take it a moment."""

    def is_ready(self, event: Event) -> bool:
        """True when nobody who shows this event will wait."""

    async def prepare(self, event: Event) -> None:
        """Make it so."""

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """The same for the lines of rooms whose newest events these are."""


class Subscriber:
    """Listens to the channels of the hub's viewers.

    store: called in greenlets of `background`.
    changed: called with a person's id, in a greenlet, when their sessions or rooms have changed,
        or may have.
    on_signal: called with a room's id and what was published there that is no event (store.keys).
    texts: renders texts. The hub gets an event when its text is ready; the later events of its
        room wait behind it.
    """

    def __init__(
        self,
        topology: Topology,
        hub: Hub,
        store: Store,
        texts: Texts,
        background: Background,
        changed: Callable[[str], None],
        on_signal: Callable[[str, str], None],
    ) -> None:
        self.channels = PubSub(topology, self._on_message, self._on_subscribed)
        self.hub = hub
        self.store = store
        self.texts = texts
        self.background = background
        self.changed = changed
        self.on_signal = on_signal
        self._filling: dict[str, bool] = {}  # room: True when it must be read once more
        # By room: events whose texts are being rendered, and signals that came behind them.
        self._unready: dict[str, deque[Event | str]] = {}
        self._signals: dict[str, list[str]] = {}  # by room: those that came while a gap was read

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

    def _on_message(self, channel: str, text: str) -> None:
        what, ident = keys.heard(channel)
        if what == "room":
            self._event(ident, text)
        else:
            self.background.run(self.changed, ident)

    def _on_subscribed(self, channel: str, again: bool) -> None:
        """Something may have happened before this subscription stood. Whoever opens the first page
        of a person reads what is stored after it stands; only when it stands `again` there are
        pages that may have missed something."""
        what, ident = keys.heard(channel)
        if what == "room":
            self._fill(ident)
            if again:
                self.on_signal(ident, "here")  # somebody may have come or gone unheard
                self._signal(ident, "names")  # or been renamed
        elif again:
            self.background.run(self.changed, ident)

    def _event(self, rid: str, line: str) -> None:
        if line == keys.NEW:
            self._fill(rid)
        elif line.startswith("~"):
            self._signal(rid, line[1:])
        elif rid in self._filling:
            self._filling[rid] = True
        else:
            event = Event.parse_line(rid, line)
            if rid in self._unready:
                self._unready[rid].append(event)
            elif not self.texts.is_ready(event):
                self._unready[rid] = deque([event])
                self.background.start(self._make_ready(rid))
            else:
                self._publish(rid, event)

    def _signal(self, rid: str, signal: str) -> None:
        """Pass a word on after the events that were published before it: one about a person's new
        name must find the messages with the old name shown."""
        if rid in self._unready:
            self._unready[rid].append(signal)
        else:
            self._pass_on(rid, signal)

    def _publish(self, rid: str, event: Event) -> None:
        self._count_members(event)
        # Somebody is out: what follows is read, together with who is still in.
        if not self.hub.publish(event) or event.kind in (LEAVE, REMOVE):
            self._fill(rid)

    def _count_members(self, event: Event) -> None:
        """With other members, others of the members are here."""
        if event.kind in MEMBERSHIP_EVENTS:
            self.on_signal(event.room, "here")

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

    def _pass_on(self, rid: str, signal: str) -> None:
        if rid in self._filling:
            self._signals.setdefault(rid, []).append(signal)
        else:
            self.on_signal(rid, signal)

    # Gaps

    def _fill(self, rid: str) -> None:
        if rid in self._filling:
            self._filling[rid] = True
        elif rid in self.hub.rooms:
            self._filling[rid] = True
            self.background.start(self._read_gap(rid))

    async def _read_gap(self, rid: str) -> None:
        """Publish to the hub what the room's stream has and the hub has not, to those only who
        are in the room. What is published meanwhile is read from the stream too, in order."""
        try:
            while self._filling[rid]:
                self._filling[rid] = False
                while rid in self.hub.rooms:
                    async with self.background.turns:
                        room = self.hub.rooms.get(rid)
                        if room is None:
                            break  # its last viewer went while others were read
                        uids, gap = self.hub.uids(rid), self.store.messages.gap
                        found = await self.background.portal(
                            gap, rid, room.last, MAX_EVENTS_READ, uids, room.at
                        )
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
                    if len(events) < MAX_EVENTS_READ:
                        break
        except (RedisError, OSError) as error:
            log.warning("cannot read what room %s missed: %s", rid, error)
            # Once subscribed again, the room is read again.
            self.channels.reconnect(keys.room_channel(rid))
        except Exception as error:
            log.error("cannot show what room %s missed: %s", rid, without_message(error))
            self.hub.reset(rid)
        finally:
            del self._filling[rid]
            for signal in self._signals.pop(rid, ()):
                self.on_signal(rid, signal)

    async def _take_out(self, rid: str, uid: str) -> None:
        """Take the pages of a person out of a room who is no member any more, whatever happens:
        what follows is not for them."""
        try:
            await self.background.portal(self.changed, uid)
        except (RedisError, OSError):
            raise
        except Exception as error:
            log.error("cannot tell the pages of %s: %s", uid, without_message(error))
            self.hub.leave_all(rid, uid)


def _key(channel: str) -> str:
    what, _, ident = channel.partition(":")
    return keys.room_channel(ident) if what == "room" else keys.user_channel(ident)
