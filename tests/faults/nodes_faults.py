"""Faults of servers that replace each other: behind Sentinels, and in a cluster."""

import asyncio
import os
import signal
from contextlib import suppress

from ..integration.nodes import Node
from ..running import wait_until
from .deployments import ClusterDeployment, SentinelDeployment
from .faults import last

TAKES_OVER = 20.0  # seconds within which a replica must have taken over
MOVES = 20  # slots, one after another


async def _until(true, what: str) -> None:
    await asyncio.to_thread(wait_until, true, what, TAKES_OVER)


async def _dies(deployment: SentinelDeployment | ClusterDeployment, node: Node) -> None:
    """Kill a primary. Events that its replica lacks are lost."""
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(0.2)  # so that what the hosts have sent arrives
    deployment.journal.write("harness", "lost")


# Behind Sentinels


async def primary_behind_sentinels_killed(deployment: SentinelDeployment) -> None:
    watched = deployment.watched
    first = watched.primary
    await _dies(deployment, first)
    # A server that comes back before all Sentinels agree would be taken for the primary, without
    # any data.
    await _until(lambda: watched.agree_on_another_than(first), "an election")
    await last(deployment, 0.5, 2)
    await asyncio.to_thread(first.start)
    # It comes back as a primary, until the Sentinels make it a replica.
    await _until(lambda: not first.is_primary and watched.primary.is_copied(), "another replica")


async def sentinels_fail_over(deployment: SentinelDeployment) -> None:
    """Fail over by command. The old primary accepts writes until it becomes a replica, and these
    writes are lost."""
    watched = deployment.watched
    first = watched.primary
    await asyncio.to_thread(watched.sentinels[0].ask, "SENTINEL", "FAILOVER", "chat")
    await _until(lambda: not first.is_primary, "the end of the old primary")
    await asyncio.sleep(0.2)
    deployment.journal.write("harness", "lost")
    await _until(lambda: watched.primary.is_copied(), "another replica")


async def sentinels_killed_and_restarted(deployment: SentinelDeployment) -> None:
    """Kill and restart all Sentinels but the last one; nobody notices."""
    for sentinel in deployment.watched.sentinels[:-1]:
        await asyncio.to_thread(sentinel.kill)
    await last(deployment, 2, 3)
    for sentinel in deployment.watched.sentinels[:-1]:
        await asyncio.to_thread(sentinel.start)


# In a cluster


async def slots_moved(deployment: ClusterDeployment) -> None:
    """The slots of rooms move to other nodes, one key after another, while people write in the
    rooms."""
    for _ in range(MOVES):
        await asyncio.to_thread(
            deployment.cluster.move, deployment.random.choice(deployment.room_keys())
        )
        await asyncio.sleep(deployment.random.uniform(0, 0.5))


async def slots_moved_and_subscribers_cut(deployment: ClusterDeployment) -> None:
    moving = asyncio.create_task(slots_moved(deployment))
    while not moving.done():
        for client in await asyncio.to_thread(deployment.clients):
            await asyncio.to_thread(client.execute_command, "CLIENT KILL TYPE pubsub")
        await asyncio.sleep(0.1)
    await moving


async def node_killed(deployment: ClusterDeployment) -> None:
    """A node is killed. Its replica takes over, and the node comes back as the replica of its
    successor."""
    node = await _owner(deployment)
    await _dies(deployment, node)
    others = [other for other in deployment.cluster.nodes if other is not node]
    await _until(lambda: sum(other.is_primary for other in others) == 3, "a successor")
    await last(deployment, 0.5, 2)
    await asyncio.to_thread(node.start)
    await asyncio.to_thread(deployment.cluster.wait_whole)


async def node_stopped(deployment: ClusterDeployment) -> None:
    """A node hangs until its replica has taken over. Writes that it had not replicated are lost."""
    node = await _owner(deployment)
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        others = [other for other in deployment.cluster.nodes if other is not node]
        await _until(lambda: sum(other.is_primary for other in others) == 3, "a successor")
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    # Until it learns of its successor, it answers earlier commands.
    await _until(lambda: not node.is_primary, "the end of the old primary")
    await asyncio.sleep(0.2)
    deployment.journal.write("harness", "lost")
    await asyncio.to_thread(deployment.cluster.wait_whole)


async def planned_failover_in_the_cluster(deployment: ClusterDeployment) -> None:
    """The replica of a node replaces it without losing anything."""
    owner = await _owner(deployment)
    ports = [int(port) for _, port, _ in (await asyncio.to_thread(owner.client.role))[2]]
    replica = next(node for node in deployment.cluster.nodes if node.port in ports)
    await asyncio.to_thread(replica.ask, "CLUSTER", "FAILOVER")
    await _until(lambda: replica.is_primary and not owner.is_primary, "the failover")
    await asyncio.to_thread(deployment.cluster.wait_whole)


async def _owner(deployment: ClusterDeployment) -> Node:
    """Return a primary that has a room, and whose replica has all its data."""
    key = deployment.random.choice(deployment.room_keys())
    owner = await asyncio.to_thread(deployment.cluster.owner, key)
    with suppress(AssertionError):
        await _until(owner.is_copied, "the copy")
    return owner
