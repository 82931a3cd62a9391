"""A Redis Cluster: which node has which slot, and a client that asks the right node.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from .client import Asking, Command, LoopRedis
from .connection import pack
from .urls import TIMEOUT, at, connect, hosts, pair, place_of

log = logging.getLogger(__name__)

READ_INTERVAL_SECONDS = 0.1  # between two readings of the topology
RETRY_SECONDS = (
    0.05  # before a command that no node has run is sent again; it is given up after TIMEOUT
)


@lru_cache(65536)
def slot_of(key: str) -> int:
    return key_slot(key.encode())


class ClusterTopology:
    """The topology of the cluster at `url`. A place is `host:port`, as nodes call each other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.places: set[str] = set()
        self.together = False  # a command may only name channels of one slot
        self.watchers: list[Callable[[], None]] = []
        self._owners: list[str] = []  # the place of each slot
        self._clients: dict[str, Redis] = {}
        self._reading: asyncio.Task[None] | None = None
        self._stale = False

    def place(self, key: str) -> str:
        """The place of a key or a channel; "" while it is not known."""
        return self._owners[slot_of(key)] if self._owners else ""

    def client(self, place: str) -> Redis:
        if place not in self._clients:
            self._clients[place] = connect(at(self.url, place))
        return self._clients[place]

    def invalidate(self) -> None:
        """Read the topology again, and notify the watchers."""
        self._stale = True
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_until_current())

    def moved(self, error: MovedError, place: str) -> None:
        """Note where a slot is now, according to the node at `place`."""
        if self._owners and self._owners[error.slot_id] != (owner := self.target(error, place)):
            self._owners[error.slot_id] = owner
            self.places.add(owner)
            self._notify()
        self.invalidate()

    def target(self, error: AskError, place: str) -> str:
        """The place that the node at `place` points to. A node leaves out its own host."""
        return place_of(error.host or pair(place)[0], error.port)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _read_until_current(self) -> None:
        try:
            while self._stale:
                self._stale = False
                await self._read()
                self._notify()
                await self._close_clients()
                await asyncio.sleep(READ_INTERVAL_SECONDS)
        finally:
            self._reading = None

    async def _read(self) -> None:
        """Read the topology from the first node that answers."""
        known = list(self.places)
        for place in [*random.sample(known, len(known)), *hosts(self.url)]:
            try:
                slots = await self._slots(place)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("the node %s of the cluster does not answer: %s", place, error)
                continue
            owners = [""] * REDIS_CLUSTER_HASH_SLOTS
            for first, last, (host, port, *_), *_ in slots:
                owner = place_of(host or pair(place)[0], port)
                owners[first : last + 1] = [owner] * (last + 1 - first)
            if any(owners):
                self._owners, self.places = owners, set(owners) - {""}
                return

    async def _close_clients(self) -> None:
        """Close the clients of nodes that have left the cluster."""
        for place in self._clients.keys() - self.places if self.places else ():
            await self._clients.pop(place).aclose()

    async def _slots(self, place: str) -> Any:
        client: Any = self.client(place)
        return await client.execute_command("CLUSTER SLOTS")

    def _notify(self) -> None:
        for watcher in list(self.watchers):
            watcher()


class Routing:
    """What a command needs that may be sent to several nodes until one runs it."""

    __slots__ = ("key", "until")

    def __init__(self, key: str) -> None:
        self.key = key
        self.until = 0.0  # when to give up (time of the loop); 0.0 until a node has refused it


