"""A Redis Cluster: which node has what, and a client that asks each for its own.

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

PAUSE = 0.1  # seconds between two looks at what is where
AGAIN = 0.05  # seconds before what did not run is sent again, for TIMEOUT in all


@lru_cache(65536)
def slot_of(key: str) -> int:
    return key_slot(key.encode())


class Cluster:
    """Which node of the cluster at `url` has what, as channels.Where says it. A place is
    `host:port`, as the nodes call each other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.places: set[str] = set()
        self.together = False  # but those of one slot
        self.watchers: list[Callable[[], None]] = []
        self._owners: list[str] = []  # the place of each slot
        self._clients: dict[str, Redis] = {}
        self._reading: asyncio.Task[None] | None = None
        self._again = False

    def place(self, key: str) -> str:
        """Where a key or a channel is; "" while that is not known."""
        return self._owners[slot_of(key)] if self._owners else ""

    def client(self, place: str) -> Redis:
        if place not in self._clients:
            self._clients[place] = connect(at(self.url, place))
        return self._clients[place]

    def stir(self) -> None:
        """Have a look at what is where, and tell the watchers of it."""
        self._again = True
        if self._reading is None:
            self._reading = asyncio.create_task(self._look())

    def moved(self, error: MovedError, place: str) -> None:
        """Believe the node at `place` where a slot is now."""
        if self._owners and self._owners[error.slot_id] != (owner := self.target(error, place)):
            self._owners[error.slot_id] = owner
            self.places.add(owner)
            self._tell()
        self.stir()

    def target(self, error: AskError, place: str) -> str:
        """The place that the node at `place` points to; it leaves out its own host."""
        return place_of(error.host or pair(place)[0], error.port)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _look(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._read()
                self._tell()
                await self._let_go()
                await asyncio.sleep(PAUSE)
        finally:
            self._reading = None

    async def _read(self) -> None:
        """Ask one node after the other, until one answers."""
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

    async def _let_go(self) -> None:
        """Close the clients of nodes that have left. A new one is made where it is asked for."""
        for place in self._clients.keys() - self.places if self.places else ():
            await self._clients.pop(place).aclose()

    async def _slots(self, place: str) -> Any:
        client: Any = self.client(place)
        return await client.execute_command("CLUSTER SLOTS")

    def _tell(self) -> None:
        for watcher in list(self.watchers):
            watcher()


class Sought:
    """What is kept of a command that may have to be sent to several nodes until one runs it."""

    __slots__ = ("key", "until")

    def __init__(self, key: str) -> None:
        self.key = key
        self.until = 0.0  # the loop's time, once a node has refused it


class Node(LoopRedis):
    """The client of one node."""

    def __init__(self, whole: "LoopCluster", place: str) -> None:
        super().__init__(whole.where.client(place), whole.await_)
        self.whole = whole
        self.place = place

    def _is_elsewhere(self, command: Command, error: Exception) -> bool:
        return command[-1] is not None and self.whole.seek(command, error, self.place)

    def _fail(self, commands: Iterable[Command], kind: type[Exception], text: str) -> None:
        super()._fail(commands, kind, text)
        if not self._over:
            self.whole.where.stir()

    @property
    def is_idle(self) -> bool:
        """True when nobody waits for an answer of this node."""
        return not self._asked and not self._sent


class LoopCluster(Asking):
    """A client of all nodes that looks synchronous to a greenlet. What a node has not run, because
    the slot is elsewhere or on its way, is sent again; nothing else ever is."""

    def __init__(self, cluster: Cluster, await_: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__(await_)
        self.where = cluster
        self._nodes: dict[str, Node] = {}
        self._early: list[Command] = []  # asked for before it is known what is where
        self._closing: set[asyncio.Task[None]] = set()
        cluster.watchers.append(self._arrange)

    def make(self, words: tuple[Any, ...], options: dict[str, Any]) -> Command:
        return *super().make(words, options)[:-1], Sought(_key(words))

    def make_script(self, sha: str, keys: Sequence[str], args: Sequence[Any]) -> Command:
        return *super().make_script(sha, keys, args)[:-1], Sought(keys[0] if keys else "")

    def put(self, command: Command) -> None:
        """Send a command to the node that has its key; while that is not known, when it is."""
        _, answer, *_, sought = command
        if answer.done():
            return  # the greenlet that asked was cancelled
        if place := self.where.place(sought.key):
            self._node(place).put(command)
        elif self.where.places:
            self.where.stir()
            answer.set_exception(ClusterDownError("no node has this part of the data"))
        else:
            self._early.append(command)
            self.where.stir()

    def drop(self, why: str) -> None:
        """As LoopRedis.drop, of the connections to all nodes."""
        for node in self._nodes.values():
            node.drop(why)

    def ping(self, **options: Any) -> Any:
        """True when all nodes answer; raises what redis-py raises."""
        self._know()
        nodes = [self._node(place) for place in self.where.places]
        return all(node.execute_command("PING", **options) for node in nodes)

    def scan_iter(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Of one node after the other."""
        self._know()
        for place in list(self.where.places):
            yield from self._node(place).scan_iter(*args, **kwargs)

    async def aclose(self) -> None:
        self.where.watchers.remove(self._arrange)
        self._give_up("the server is stopping")
        nodes, self._nodes = self._nodes, {}
        await asyncio.gather(*self._closing, *(node.aclose() for node in nodes.values()))

    def seek(self, command: Command, error: Exception, place: str) -> bool:
        """Send a command elsewhere, or again, that the node at `place` has not run; False when the
        error is something else, or it has been tried for TIMEOUT."""
        now, sought = self.loop.time(), command[-1]
        first, sought.until = not sought.until, sought.until or now + TIMEOUT
        if now > sought.until:
            return False
        if isinstance(error, MovedError):
            self.where.moved(error, place)
            if first:
                self.loop.call_soon(self._again, command)  # in the order of the answers
                return True
        elif isinstance(error, AskError):
            node = self._node(self.where.target(error, place))
            node.put((pack(("ASKING",)), _nobody(self.loop), "ASKING", {}, None))
            node.put(command)
            return True
        elif not isinstance(error, TryAgainError | ClusterDownError):
            return False
        self.loop.call_later(AGAIN, self._again, command)
        return True

    def _again(self, command: Command) -> None:
        """As `put`, when the caller cannot be told otherwise of what that raises."""
        try:
            self.put(command)
        except Exception as error:
            command[1].set_exception(error)

    def _node(self, place: str) -> Node:
        if place not in self._nodes:
            self._nodes[place] = Node(self, place)
        return self._nodes[place]

    def _know(self) -> None:
        """Wait until it is known what is where."""
        if not self.where.places:
            self.await_(self.ask(("EXISTS", "chat:schema"), {}))

    def _arrange(self) -> None:
        if not self.where.places:
            self._give_up("no node of the cluster answers")
        early, self._early = self._early, []
        for command in early:
            self._again(command)
        self._let_go()

    def _let_go(self) -> None:
        """Close the connections to nodes that have left, each when its last answer has come."""
        for place in self._nodes.keys() - self.where.places if self.where.places else ():
            if self._nodes[place].is_idle:
                task = self.loop.create_task(self._nodes.pop(place).aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            else:
                self.loop.call_later(AGAIN, self._let_go)

    def _give_up(self, why: str) -> None:
        early, self._early = self._early, []
        for _, answer, *_ in early:
            if not answer.done():
                answer.set_exception(RedisConnectionError(why))


def _key(words: tuple[Any, ...]) -> str:
    """The first key of a command; the others are of the same slot. The store asks for nothing
    that has its key elsewhere."""
    where = 3 if words[0] in ("EVALSHA", "EVAL") else 1
    return str(words[where]) if len(words) > where else ""  # TIME has none: any node will do


def _nobody(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
    """An answer for which nobody waits."""
    answer: asyncio.Future[Any] = loop.create_future()
    answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
    return answer
