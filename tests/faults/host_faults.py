"""Faults of hosts, that is, of their processes and clocks."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from ..running import Server, alive, children, cmdline
from .faults import last
from .noscript import Frame
from .stage import Stage

REPLACED_WITHIN = 30.0  # seconds after which a process that hangs must have been replaced
CLOCKS_APART = 30  # seconds between the two hosts
STEADY = 25.0  # seconds; longer than a silent page counts as present
FRAMES = 12


async def worker_killed(stage: Stage) -> None:
    host = stage.random.choice(stage.hosts)
    os.kill(stage.random.choice(host.workers()), signal.SIGKILL)


async def rolling_restart(stage: Stage) -> None:
    for host in stage.hosts:
        await stage.restart(host)


async def workers_replaced(stage: Stage) -> None:
    """Run `chat reload` host by host: new workers replace the old ones."""
    for host in stage.hosts:
        old = set(host.workers())
        host.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(40):
            while old & set(host.workers()) or not host.workers():
                await asyncio.sleep(0.05)


async def worker_stopped(stage: Stage) -> None:
    """A worker hangs, and another one replaces it."""
    host = stage.random.choice(stage.hosts)
    await _stop(host, stage.random.choice(host.workers()), host.workers)


async def worker_stopped_for_a_while(stage: Stage) -> None:
    """A worker gets no processor time, as on a machine that is too busy, and then continues."""
    pid = stage.random.choice(stage.random.choice(stage.hosts).workers())
    os.kill(pid, signal.SIGSTOP)
    await last(stage, 2, 5)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def indexer_stopped(stage: Stage) -> None:
    """The indexer hangs, and another one replaces it."""
    host = stage.random.choice(stage.hosts)
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


async def reloads_while_frames_are_open(stage: Stage) -> None:
    """Run `chat reload` twice on each host while some people read in browsers without JavaScript.
    Each frame continues by itself."""
    frames = [_open_frame(stage, number) for number in range(FRAMES)]
    tasks = [asyncio.create_task(frame.run()) for frame in frames]
    await asyncio.sleep(1)
    for _ in range(2):
        await workers_replaced(stage)
        await asyncio.sleep(0.5)
    now = stage.journal.write("harness", "reloaded")
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


def _open_frame(stage: Stage, number: int) -> Frame:
    page = stage.random.choice(stage.present)
    port = stage.fronts[number % len(stage.fronts)].port
    name = f"frame{len(stage.frames)}"
    frame = Frame(name, page.person, page.room, port, stage.journal)
    stage.frames.append(frame)
    return frame


async def clocks_apart(stage: Stage) -> None:
    """The clocks of the hosts differ by 30 s. A third of the people leave, which every page must
    show, and come back. While nobody comes or goes, no page may show a change."""
    stage.clocks[-1].set(CLOCKS_APART)
    try:
        away = stage.random.sample(stage.people, max(1, len(stage.people) // 3))
        pages = [page for page in stage.pages if page.person in away]
        for page in pages:
            page.sleep()
        async with stage.steady():
            await asyncio.sleep(STEADY)
        for page in pages:
            page.awake.set()
        await stage.settled(60.0)
    finally:
        stage.clocks[-1].set(0)
