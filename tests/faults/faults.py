"""The faults: each is caused, lasts a while, and is over when its function returns."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..clocks import FAKETIME
from .crowd import Person
from .stage import Stage
from .wires import Wire

Fault = Callable[[Stage], Awaitable[None]]


async def last(stage: Stage, shortest: float = 1.0, longest: float = 4.0) -> None:
    await asyncio.sleep(stage.random.uniform(shortest, longest))


async def ask(stage: Stage, *words: object) -> object:
    return await asyncio.to_thread(stage.primary.client.execute_command, *words)


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


async def output_buffer_full(stage: Stage) -> None:
    """A word larger than what Redis keeps for a subscriber: it is cut off in the middle of it."""
    limit = "client-output-buffer-limit"
    await ask(stage, "CONFIG", "SET", limit, "pubsub 32kb 16kb 1")
    for room in stage.rooms:
        await ask(stage, "PUBLISH", f"chat:room:{room}", "~" + "x" * (8 << 20))
    await last(stage, 0.5, 2)
    await ask(stage, "CONFIG", "SET", limit, "pubsub 32mb 8mb 60")


async def failover(stage: Stage) -> None:
    """Planned: the replica has all, and the old one refuses writes on the connections it has."""
    await ask(stage, "FAILOVER", "TO", "127.0.0.1", stage.replica.port)
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(stage.replica.client.info, "replication"))[
            "role"
        ] != "master":
            await asyncio.sleep(0.05)
    await last(stage, 0.2, 2)
    await stage.repoint()


async def failover_to_a_replica_that_lags(stage: Stage) -> None:
    """What the replica has not is lost: a known limit, of which every page must be told."""
    await asyncio.to_thread(stage.replica.client.execute_command, "REPLICAOF", "127.0.0.1", "1")
    await last(stage, 0.5, 1.5)
    stage.primary.kill()
    await asyncio.to_thread(stage.replica.client.execute_command, "REPLICAOF", "NO", "ONE")
    await asyncio.sleep(0.2)  # what had left the hosts arrives
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


# The hosts


async def worker_killed(stage: Stage) -> None:
    host = stage.random.choice(stage.hosts)
    os.kill(stage.random.choice(host.workers()), signal.SIGKILL)


async def rolling_restart(stage: Stage) -> None:
    for host in stage.hosts:
        await stage.restart(host)


async def workers_replaced(stage: Stage) -> None:
    """`chat reload`: new workers take over from the old ones, host by host."""
    for host in stage.hosts:
        old = set(host.workers())
        host.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(40):
            while old & set(host.workers()) or not host.workers():
                await asyncio.sleep(0.05)


# The network


async def host_cut_from_redis(stage: Stage) -> None:
    link = stage.random.choice(stage.links)
    link.cut()
    await last(stage)
    link.heal()


async def host_half_open_to_redis(stage: Stage) -> None:
    """Nothing comes and nobody is told; the host must find out."""
    stage.random.choice(stage.links).stall()
    await last(stage, 0.5, 1)


async def redis_far_away(stage: Stage) -> None:
    for link in stage.links:
        link.latency = stage.random.uniform(0.05, 0.3)
    await last(stage, 2, 4)
    for link in stage.links:
        link.latency = 0.0


async def network_to_redis_gone(stage: Stage) -> None:
    """As if the cable had been pulled out: no packet arrives, and nobody is told."""
    await _lose(stage.random.choice(stage.spaces).back, stage)


async def answers_of_redis_lost(stage: Stage) -> None:
    """What a host asks is done, and it is not told so."""
    await _lose(stage.random.choice(stage.spaces).back, stage, from_host=False)


async def network_to_redis_narrow(stage: Stage) -> None:
    """256 kbit/s, less than what is published."""
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


# The readers


async def readers_that_never_read(stage: Stage) -> None:
    """Some open a page of a room that gets loud, and take nothing of it: they are let go."""
    room, person = stage.random.choice(stage.rooms), stage.random.choice(stage.people)
    deaf = [await _deaf(stage, person, room) for _ in range(3)]
    loud = [page for page in stage.present if page.room == room and page.last][:3]
    for _ in range(160):
        for page in loud:
            page.send("x" * 3900)
        await asyncio.sleep(0.03)
    for reader, writer in deaf:
        writer.transport.resume_reading()
        async with asyncio.timeout(20):
            with suppress(OSError):
                while await reader.read(1 << 20):
                    pass
        writer.close()


async def _deaf(
    stage: Stage, person: Person, room: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = stage.random.choice(stage.hosts)
    reader, writer = await asyncio.open_connection(host.address, host.port, limit=1024)
    writer.write(
        f"GET /live HTTP/1.1\r\nHost: {host.address}:{host.port}\r\nOrigin: {host.url}\r\n"
        f"Cookie: {person.cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
    )
    said = f'{{"type": "watch", "room": "{room}", "after": ""}}'.encode()
    assert len(said) < 126
    await asyncio.sleep(0.3)
    writer.write(bytes((0x81, 0x80 | len(said), 0, 0, 0, 0)) + said)
    writer.transport.pause_reading()
    return reader, writer


async def people_leave_and_join(stage: Stage) -> None:
    """No fault, but what happens meanwhile: who is out of a room is shown nothing of it."""
    page = stage.random.choice(stage.present)
    with suppress(OSError, TimeoutError):
        await stage.leave(page)
    await last(stage, 2, 3)
    await stage.join(page)


FAULTS: list[Fault] = [
    redis_killed_and_restarted,
    redis_stopped,
    redis_slow,
    out_of_memory,
    read_only,
    too_few_replicas,
    subscribers_cut,
    output_buffer_full,
    failover,
    failover_to_a_replica_that_lags,
    clock_set_back,
    disk_full,
    worker_killed,
    rolling_restart,
    workers_replaced,
    host_cut_from_redis,
    host_half_open_to_redis,
    redis_far_away,
    network_to_redis_gone,
    answers_of_redis_lost,
    network_to_redis_narrow,
    network_to_browsers_gone,
    browsers_cut,
    browsers_half_open,
    browsers_far_away,
    reconnect_storm,
    readers_that_never_read,
    people_leave_and_join,
]

# Those that reach into the database by its own commands, and so cannot happen with another fault
# of the database at the same time.
OF_THE_DATABASE = FAULTS[:12]
# Those for which each host has a network of its own.
OF_THE_WIRES = [
    network_to_redis_gone,
    answers_of_redis_lost,
    network_to_redis_narrow,
    network_to_browsers_gone,
]


def name(fault: Fault) -> str:
    return fault.__name__.replace("_", " ")


def why_not(fault: Fault, stage: Stage) -> str:
    """Why a fault cannot be caused here, or ""."""
    if fault is clock_set_back and not FAKETIME:
        return "libfaketime is not installed"
    if fault is disk_full and not stage.primary.small_disk:
        return "only root may mount a small disk"
    if fault in OF_THE_WIRES and not stage.spaces:
        return "network namespaces take root (CAP_NET_ADMIN) and iproute2"
    return ""
