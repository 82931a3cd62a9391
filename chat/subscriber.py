"""From Redis pub/sub to the hub: one connection per process, one subscription per channel.

What is published is only a nudge; the stream is the record. A number that does not follow the
last one, and every reconnection, makes the subscriber read the room's stream from the last
number the hub has, so that nothing is lost while the link was.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Any

from redis.exceptions import RedisError

from .events import LEAVE, REMOVE, Event
from .hub import Hub
from .link import Link
from .metrics import GAPS
from .store import Store, keys

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0  # seconds before connecting again; doubles
NEW = "~new"  # said of a room whose stream has more than was published
PAGE = 500  # events read at once when a gap is filled

Portal = Callable[..., Awaitable[Any]]  # runs a function that may block its greenlet


class Subscriber:
    """`client` is a redis.asyncio client of its own, RESP 2; `store` is called in a greenlet
    made by `portal`; `changed(uid)` is called there when the
    sessions or rooms of a person have changed, or may have."""

    def __init__(
        self, client: Any, store: Store, portal: Portal, changed: Callable[[str], None]
    ) -> None:
        self.client = client
        self.store = store
        self.portal = portal
        self.changed = changed
        self.hub: Hub
        # Called with a room's id and what was said there that is no event (see store.keys).
        self.word: Callable[[str, str], None] = lambda rid, word: None
        self.connected = False
        self._relinked = False  # the link was lost before: changes may have been missed
        self._wanted: dict[str, asyncio.Future[None]] = {}  # channel: done once subscribed
        self._asked: list[tuple[str, str]] = []  # commands and channels of this turn of the loop
        self._link: Link | None = None
        self._filling: dict[str, bool] = {}  # room: True when it must be read once more
        self._tasks: set[asyncio.Task[Any]] = set()

    # Told by the hub

    def opened(self, channel: str) -> None:
        """The first viewer of `room:<id>` or `user:<id>` has come."""
        name = _key(channel)
        self._wanted[name] = asyncio.get_running_loop().create_future()
        self._ask("SUBSCRIBE", name)

    def closed(self, channel: str) -> None:
        """The last viewer of the channel has gone."""
        name = _key(channel)
        self._wanted.pop(name).cancel()
        self._ask("UNSUBSCRIBE", name)

    async def ready(self, channel: str, timeout: float = 3.0) -> None:
        """Wait until what is published to `room:<id>` or `user:<id>` comes in; raises TimeoutError
        (seconds), also when its last viewer goes meanwhile."""
        future = self._wanted[_key(channel)]
        if not future.done():
            await asyncio.wait({future}, timeout=timeout)
        if future.cancelled() or not future.done():
            raise TimeoutError(f"{channel} is not heard")

    # The link

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        wait = FIRST_WAIT
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("the link to Redis is lost (%s); trying again", error)
            except Exception:
                log.exception("the link to Redis has failed; trying again")
            if self.connected:
                wait = FIRST_WAIT
                self._relinked = True
            self.connected = False
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen(self) -> None:
        link = self._link = await Link.open(self.client, self._take_safely)
        try:
            for name, future in self._wanted.items():
                if future.done() and not future.cancelled():
                    self._wanted[name] = asyncio.get_running_loop().create_future()
            self._asked.clear()
            if self._wanted:
                link.command("SUBSCRIBE", *self._wanted)
            self.connected = True
            await link.outlive()
        finally:
            self._link = None
            link.close()

    def _ask(self, word: str, name: str) -> None:
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._write)
        self._asked.append((word, name))

    def _write(self) -> None:
        """Send what was asked for in this turn of the loop, in order, as few commands: when many
        pages come at once, each would be a write of ours and an answer of Redis's."""
        asked, self._asked = self._asked, []
        # Without a link nothing is lost: connecting subscribes to all that is wanted.
        if self._link is not None:
            for word, pairs in itertools.groupby(asked, key=itemgetter(0)):
                self._link.command(word, *(name for _, name in pairs))

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()

    def _take_safely(self, answer: Any) -> None:
        try:
            if isinstance(answer, Exception):
                raise answer
            self._take(answer)
        except Exception:
            log.exception("cannot use what Redis sent")

    def _take(self, answer: list[str]) -> None:
        kind, name = answer[0], answer[1]
        if kind == "message":
            _, what, ident = name.split(":", 2)
            if what == "room":
                self._event(ident, answer[2])
            else:
                self._spawn(self.portal(self.changed, ident))
        elif kind == "subscribe":
            future = self._wanted.get(name)
            if future is not None and not future.done():
                future.set_result(None)
            # Something may have happened before this subscription stood.
            _, what, ident = name.split(":", 2)
            if what == "room":
                self._fill(ident)
            elif self._relinked:
                self._spawn(self.portal(self.changed, ident))

    def _event(self, rid: str, line: str) -> None:
        if line == NEW:
            self._fill(rid)
        elif line.startswith("~"):
            self.word(rid, line[1:])
        elif rid in self._filling:
            self._filling[rid] = True
        else:
            event = Event.parse_line(rid, line)
            # Somebody is out: what follows is read, together with who is still in.
            if not self.hub.publish(event) or event.kind in (LEAVE, REMOVE):
                self._fill(rid)

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
                while (room := self.hub.rooms.get(rid)) is not None:
                    uids, gap = self.hub.uids(rid), self.store.messages.gap
                    seq, events, gone = await self.portal(gap, rid, room.last, PAGE, uids, room.at)
                    for uid in gone:
                        await self.portal(self.changed, uid)
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
                    if len(events) < PAGE:
                        break
        except (RedisError, OSError) as error:
            log.warning("cannot read what room %s missed: %s", rid, error)
            self._drop_link()  # connecting again reads it again
        finally:
            del self._filling[rid]

    def ask(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function that asks the store, in a greenlet of its own."""
        self._spawn(self.portal(function, *args))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, RedisError | OSError):
            log.error("in the subscriber", exc_info=error)


def _key(channel: str) -> str:
    what, _, ident = channel.partition(":")
    return keys.room_channel(ident) if what == "room" else keys.user_channel(ident)
