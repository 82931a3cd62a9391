"""Pub/sub: one connection to each server, and one subscription for each channel.

Channels are sharded (SSUBSCRIBE), which a single server supports, too. In a cluster, a channel is
on the same node as the key of the same name, and its messages cost the other nodes nothing. When a
slot moves, its node ends the subscriptions to its channels, and the new node gets them.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from operator import itemgetter
from typing import Any

from redis.exceptions import MovedError, RedisError

from ..observability.redaction import without_message
from .connection import Link, pack
from .topology import Topology

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 2.0  # before connecting again; doubles each time
MOVED_SECONDS = 0.05  # before a channel is moved to where a server says that it is


# One command: for each of its channels the name of the command, the channel, and a number.
Command = deque[tuple[str, str, int]]


class PubSub:
    """Subscriptions to any number of channels.

    on_message: called with the channel and the text of each message.
    on_subscribed: called with a channel when its subscription has become active, and with True if
        it was active before and was lost. Messages published earlier may have been missed.
    """

    def __init__(
        self,
        topology: Topology,
        on_message: Callable[[str, str], None],
        on_subscribed: Callable[[str, bool], None],
    ) -> None:
        self.topology = topology
        self.on_message = on_message
        self.on_subscribed = on_subscribed
        self._wanted: dict[str, asyncio.Future[None]] = {}  # done once subscribed
        self._subscribed: set[str] = set()  # those that have been active before
        self._serials = itertools.count(1)
        self._newest: dict[str, int] = {}  # the number of the last command for each of the wanted
        # By place: commands that wait for their answers, one for each channel that they name. A
        # channel may be added, dropped and added again before the first answer comes.
        self._unanswered: dict[str, deque[Command]] = {}
        self._place_of: dict[str, str] = {}  # where each was subscribed to
        self._links: dict[str, Link] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}  # each keeps one connection open
        # Commands of this turn of the loop, each with its place and channel.
        self._commands: list[tuple[str, str, str, int]] = []

    @property
    def connected(self) -> bool:
        """True if there is a connection to each of the servers."""
        return bool(self.topology.places) and self.topology.places <= self._links.keys()

    @property
    def names(self) -> Collection[str]:
        """The channels that have been added."""
        return self._wanted.keys()

    def add(self, name: str) -> None:
        """Subscribe to a channel. Raises DataError for a name that Redis cannot take: it would fail
        the commands for other channels, too."""
        pack(("SSUBSCRIBE", name))
        self._wanted[name] = asyncio.get_running_loop().create_future()
        self._subscribe([name], self.topology.place(name))

    def drop(self, name: str) -> None:
        """Unsubscribe from a channel."""
        self._wanted.pop(name).cancel()
        self._subscribed.discard(name)
        del self._newest[name]
        self._queue("SUNSUBSCRIBE", self._place_of.pop(name), name)

    async def ready(self, name: str, timeout: float) -> None:
        """Wait until the subscription to a channel is active. Raises TimeoutError after `timeout`
        seconds, or when the channel is dropped meanwhile."""
        future = self._wanted[name]
        if not future.done():
            await asyncio.wait({future}, timeout=timeout)
        if future.cancelled() or not future.done():
            raise TimeoutError(f"{name} is not heard")

    def reconnect(self, name: str) -> None:
        """Connect again to the server of a channel, which renews its subscription."""
        if (link := self._links.get(self._place_of.get(name, ""))) is not None:
            link.close()

    async def run(self) -> None:
        """Keep the connections open until cancelled."""
        self.topology.watchers.append(self._arrange)
        try:
            self._arrange()
            self.topology.invalidate()
            await asyncio.get_running_loop().create_future()
        finally:
            self.topology.watchers.remove(self._arrange)
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _arrange(self) -> None:
        """Make sure that each place has one connection, and that each subscription is on the right
        one."""
        for place in self._tasks.keys() - self.topology.places:
            self._tasks.pop(place).cancel()
        for place in self.topology.places - self._tasks.keys():
            self._tasks[place] = asyncio.create_task(self._stay_connected(place))
        moved: dict[str, list[str]] = {}
        for name in self._wanted:
            if (place := self.topology.place(name)) != self._place_of[name]:
                moved.setdefault(place, []).append(name)
        for place, names in moved.items():
            self._subscribe(names, place)

    async def _stay_connected(self, place: str) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_RETRY_SECONDS
        while True:
            began = loop.time()
            try:
                await self._listen(place)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("lost the connection to Redis (%s); trying again", error)
            except Exception:
                log.exception("the connection to Redis has failed; trying again")
            if loop.time() > began + MAX_RETRY_SECONDS:
                wait = FIRST_RETRY_SECONDS
            self.topology.invalidate()
            await asyncio.sleep(wait)
            wait = min(2 * wait, MAX_RETRY_SECONDS)

    async def _listen(self, place: str) -> None:
        link = await Link.open(self.topology.client(place), partial(self._take_safely, place))
        self._links[place] = link
        self._unanswered[place] = deque()
        try:
            # Subscriptions elsewhere move here once the topology says so.
            self._commands = [command for command in self._commands if command[1] != place]
            self._subscribe([n for n in self._wanted if self.topology.place(n) == place], place)
            self._write()
            await link.outlive()
        finally:
            del self._links[place]
            link.close()

    def _subscribe(self, names: list[str], place: str) -> None:
        """Subscribe at a place, as soon as there is a connection to it."""
        for name in names:
            if self._wanted[name].done():
                self._wanted[name] = asyncio.get_running_loop().create_future()
            self._place_of[name] = place
            self._newest[name] = self._queue("SSUBSCRIBE", place, name)

    def _queue(self, verb: str, place: str, name: str) -> int:
        if not self._commands:
            asyncio.get_running_loop().call_soon(self._write)
        serial = next(self._serials)
        self._commands.append((verb, place, name, serial))
        return serial

    def _write(self) -> None:
        """Send what was queued in this turn of the loop, in order, in as few commands as possible.
        Otherwise, when many pages open at once, each subscription would be a write and an
        answer."""
        queued, self._commands = self._commands, []
        for (verb, place), found in itertools.groupby(queued, key=itemgetter(0, 1)):
            # Without a connection nothing is lost: connecting subscribes to everything.
            if (link := self._links.get(place)) is not None:
                parts = [(verb, name, serial) for *_, name, serial in found]
                commands = [parts] if self.topology.together else [[part] for part in parts]
                self._unanswered[place].extend(map(deque, commands))
                link.write(b"".join(pack((verb, *(p[1] for p in c))) for c in commands))

    def _take_safely(self, place: str, reply: Any) -> None:
        try:
            if isinstance(reply, Exception):
                self._refused(place, reply)
            else:
                self._take(place, reply)
        except Exception as error:
            log.error("cannot use what Redis sent: %s", without_message(error))

    def _take(self, place: str, reply: list[str]) -> None:
        kind, name = reply[0], reply[1]
        if kind == "smessage":
            self.on_message(name, reply[2])
            return
        commands = self._unanswered[place]
        if not commands or (kind.upper(), name) != commands[0][0][:2]:
            # No answer: a server takes a subscription back when it gives the slot away.
            if kind == "sunsubscribe" and self._place_of.get(name) == place:
                self._place_of[name] = ""
                self.topology.invalidate()
            return
        *_, serial = commands[0].popleft()
        if not commands[0]:
            commands.popleft()
        if kind == "ssubscribe" and self._newest.get(name) == serial:
            again = name in self._subscribed
            self._subscribed.add(name)
            if not self._wanted[name].done():
                self._wanted[name].set_result(None)
            self.on_subscribed(name, again)

    def _refused(self, place: str, error: Exception) -> None:
        if isinstance(error, MovedError):
            self._unanswered[place].popleft()
            loop = asyncio.get_running_loop()
            loop.call_later(MOVED_SECONDS, self.topology.moved, error, place)
        elif place in self._links:
            self._links[place].close(error)
