"""Passes what Redis publishes to the hub.

A published event is only a hint; the stream is the record. If a number does not follow the last
one, and after each new subscription, the subscriber reads the room's stream from the last number
that the hub has. So nothing is lost while there was no connection.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field

from redis.exceptions import RedisError

from ..domain.events import ADD, JOIN, LEAVE, REMOVE, Event
from ..observability.metrics import GAPS
from ..observability.redaction import without_message
from ..redis_client.pubsub import PubSub
from ..redis_client.topology import Topology
from ..rendering.text_renderer import Texts
from ..store import Store, keys
from .background import Background
from .hub import Hub

log = logging.getLogger(__name__)

MAX_EVENTS_READ = 500  # at once, when a gap is filled
MEMBERSHIP_EVENTS = (JOIN, ADD, LEAVE, REMOVE)


@dataclass(eq=False)
class Subscriber:
    """Listens to the channels of the hub's viewers.

    store: called in greenlets of `background`.
    changed: called with a person's id, in a greenlet, when their sessions or rooms have changed,
        or may have.
    on_signal: called with a room's id and a signal that was published there (store.keys).
    texts: renders texts. The hub gets an event when its text is ready; the later events of its
        room wait behind it.
    """

    topology: InitVar[Topology]
    hub: Hub
    store: Store
    texts: Texts
    background: Background
    changed: Callable[[str], None]
    on_signal: Callable[[str, str], None]
    channels: PubSub = field(init=False)
    _filling: dict[str, bool] = field(default_factory=dict)  # True: it must be read once more
    # By room: events whose texts are being rendered, and signals that arrived after them.
    _unready: dict[str, deque[Event | str]] = field(default_factory=dict)
    # By room: signals that arrived during a read.
    _signals: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self, topology: Topology) -> None:
        self.channels = PubSub(topology, self._on_message, self._on_subscribed)

    @property
    def connected(self) -> bool:
        """True while messages are received from all servers."""
        return self.channels.connected

    async def run(self) -> None:
        """Listen until cancelled."""
        await self.channels.run()

    # Called by the hub

    def opened(self, channel: str) -> None:
        """The first viewer of `room:<id>` or `user:<id>` has connected."""
        self.channels.add(_key(channel))

    def closed(self, channel: str) -> None:
        """The last viewer of the channel has disconnected."""
        self.channels.drop(_key(channel))

    async def ready(self, channel: str, timeout: float = 3.0) -> None:
        """Wait until `room:<id>` or `user:<id>` is subscribed to. Raises TimeoutError after
        `timeout` seconds, or if the last viewer of the channel leaves in the meantime."""
        await self.channels.ready(_key(channel), timeout)

    # Called by the channels

    def _on_message(self, channel: str, text: str) -> None:
        what, ident = keys.parse_channel(channel)
        if what == "room":
            self._event(ident, text)
        else:
            self.background.run(self.changed, ident)

    def _on_subscribed(self, channel: str, again: bool) -> None:
        """Messages may have been published before this subscription. The first page of a person
        reads the store after it, so only pages of an earlier subscription (`again`) may have
        missed something."""
        what, ident = keys.parse_channel(channel)
        if what == "room":
            self._fill(ident)
            if again:
                self.on_signal(ident, "here")  # somebody may have come online or gone
                self._signal(ident, "names")  # or somebody may have been renamed
        elif again:
            self.background.run(self.changed, ident)

    def _event(self, rid: str, line: str) -> None:
        if line == keys.RELOAD:
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
        """Pass a signal on after the events that were published before it: a signal about a new
        name must find the messages with the old name shown."""
        if rid in self._unready:
            self._unready[rid].append(signal)
        else:
            self._pass_on(rid, signal)

    def _publish(self, rid: str, event: Event) -> None:
        self._count_members(event)
        # When a member has gone, the gap is read, which also removes the pages of former members.
        if not self.hub.publish(event) or event.kind in (LEAVE, REMOVE):
            self._fill(rid)

    def _count_members(self, event: Event) -> None:
        """When members come or go, the number of those who are online changes."""
        if event.kind in MEMBERSHIP_EVENTS:
            self.on_signal(event.room, "here")

    async def _prepare(self, event: Event) -> None:
        """Render the text of an event. If that fails, it is shown as it was typed."""
        try:
            await self.texts.prepare(event)
        except Exception as error:
            where = without_message(error)
            log.error("cannot prepare event %d of room %s: %s", event.seq, event.room, where)

    async def _make_ready(self, rid: str) -> None:
        """Publish the waiting events of a room in order, each when its text is ready."""
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
        """Read the events that the hub lacks from the room's stream, and publish them to viewers
        who are still members. Events that are published meanwhile are read as well, in order."""
        try:
            while self._filling[rid]:
                self._filling[rid] = False
                while rid in self.hub.rooms:
                    async with self.background.turns:
                        room = self.hub.rooms.get(rid)
                        if room is None:
                            break  # its last viewer left during the reads of others
                        uids = list({viewer.uid for viewer in room.viewers()})
                        seq, events, gone = await self.background.portal(
                            self.store.messages.gap, rid, room.last, MAX_EVENTS_READ, uids, room.at
                        )
                    for uid in gone:
                        await self._take_out(rid, uid)
                    for event in events or ():
                        await self._prepare(event)
                    if room is not self.hub.rooms.get(rid):
                        continue  # its last viewer has left meanwhile
                    if events is None:
                        self.hub.restart(rid, seq)
                        return
                    if events:
                        GAPS.inc()
                    for event in events:
                        room.last = max(room.last, event.seq - 1)  # missing numbers were deleted
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
        """Remove the pages of a person who is no longer a member from a room, even if an error
        occurs: they must not get the following events."""
        try:
            await self.background.portal(self.changed, uid)
        except (RedisError, OSError):
            raise
        except Exception as error:
            log.error("cannot notify the pages of %s: %s", uid, without_message(error))
            self.hub.leave_all(rid, uid)


def _key(channel: str) -> str:
    what, _, ident = channel.partition(":")
    return keys.room_channel(ident) if what == "room" else keys.user_channel(ident)
