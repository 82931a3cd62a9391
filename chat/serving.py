"""Our own listener, and the running of one worker process under Hypercorn.

Hypercorn's own runner neither closes websockets when it stops nor always ends (its issue 308), and
goes on accepting until it has ended; more than one of its workers stop together when one dies. So a
supervisor starts processes that each `run` one worker on a socket of their own, with Hypercorn's
parts.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import sniffio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.typing import LifespanState

from . import seam
from .asgi import Bridge
from .environ import all_done
from .server_settings import ServerSettings

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections the kernel holds for us; with 100, a crowd that reconnects is turned away."""

USER_TIMEOUT = 20_000
"""Milliseconds sent data may stay unacknowledged before the kernel ends the connection."""

SEND_BUFFER = 128 * 1024
"""Bytes the kernel holds for a client that does not read; its own choice is megabytes."""

LINGER = 1.0
"""Seconds connections get to end by themselves, once everyone has been sent away."""


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a listening socket.

    host: a name, an IPv4 or an IPv6 address, brackets allowed; port: 0 for any free one;
    reuse_port: let other processes listen on the same address and share the connections.
    Raises OSError.
    """
    host = host.removeprefix("[").removesuffix("]")
    family, kind, proto, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


async def serve(
    bridge: Bridge,
    sock: socket.socket,
    *,
    stop: asyncio.Future[bool],
    ready: Callable[[], None] = lambda: None,
    drain: float = 3.0,
    config: dict[str, Any] | None = None,
) -> None:
    """Serve `bridge` on `sock` until `stop` is done, then send everyone away and return.

    stop: its result says whether another process serves the same address from now on. Then open
        connections are not closed before they have been idle for as long as ever, so that no
        request meets one that closes.
    ready: called when connections are accepted.
    drain: seconds over which the websockets are closed.
    config: settings that differ from `ServerSettings`.
    Returns within `drain` and about twelve seconds, whatever clients and routes do. Raises
    `hypercorn.utils.LifespanFailureError` when the bridge's startup fails.
    """
    seam.install()
    settings, loop = _settings(config), asyncio.get_running_loop()
    app, state, context = ASGIWrapper(bridge), LifespanState(), WorkerContext(None)  # type: ignore[arg-type]
    lifespan = Lifespan(app, settings, loop, state)
    living = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if living.done():
        living.result()

    connections: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        await seam.Connection(app, loop, settings, context, state, reader, writer)

    tls: dict[str, Any] = {}
    if settings.ssl_enabled:
        tls = {"ssl": settings.create_ssl_context()}
        tls["ssl_handshake_timeout"] = settings.ssl_handshake_timeout
    server = await asyncio.start_server(connected, sock=sock, backlog=settings.backlog, **tls)
    ready()
    replaced = await stop
    since = loop.time()
    # What is connecting just now waits in the kernel for the processes that still listen.
    server.close()
    await bridge.drain(drain)
    if replaced:
        left = since + settings.keep_alive_timeout + LINGER - loop.time()
        await all_done(connections, left)
    await bridge.end()
    await context.terminated.set()  # connections end with their next answer
    seam.end_idle()
    for _ in range(2):
        await all_done(connections, LINGER)
        seam.abort_connections()
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
        runner.run(_main(make_bridge, sock, ready, drain, config))


async def _main(
    make_bridge: Callable[[], Any],
    sock: socket.socket,
    ready: Callable[[], None],
    drain: float,
    config: dict[str, Any] | None,
) -> None:
    # Each `await_` of greenback asks sniffio, which would find it out anew: a third of the call.
    sniffio.thread_local.name = "asyncio"
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[bool] = loop.create_future()

    def told(replaced: bool) -> None:
        if not stop.done():
            stop.set_result(replaced)

    loop.add_signal_handler(signal.SIGHUP, told, True)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, False)
    bridge = make_bridge()
    if inspect.isawaitable(bridge):
        bridge = await bridge
    await serve(bridge, sock, stop=stop, ready=ready, drain=drain, config=config)


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
            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return asyncio.new_event_loop
