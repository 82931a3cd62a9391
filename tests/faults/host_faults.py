"""Faults of hosts, that is, of their processes and clocks."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from ..running import Server, alive, children, cmdline
from .deployment import Deployment
from .faults import last
from .noscript import Frame

REPLACED_WITHIN = 30.0  # seconds after which a process that hangs must have been replaced
CLOCKS_APART = 30  # seconds between the two hosts
STEADY = 25.0  # seconds; longer than a silent page counts as present
FRAMES = 12


async def worker_killed(deployment: Deployment) -> None:
    host = deployment.random.choice(deployment.hosts)
    os.kill(deployment.random.choice(host.workers()), signal.SIGKILL)


async def rolling_restart(deployment: Deployment) -> None:
    for host in deployment.hosts:
        await deployment.restart(host)


async def workers_replaced(deployment: Deployment) -> None:
    """Run `chat reload` host by host: new workers replace the old ones."""
    for host in deployment.hosts:
        old = set(host.workers())
        host.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(40):
            while old & set(host.workers()) or not host.workers():
                await asyncio.sleep(0.05)


async def worker_stopped(deployment: Deployment) -> None:
    """A worker hangs, and another one replaces it."""
    host = deployment.random.choice(deployment.hosts)
    await _stop(host, deployment.random.choice(host.workers()), host.workers)


async def worker_stopped_for_a_while(deployment: Deployment) -> None:
    """A worker gets no processor time, as on a machine that is too busy, and then continues."""
    pid = deployment.random.choice(deployment.random.choice(deployment.hosts).workers())
    os.kill(pid, signal.SIGSTOP)
    await last(deployment, 2, 5)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def indexer_stopped(deployment: Deployment) -> None:
    """The indexer hangs, and another one replaces it."""
    host = deployment.random.choice(deployment.hosts)
    async with asyncio.timeout(10):  # it may have just been replaced
        while not _indexers(host):
            await asyncio.sleep(0.1)
    await _stop(host, _indexers(host)[0], lambda: _indexers(host))


def _indexers(host: Server) -> list[int]:
    assert host.process is not None
    return [p for p in children(host.process.pid) if b"chat\0indexer\0" in cmdline(p)]


async def _stop(host: Server, pid: int, processes: Callable[[], list[int]]) -> None:
    """Stop a process of a host, and wait until it has ended and others have replaced it."""
    count = len(processes())
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(REPLACED_WITHIN):
            while alive(pid) or len(processes()) < count:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{host.data.name} has not replaced {pid}, which hangs") from None
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def reloads_while_frames_are_open(deployment: Deployment) -> None:
    """Run `chat reload` twice on each host while some people read in browsers without JavaScript.
    Each frame continues by itself."""
    frames = [_open_frame(deployment, number) for number in range(FRAMES)]
    tasks = [asyncio.create_task(frame.run()) for frame in frames]
    await asyncio.sleep(1)
    for _ in range(2):
        await workers_replaced(deployment)
        await asyncio.sleep(0.5)
    now = deployment.journal.write("harness", "reloaded")
    late: list[Frame] = frames
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while late := [f for f in frames if not f.ended and f.newest < now]:
                await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ended = [f"{frame.name}: {frame.ended}" for frame in frames if frame.ended]
    assert not ended, f"{len(ended)} of {FRAMES} frames ended for good: {ended[:3]}"
    assert not late, f"{len(late)} of {FRAMES} frames show nothing new"


def _open_frame(deployment: Deployment, number: int) -> Frame:
    page = deployment.random.choice(deployment.present)
    port = deployment.fronts[number % len(deployment.fronts)].port
    name = f"frame{len(deployment.frames)}"
    frame = Frame(name, page.person, page.room, port, deployment.journal)
    deployment.frames.append(frame)
    return frame


async def clocks_apart(deployment: Deployment) -> None:
    """The clocks of the hosts differ by 30 s. A third of the people leave, which every page must
    show, and come back. While nobody comes or goes, no page may show a change."""
    deployment.clocks[-1].set(CLOCKS_APART)
    try:
        away = deployment.random.sample(deployment.people, max(1, len(deployment.people) // 3))
        pages = [page for page in deployment.pages if page.person in away]
        for page in pages:
            page.sleep()
        async with deployment.steady():
            await asyncio.sleep(STEADY)
        for page in pages:
            page.awake.set()
        await deployment.settled(60.0)
    finally:
        deployment.clocks[-1].set(0)
