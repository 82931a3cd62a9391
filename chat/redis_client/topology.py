"""Says which Redis server has which key or channel: one server has all, or a cluster divides them.

A *place* names a server: `host:port` in a cluster, as its nodes call each other.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError

from .urls import at, connect, hosts, pair, place_of

log = logging.getLogger(__name__)

READ_INTERVAL_SECONDS = 0.1  # between two readings of the topology


@lru_cache(65536)
def slot_of(key: str) -> int:
    return key_slot(key.encode())


class SingleServer:
    """The topology of a single server, at `url`."""

    def __init__(self, url: str) -> None:
        self.places = {"redis"}
        self.together = True  # one command may name several channels
        self.watchers: list[Callable[[], None]] = []
        self._client = connect(url)

    def place(self, key: str) -> str:
        return "redis"

    def client(self, place: str) -> Redis:
        return self._client

    def invalidate(self) -> None:
        """Do nothing: a single server never changes."""

    def moved(self, error: MovedError, place: str) -> None:
        log.warning("Redis is a node of a cluster (REDIS_URL): %s", error)

    async def aclose(self) -> None:
        await self._client.aclose()


class ClusterTopology:
    """The topology of the cluster at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.places: set[str] = set()  # empty until the topology is known
        self.together = False  # a command may only name channels of one slot
        self.watchers: list[Callable[[], None]] = []  # called when the topology may have changed
        self._owners: list[str] = []  # the place of each slot
        self._clients: dict[str, Redis] = {}
        self._reading: asyncio.Task[None] | None = None
        self._stale = False

    def place(self, key: str) -> str:
        """The place of a key or a channel; "" while it is not known."""
        return self._owners[slot_of(key)] if self._owners else ""

    def client(self, place: str) -> Redis:
        """Return a client that makes connections to a server."""
        if place not in self._clients:
            self._clients[place] = connect(at(self.url, place))
        return self._clients[place]

    def invalidate(self) -> None:
        """Read the topology again, and notify the watchers."""
        self._stale = True
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_until_current())

    def moved(self, error: MovedError, place: str) -> None:
        """Record where a slot is now, according to the node at `place`."""
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


Topology = SingleServer | ClusterTopology
