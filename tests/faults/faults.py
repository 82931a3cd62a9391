"""Faults of the database and of the network. Each function causes a fault, waits a while, ends the
fault and returns."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from .crowd import Page
from .stage import Stage
from .wires import Wire

Fault = Callable[[Stage], Awaitable[None]]

CUTS = 100  # of the pub/sub connection, one after another
NARROW = 400_000  # bytes per second on a slow connection
LONG_MESSAGES = 300  # that a page lacks when it reconnects over a slow connection


async def last(stage: Stage, shortest: float = 1.0, longest: float = 4.0) -> None:
    await asyncio.sleep(stage.random.uniform(shortest, longest))


async def ask(stage: Stage, *words: object) -> None:
    """Send a command to every primary."""
    for client in await asyncio.to_thread(stage.clients):
        await asyncio.to_thread(client.execute_command, *words)


# The database


async def redis_killed_and_restarted(stage: Stage) -> None:
    stage.primary.kill()
    await last(stage, 0.5, 3)
    await asyncio.to_thread(stage.primary.start)


async def redis_stopped(stage: Stage) -> None:
    stage.primary.signal(signal.SIGSTOP)
    await last(stage, 1, 5)
    stage.primary.signal(signal.SIGCONT)


async def redis_slow(stage: Stage) -> None:
    for _ in range(3):
        await ask(stage, "DEBUG", "SLEEP", stage.random.uniform(0.3, 1.5))
        await asyncio.sleep(0.2)


async def out_of_memory(stage: Stage) -> None:
    await ask(stage, "CONFIG", "SET", "maxmemory", "1mb")
    await last(stage)
    await ask(stage, "CONFIG", "SET", "maxmemory", "0")


async def read_only(stage: Stage) -> None:
    await ask(stage, "REPLICAOF", "127.0.0.1", "1")
    await last(stage)
    await ask(stage, "REPLICAOF", "NO", "ONE")


async def too_few_replicas(stage: Stage) -> None:
    await ask(stage, "CONFIG", "SET", "min-replicas-to-write", "3")
    await last(stage)
    await ask(stage, "CONFIG", "SET", "min-replicas-to-write", "0")


async def subscribers_cut(stage: Stage) -> None:
    for _ in range(stage.random.randint(1, 5)):
        await ask(stage, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.2)


async def subscribers_cut_a_hundred_times(stage: Stage) -> None:
    """Meanwhile pages open, show a room or two, and close at once."""
    passing = [asyncio.create_task(_pass_by(stage)) for _ in range(5)]
    for _ in range(CUTS):
        await ask(stage, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(stage.random.uniform(0, 0.15))
    for task in passing:
        task.cancel()
    await asyncio.gather(*passing, return_exceptions=True)


async def _pass_by(stage: Stage) -> None:
    """Open a page, watch a room, perhaps another, and close it, over and over."""
    page = stage.passer()
    while True:
        rooms = [room for room in stage.rooms if room not in page.person.out]
        await page.glance(stage.random.sample(rooms, stage.random.randint(0, 2)))
        await asyncio.sleep(stage.random.uniform(0, 0.05))


async def output_buffer_full(stage: Stage) -> None:
    """Publish a message larger than Redis's output buffer for a subscriber, so that Redis cuts the
    subscriber off in the middle of it."""
    limit = "client-output-buffer-limit"
    await ask(stage, "CONFIG", "SET", limit, "pubsub 32kb 16kb 1")
    for room in stage.rooms:
        await ask(stage, "PUBLISH", f"chat:room:{room}", "~" + "x" * (8 << 20))
    await last(stage, 0.5, 2)
    await ask(stage, "CONFIG", "SET", limit, "pubsub 32mb 8mb 60")


async def failover(stage: Stage) -> None:
    """A planned failover: the replica has everything, and the old primary refuses writes on its
    connections."""
    await ask(stage, "FAILOVER", "TO", "127.0.0.1", stage.replica.port)
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(stage.replica.client.info, "replication"))[
            "role"
        ] != "master":
            await asyncio.sleep(0.05)
    await last(stage, 0.2, 2)
    await stage.repoint()


async def failover_to_a_replica_that_lags(stage: Stage) -> None:
    """Events that the replica lacks are lost. This is a known limit, and every page must show the
    loss."""
    await asyncio.to_thread(stage.replica.client.execute_command, "REPLICAOF", "127.0.0.1", "1")
    await last(stage, 0.5, 1.5)
    stage.primary.kill()
    await asyncio.to_thread(stage.replica.client.execute_command, "REPLICAOF", "NO", "ONE")
    await asyncio.sleep(0.2)  # so that what the hosts have sent arrives
    stage.journal.write("harness", "lost")
    await stage.repoint()


async def clock_set_back(stage: Stage) -> None:
    stage.primary.clock.set(-3600)
    await last(stage, 2, 4)
    stage.primary.clock.set(0)
    await asyncio.sleep(1.5)


async def disk_full(stage: Stage) -> None:
    await asyncio.to_thread(stage.primary.fill_disk)
    await last(stage, 2, 5)
    stage.primary.empty_disk()


# The network


async def host_cut_from_redis(stage: Stage) -> None:
    link = stage.random.choice(stage.links)
    link.cut()
    await last(stage)
    link.heal()


async def host_half_open_to_redis(stage: Stage) -> None:
    """Nothing arrives, and neither end is notified. The host must detect this."""
    stage.random.choice(stage.links).stall()
    await last(stage, 0.5, 1)


async def redis_far_away(stage: Stage) -> None:
    for link in stage.links:
        link.latency = stage.random.uniform(0.05, 0.3)
    await last(stage, 2, 4)
    for link in stage.links:
        link.latency = 0.0


async def line_to_redis_slow(stage: Stage) -> None:
    """Limit each host to 400 KB/s while a page fetches the long messages that it lacks. That takes
    longer, but nothing is refused meanwhile."""
    page = stage.random.choice(stage.present)
    page.sleep()
    await _say_long(stage, page)
    begun = stage.journal.write("harness", "narrow")
    for link in stage.links:
        link.rate = NARROW
    page.awake.set()
    try:
        async with asyncio.timeout(30):
            while page.newest < begun:
                await asyncio.sleep(0.05)
    finally:
        for link in stage.links:
            link.rate = 0.0
    refused = [r["why"] for r in stage.journal.records if r["op"] == "refused" and r["t"] > begun]
    assert not refused, f"{len(refused)} messages were refused: {refused[:2]}"


async def _say_long(stage: Stage, absent: Page) -> None:
    """Others send long messages to the room of a page."""
    for _ in range(LONG_MESSAGES):
        loud = [page for page in stage.present if page.room == absent.room and page.socket]
        if loud:
            stage.random.choice(loud).send("x" * 3900)
        await asyncio.sleep(0.005)
    async with asyncio.timeout(20):
        while any(len(body) > 3900 for page in stage.pages for _, body in page.pending.values()):
            await asyncio.sleep(0.05)


async def network_to_redis_gone(stage: Stage) -> None:
    """As if the cable were unplugged: no packet arrives, and neither end is notified."""
    await _lose(stage.random.choice(stage.spaces).back, stage)


async def answers_of_redis_lost(stage: Stage) -> None:
    """Redis runs the commands of a host, but its answers are lost."""
    await _lose(stage.random.choice(stage.spaces).back, stage, from_host=False)


async def network_to_redis_narrow(stage: Stage) -> None:
    """Limit the network to 256 kbit/s, less than what is published."""
    wire = stage.random.choice(stage.spaces).back
    await asyncio.to_thread(wire.narrow)
    await last(stage, 3, 6)
    await asyncio.to_thread(wire.heal)


async def network_to_browsers_gone(stage: Stage) -> None:
    await _lose(stage.random.choice(stage.spaces).front, stage)


async def _lose(wire: Wire, stage: Stage, from_host: bool = True) -> None:
    await asyncio.to_thread(wire.lose, True, from_host)
    await last(stage, 2, 8)
    await asyncio.to_thread(wire.heal)


async def browsers_cut(stage: Stage) -> None:
    front = stage.random.choice(stage.fronts)
    front.cut()
    await last(stage)
    front.heal()


async def browsers_half_open(stage: Stage) -> None:
    front = stage.random.choice(stage.fronts)
    front.stall()
    await last(stage, 2, 5)
    front.heal()


async def browsers_far_away(stage: Stage) -> None:
    for front in stage.fronts:
        front.latency = stage.random.uniform(0.1, 0.5)
    await last(stage, 2, 4)
    for front in stage.fronts:
        front.latency = 0.0


async def reconnect_storm(stage: Stage) -> None:
    for front in stage.fronts:
        front.drop()
