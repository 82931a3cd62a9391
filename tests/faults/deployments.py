"""Deployments with several database servers: behind Sentinels, and in a cluster. The hosts reach
them without a proxy, at the addresses that the servers announce."""

from typing import Any

from chat.store import keys

from ..integration.nodes import Cluster, Watched
from .deployment import Deployment

SENTINELS = 3


class SentinelDeployment(Deployment):
    """A primary, its replica, and Sentinels that promote one when the other fails."""

    def start_databases(self) -> None:
        self.watched = Watched(self.folder / "watched", SENTINELS)

    async def address_for(self, here: str) -> str:
        return self.watched.url

    def client_of(self, key: str) -> Any:
        return self.watched.primary.client

    def clients(self) -> list[Any]:
        return [self.watched.primary.client]

    def close_databases(self) -> None:
        self.watched.clean_up()


class ClusterDeployment(Deployment):
    """Three primaries with a third of the slots each, and a replica for each."""

    def start_databases(self) -> None:
        self.cluster = Cluster(self.folder / "cluster")

    async def address_for(self, here: str) -> str:
        return self.cluster.url

    def client_of(self, key: str) -> Any:
        return self.cluster.owner(key).client

    def clients(self) -> list[Any]:
        return [node.client for node in self.cluster.primaries]

    def close_databases(self) -> None:
        self.cluster.clean_up()

    def room_keys(self) -> list[str]:
        """Return a key of each room, for its slot."""
        return [keys.room(room) for room in self.rooms]
