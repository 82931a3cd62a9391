"""Faults of the database and of the network. Each function causes a fault, waits a while, ends the
fault and returns."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from .deployment import Deployment
from .pages import Page
from .wires import Wire

Fault = Callable[[Deployment], Awaitable[None]]

CUTS = 100  # of the pub/sub connection, one after another
NARROW = 400_000  # bytes per second on a slow connection
LONG_MESSAGES = 300  # that a page lacks when it reconnects over a slow connection


async def last(deployment: Deployment, shortest: float = 1.0, longest: float = 4.0) -> None:
    await asyncio.sleep(deployment.random.uniform(shortest, longest))


async def ask(deployment: Deployment, *words: object) -> None:
    """Send a command to every primary."""
    for client in await asyncio.to_thread(deployment.clients):
        await asyncio.to_thread(client.execute_command, *words)


# The database


async def redis_killed_and_restarted(deployment: Deployment) -> None:
    deployment.primary.kill()
    await last(deployment, 0.5, 3)
    await asyncio.to_thread(deployment.primary.start)


async def redis_stopped(deployment: Deployment) -> None:
    deployment.primary.signal(signal.SIGSTOP)
    await last(deployment, 1, 5)
    deployment.primary.signal(signal.SIGCONT)


async def redis_slow(deployment: Deployment) -> None:
    for _ in range(3):
        await ask(deployment, "DEBUG", "SLEEP", deployment.random.uniform(0.3, 1.5))
        await asyncio.sleep(0.2)


async def out_of_memory(deployment: Deployment) -> None:
    await ask(deployment, "CONFIG", "SET", "maxmemory", "1mb")
    await last(deployment)
    await ask(deployment, "CONFIG", "SET", "maxmemory", "0")


async def read_only(deployment: Deployment) -> None:
    await ask(deployment, "REPLICAOF", "127.0.0.1", "1")
    await last(deployment)
    await ask(deployment, "REPLICAOF", "NO", "ONE")


async def too_few_replicas(deployment: Deployment) -> None:
    await ask(deployment, "CONFIG", "SET", "min-replicas-to-write", "3")
    await last(deployment)
    await ask(deployment, "CONFIG", "SET", "min-replicas-to-write", "0")


async def subscribers_cut(deployment: Deployment) -> None:
    for _ in range(deployment.random.randint(1, 5)):
        await ask(deployment, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.2)


async def subscribers_cut_a_hundred_times(deployment: Deployment) -> None:
    """Meanwhile pages open, show a room or two, and close at once."""
    passing = [asyncio.create_task(_pass_by(deployment)) for _ in range(5)]
    for _ in range(CUTS):
        await ask(deployment, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(deployment.random.uniform(0, 0.15))
    for task in passing:
        task.cancel()
    await asyncio.gather(*passing, return_exceptions=True)


async def _pass_by(deployment: Deployment) -> None:
    """Open a page, watch a room, perhaps another, and close it, over and over."""
    page = deployment.passer()
    while True:
        rooms = [room for room in deployment.rooms if room not in page.person.out]
        await page.glance(deployment.random.sample(rooms, deployment.random.randint(0, 2)))
        await asyncio.sleep(deployment.random.uniform(0, 0.05))


async def output_buffer_full(deployment: Deployment) -> None:
    """Publish a message larger than Redis's output buffer for a subscriber, so that Redis cuts the
    subscriber off in the middle of it."""
    limit = "client-output-buffer-limit"
    await ask(deployment, "CONFIG", "SET", limit, "pubsub 32kb 16kb 1")
    for room in deployment.rooms:
        await ask(deployment, "PUBLISH", f"chat:room:{room}", "~" + "x" * (8 << 20))
    await last(deployment, 0.5, 2)
    await ask(deployment, "CONFIG", "SET", limit, "pubsub 32mb 8mb 60")


async def failover(deployment: Deployment) -> None:
    """A planned failover: the replica has everything, and the old primary refuses writes on its
    connections."""
    await ask(deployment, "FAILOVER", "TO", "127.0.0.1", deployment.replica.port)
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(deployment.replica.client.info, "replication"))[
            "role"
        ] != "master":
            await asyncio.sleep(0.05)
    await last(deployment, 0.2, 2)
    await deployment.repoint()


async def failover_to_a_replica_that_lags(deployment: Deployment) -> None:
    """Events that the replica lacks are lost. This is a known limit, and every page must show the
    loss."""
    await asyncio.to_thread(
        deployment.replica.client.execute_command, "REPLICAOF", "127.0.0.1", "1"
    )
    await last(deployment, 0.5, 1.5)
    deployment.primary.kill()
    await asyncio.to_thread(deployment.replica.client.execute_command, "REPLICAOF", "NO", "ONE")
    await asyncio.sleep(0.2)  # so that what the hosts have sent arrives
    deployment.journal.write("harness", "lost")
    await deployment.repoint()


async def clock_set_back(deployment: Deployment) -> None:
    deployment.primary.clock.set(-3600)
    await last(deployment, 2, 4)
    deployment.primary.clock.set(0)
    await asyncio.sleep(1.5)


async def disk_full(deployment: Deployment) -> None:
    await asyncio.to_thread(deployment.primary.fill_disk)
    await last(deployment, 2, 5)
    deployment.primary.empty_disk()


# The network


async def host_cut_from_redis(deployment: Deployment) -> None:
    link = deployment.random.choice(deployment.links)
    link.cut()
    await last(deployment)
    link.heal()


async def host_half_open_to_redis(deployment: Deployment) -> None:
    """Nothing arrives, and neither end is notified. The host must detect this."""
    deployment.random.choice(deployment.links).stall()
    await last(deployment, 0.5, 1)


async def redis_far_away(deployment: Deployment) -> None:
    for link in deployment.links:
        link.latency = deployment.random.uniform(0.05, 0.3)
    await last(deployment, 2, 4)
    for link in deployment.links:
        link.latency = 0.0


async def line_to_redis_slow(deployment: Deployment) -> None:
    """Limit each host to 400 KB/s while a page fetches the long messages that it lacks. That takes
    longer, but nothing is refused meanwhile."""
    page = deployment.random.choice(deployment.present)
    page.sleep()
    await _say_long(deployment, page)
    begun = deployment.journal.write("harness", "narrow")
    for link in deployment.links:
        link.rate = NARROW
    page.awake.set()
    try:
        async with asyncio.timeout(30):
            while page.newest < begun:
                await asyncio.sleep(0.05)
    finally:
        for link in deployment.links:
            link.rate = 0.0
    refused = [
        r["why"] for r in deployment.journal.records if r["op"] == "refused" and r["t"] > begun
    ]
    assert not refused, f"{len(refused)} messages were refused: {refused[:2]}"


async def _say_long(deployment: Deployment, absent: Page) -> None:
    """Others send long messages to the room of a page."""
    for _ in range(LONG_MESSAGES):
        loud = [page for page in deployment.present if page.room == absent.room and page.socket]
        if loud:
            deployment.random.choice(loud).send("x" * 3900)
        await asyncio.sleep(0.005)
    async with asyncio.timeout(20):
        while any(
            len(body) > 3900 for page in deployment.pages for _, body in page.pending.values()
        ):
            await asyncio.sleep(0.05)


async def network_to_redis_gone(deployment: Deployment) -> None:
    """As if the cable were unplugged: no packet arrives, and neither end is notified."""
    await _lose(deployment.random.choice(deployment.spaces).back, deployment)


async def answers_of_redis_lost(deployment: Deployment) -> None:
    """Redis runs the commands of a host, but its answers are lost."""
    await _lose(deployment.random.choice(deployment.spaces).back, deployment, from_host=False)


async def network_to_redis_narrow(deployment: Deployment) -> None:
    """Limit the network to 256 kbit/s, less than what is published."""
    wire = deployment.random.choice(deployment.spaces).back
    await asyncio.to_thread(wire.narrow)
    await last(deployment, 3, 6)
    await asyncio.to_thread(wire.heal)


async def network_to_browsers_gone(deployment: Deployment) -> None:
    await _lose(deployment.random.choice(deployment.spaces).front, deployment)


async def _lose(wire: Wire, deployment: Deployment, from_host: bool = True) -> None:
    await asyncio.to_thread(wire.lose, True, from_host)
    await last(deployment, 2, 8)
    await asyncio.to_thread(wire.heal)


async def browsers_cut(deployment: Deployment) -> None:
    front = deployment.random.choice(deployment.fronts)
    front.cut()
    await last(deployment)
    front.heal()


async def browsers_half_open(deployment: Deployment) -> None:
    front = deployment.random.choice(deployment.fronts)
    front.stall()
    await last(deployment, 2, 5)
    front.heal()


async def browsers_far_away(deployment: Deployment) -> None:
    for front in deployment.fronts:
        front.latency = deployment.random.uniform(0.1, 0.5)
    await last(deployment, 2, 4)
    for front in deployment.fronts:
        front.latency = 0.0


async def reconnect_storm(deployment: Deployment) -> None:
    for front in deployment.fronts:
        front.drop()
