"""Our own listener, and the running of one worker process under Hypercorn.

Hypercorn's own runner neither closes websockets when it stops nor always ends (its issue 308);
and more than one of its workers stop together when one dies. So a supervisor starts processes
that each `run` one worker on a socket of their own.
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

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Sockets

from . import seam
from .asgi import Bridge
from .wsstream import Settings

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
    stop: asyncio.Event,
    drain: float = 3.0,
    config: dict[str, Any] | None = None,
) -> None:
    """Serve `bridge` on `sock` until `stop` is set, then send everyone away and return.

    drain: seconds over which the websockets are closed.
    config: settings that differ from `wsstream.Settings`.
    Returns within `drain` and about ten seconds, whatever clients and routes do. Raises
    `hypercorn.utils.LifespanFailureError` when the bridge's startup fails.
    """
    seam.install()
    settings = _settings(config)
    loop = asyncio.get_running_loop()
    aborts: list[asyncio.TimerHandle] = []

    async def stopped() -> None:
        await stop.wait()
        await bridge.drain(drain)
        # From Python 3.12 on Hypercorn waits for every connection to end before it goes on.
        aborts.extend(loop.call_later(LINGER * i, seam.abort_connections) for i in (1, 2))

    server = loop.create_task(
        worker_serve(
            ASGIWrapper(bridge),  # type: ignore[arg-type]
            settings,
            sockets=_sockets(settings, sock),
            shutdown_trigger=stopped,
        )
    )
    stopping = loop.create_task(stop.wait())
    await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not server.done():
        await asyncio.wait({server}, timeout=drain + 7.0 + settings.shutdown_timeout)
    for abort in aborts:
        abort.cancel()
    if not stop.is_set():
        server.result()
    elif not server.done():
        log.error("gave up waiting for Hypercorn to end")
        server.cancel()
    elif not server.cancelled() and server.exception() is not None:
        log.error("Hypercorn ended with an error", exc_info=server.exception())


def run(
    make_bridge: Callable[[], Any],
    sock: socket.socket,
    *,
    loop: str = "uvloop",
    drain: float = 3.0,
    config: dict[str, Any] | None = None,
) -> None:
    """Run one worker process until SIGTERM or SIGINT.

    make_bridge: called inside the running loop; returns a `Bridge`, or an awaitable of one.
    loop: "uvloop" (asyncio where it is not installed) or "asyncio".
    drain, config: as for `serve`.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.run(_main(make_bridge, sock, drain, config))


async def _main(
    make_bridge: Callable[[], Any],
    sock: socket.socket,
    drain: float,
    config: dict[str, Any] | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bridge = make_bridge()
    if inspect.isawaitable(bridge):
        bridge = await bridge
    await serve(bridge, sock, stop=stop, drain=drain, config=config)


def _settings(config: dict[str, Any] | None) -> Settings:
    settings = Settings()
    settings.errorlog = logging.getLogger("hypercorn.error")
    for name, value in (config or {}).items():
        if not hasattr(Settings, name):
            raise TypeError(f"unknown server setting: {name}")
        setattr(settings, name, value)
    return settings


def _sockets(settings: Settings, sock: socket.socket) -> Sockets:
    if settings.ssl_enabled:
        return Sockets([sock], [], [])
    return Sockets([], [sock], [])


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