class NodeClient(LoopRedis):
    """The client of one node."""

    def __init__(self, cluster: "LoopCluster", place: str) -> None:
        super().__init__(cluster.topology.client(place), cluster.await_)
        self.owner = cluster
        self.place = place

    def _is_elsewhere(self, command: Command, error: Exception) -> bool:
        return command[-1] is not None and self.owner.reroute(command, error, self.place)

    def _fail(self, commands: Iterable[Command], kind: type[Exception], text: str) -> None:
        super()._fail(commands, kind, text)
        if not self._over:
            self.owner.topology.invalidate()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer from this node."""
        return not self._asked and not self._sent


class LoopCluster(Asking):
    """A client of all nodes that looks synchronous to a greenlet. A command that a node has not
    run, because its slot is elsewhere or is moving, is sent again. No other command ever is."""

    def __init__(self, cluster: ClusterTopology, await_: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__(await_)
        self.topology = cluster
        self._nodes: dict[str, NodeClient] = {}
        self._unrouted: list[Command] = []  # waiting until the topology is known
        self._closing: set[asyncio.Task[None]] = set()
        cluster.watchers.append(self._arrange)

    def make(self, words: tuple[Any, ...], options: dict[str, Any]) -> Command:
        return *super().make(words, options)[:-1], Routing(_key(words))

    def make_script(self, sha: str, keys: Sequence[str], args: Sequence[Any]) -> Command:
        return *super().make_script(sha, keys, args)[:-1], Routing(keys[0] if keys else "")

    def put(self, command: Command) -> None:
        """Send a command to the node that has its key, as soon as the topology is known."""
        _, answer, *_, routing = command
        if answer.done():
            return  # the greenlet that asked was cancelled
        if place := self.topology.place(routing.key):
            self._node(place).put(command)
        elif self.topology.places:
            self.topology.invalidate()
            answer.set_exception(ClusterDownError("no node has this part of the data"))
        else:
            self._unrouted.append(command)
            self.topology.invalidate()

    def drop(self, why: str) -> None:
        """As LoopRedis.drop, for the connections to all nodes."""
        for node in self._nodes.values():
            node.drop(why)

    def ping(self, **options: Any) -> Any:
        """Return whether all nodes answer. Raises what redis-py raises."""
        self._wait_for_topology()
        nodes = [self._node(place) for place in self.topology.places]
        return all(node.execute_command("PING", **options) for node in nodes)

    def scan_iter(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Scan one node after the other."""
        self._wait_for_topology()
        for place in list(self.topology.places):
            yield from self._node(place).scan_iter(*args, **kwargs)

    async def aclose(self) -> None:
        self.topology.watchers.remove(self._arrange)
        self._fail_unrouted("the server is stopping")
        nodes, self._nodes = self._nodes, {}
        await asyncio.gather(*self._closing, *(node.aclose() for node in nodes.values()))

    def reroute(self, command: Command, error: Exception, place: str) -> bool:
        """Send a command that the node at `place` has not run to another node, or again. Returns
        False if the error means something else, or the command has been tried for TIMEOUT."""
        now, routing = self.loop.time(), command[-1]
        first, routing.until = not routing.until, routing.until or now + TIMEOUT
        if now > routing.until:
            return False
        if isinstance(error, MovedError):
            self.topology.moved(error, place)
            if first:
                self.loop.call_soon(self._retry, command)  # in the order of the answers
                return True
        elif isinstance(error, AskError):
            node = self._node(self.topology.target(error, place))
            node.put((pack(("ASKING",)), _ignored_answer(self.loop), "ASKING", {}, None))
            node.put(command)
            return True
        elif not isinstance(error, TryAgainError | ClusterDownError):
            return False
        self.loop.call_later(RETRY_SECONDS, self._retry, command)
        return True

    def _retry(self, command: Command) -> None:
        """As `put`, but what it raises becomes the answer of the command."""
        try:
            self.put(command)
        except Exception as error:
            command[1].set_exception(error)

    def _node(self, place: str) -> NodeClient:
        if place not in self._nodes:
            self._nodes[place] = NodeClient(self, place)
        return self._nodes[place]

    def _wait_for_topology(self) -> None:
        """Wait until the topology is known."""
        if not self.topology.places:
            self.await_(self.ask(("EXISTS", "chat:schema"), {}))

    def _arrange(self) -> None:
        if not self.topology.places:
            self._fail_unrouted("no node of the cluster answers")
        commands, self._unrouted = self._unrouted, []
        for command in commands:
            self._retry(command)
        self._close_clients()

    def _close_clients(self) -> None:
        """Close the connections to nodes that have left, each after its last answer."""
        for place in self._nodes.keys() - self.topology.places if self.topology.places else ():
            if self._nodes[place].is_idle:
                task = self.loop.create_task(self._nodes.pop(place).aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            else:
                self.loop.call_later(RETRY_SECONDS, self._close_clients)

    def _fail_unrouted(self, why: str) -> None:
        commands, self._unrouted = self._unrouted, []
        for _, answer, *_ in commands:
            if not answer.done():
                answer.set_exception(RedisConnectionError(why))


def _key(words: tuple[Any, ...]) -> str:
    """The first key of a command; the others are in the same slot. The store uses no command with
    its key in another position."""
    position = 3 if words[0] in ("EVALSHA", "EVAL") else 1
    return str(words[position]) if len(words) > position else ""  # TIME has none: any node will do


def _ignored_answer(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
    """An answer that nobody waits for."""
    answer: asyncio.Future[Any] = loop.create_future()
    answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
    return answer
