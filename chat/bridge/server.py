"""Runs one server with Hypercorn's parts, on a running event loop or in a process of its own.

Hypercorn's own runner does not close websockets when it stops, does not always end (its issue 308),
accepts connections until it has ended, and stops all its workers when one dies. So start processes
that each `run` one worker, on a socket of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sniffio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.typing import LifespanState

from . import patches
from .bridge import Bridge
from .config import ServerSettings
from .connection import Connection
from .wsgi import all_done

log = logging.getLogger(__name__)

LINGER_SECONDS = 1.0
"""How long connections have to end by themselves after `Bridge.drain`."""


async def serve(
    bridge: Bridge,
    sock: socket.socket,
    *,
    stop: asyncio.Future[bool],
    ready: Callable[[], None] = lambda: None,
    drain: float = 3.0,
    config: dict[str, Any] | None = None,
) -> None:
    """Serve `bridge` on `sock` until `stop` is done, then drain it and return.

    stop: its result says whether another process serves the same address from now on. Then idle
        connections are kept for as long as usual, so that no request meets one that closes.
    ready: called when connections are accepted.
    drain: seconds over which the websockets are closed.
    config: settings that differ from `ServerSettings`.
    Returns within `drain` and about twelve seconds, whatever clients and routes do. Raises
    `hypercorn.utils.LifespanFailureError` when the bridge's startup fails.
    """
    patches.install()
    settings, loop = _settings(config), asyncio.get_running_loop()
    app, state, context = ASGIWrapper(bridge), LifespanState(), WorkerContext(None)  # type: ignore[arg-type]
    lifespan = Lifespan(app, settings, loop, state)
    living = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if living.done():
        living.result()

    connections: set[Connection] = set()
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await Connection(app, loop, settings, context, state, reader, writer, registry=connections)

    tls: dict[str, Any] = {}
    if settings.ssl_enabled:
        tls = {"ssl": settings.create_ssl_context()}
        tls["ssl_handshake_timeout"] = settings.ssl_handshake_timeout
    server = await asyncio.start_server(connected, sock=sock, backlog=settings.backlog, **tls)
    ready()
    replaced = await stop
    since = loop.time()
    # New connections wait in the kernel for the processes that still listen.
    server.close()
    await bridge.drain(drain, replaced)
    if replaced:
        left = since + settings.keep_alive_timeout + LINGER_SECONDS - loop.time()
        await all_done(tasks, left)
    await bridge.end()
    await context.terminated.set()  # connections end with their next answer
    for connection in list(connections):
        connection.end_if_idle()
    for _ in range(2):
        await all_done(tasks, LINGER_SECONDS)
        for connection in list(connections):
            connection.writer.transport.abort()
    await lifespan.wait_for_shutdown()
    living.cancel()
    await asyncio.wait({living}, timeout=1.0)


def run(
    make_bridge: Callable[[], Any],
    sock: socket.socket,
    *,
    ready: Callable[[], None] = lambda: None,
    loop: str = "uvloop",
    drain: float = 3.0,
    config: dict[str, Any] | None = None,
) -> None:
    """Run one worker process until SIGTERM or SIGINT, or SIGHUP when another has taken over.

    make_bridge: called inside the running loop; returns a `Bridge`, or an awaitable of one.
    loop: "uvloop" (asyncio where it is not installed) or "asyncio".
    ready, drain, config: as for `serve`.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        serving = partial(serve, sock=sock, ready=ready, drain=drain, config=config)
        runner.run(_main(make_bridge, serving))


async def _main(make_bridge: Callable[[], Any], serving: Callable[..., Awaitable[None]]) -> None:
    # `await_` asks sniffio each time, which would look for the library: a third of the call.
    sniffio.thread_local.name = "asyncio"
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[bool] = loop.create_future()

    def set_stop(replaced: bool) -> None:
        if not stop.done():
            stop.set_result(replaced)

    loop.add_signal_handler(signal.SIGHUP, set_stop, True)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, set_stop, False)
    bridge = make_bridge()
    if inspect.isawaitable(bridge):
        bridge = await bridge
    await serving(bridge, stop=stop)


def _settings(config: dict[str, Any] | None) -> ServerSettings:
    settings = ServerSettings()
    settings.errorlog = logging.getLogger("hypercorn.error")
    for name, value in (config or {}).items():
        if not hasattr(ServerSettings, name):
            raise TypeError(f"unknown server setting: {name}")
        setattr(settings, name, value)
    return settings


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name not in {"uvloop", "asyncio"}:
        raise ValueError(f"loop must be 'uvloop' or 'asyncio', not {name!r}")
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            log.warning("uvloop is not installed: using asyncio")
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop
