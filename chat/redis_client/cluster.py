"""A client of a Redis Cluster, which sends each command to the node that has its key.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from .client import Asking, Command, LoopRedis
from .connection import pack
from .topology import ClusterTopology
from .urls import TIMEOUT_SECONDS

# Pauses before a command that no node has run is sent again. It fails after TIMEOUT_SECONDS.
RETRY_SECONDS = 0.05


class Routing:
    """The state of a command that may be sent to several nodes until one runs it."""

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
        """True if nobody waits for an answer from this node."""
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
        """Like LoopRedis.drop, for the connections to all nodes."""
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
        False if the error means something else, or TIMEOUT_SECONDS have passed."""
        now, routing = self.loop.time(), command[-1]
        first, routing.until = not routing.until, routing.until or now + TIMEOUT_SECONDS
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
        """Like `put`, but an error becomes the answer of the command."""
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
        self._fail(commands, RedisConnectionError, why)


def _key(words: tuple[Any, ...]) -> str:
    """The first key of a command; the others are in the same slot. The store uses no command with
    its key in another position."""
    position = 3 if words[0] in ("EVALSHA", "EVAL") else 1
    return str(words[position]) if len(words) > position else ""  # any node will do for TIME


def _ignored_answer(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
    """An answer that nobody waits for."""
    answer: asyncio.Future[Any] = loop.create_future()
    answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
    return answer
