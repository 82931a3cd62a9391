"""A worker: one server process, in which the whole application runs on one event loop."""

import asyncio
import gc
import logging
import os
import signal
import socket
from functools import partial
from typing import Any

from jinja2 import Environment

from ..app import create_app
from ..bridge import Bridge, await_, run, spawn
from ..config import Settings, is_in
from ..observability import metrics
from ..observability.once_per_minute import OutageFilter
from ..observability.request_ids import IdentifiedBridge
from ..realtime.parts import Realtime
from ..redis_client.client import LoopRedis
from ..redis_client.cluster import LoopCluster
from ..redis_client.topology import ClusterTopology, SingleServer, Topology
from ..redis_client.urls import connect, is_cluster
from ..rendering.local_time import zones
from ..rendering.text_renderer import TextRenderer, serve
from ..runtime.fork_server import ForkServer
from ..runtime.heartbeat import Heartbeat
from ..store import Store
from ..web import security_headers

log = logging.getLogger(__name__)

# For gc.set_threshold: the number of new container objects after which the youngest generation is
# collected, of its collections after which the middle one is, and of those after which the oldest
# is.
GC_THRESHOLDS = 5_000, 10, 40
MAX_PONG_SECONDS = 10.0  # for a page to answer a ping


def main(settings: Settings, listener: int, lifeline: int, replaced: int, heartbeat: int) -> None:
    """Serve until SIGTERM, or until the supervisor dies. All arguments but the first are file
    descriptors that the supervisor passes on.

    listener: the listening socket.
    lifeline: a pipe whose other end closes when the supervisor dies.
    replaced: the counts of replaced processes (chat.observability.replaced_processes).
    heartbeat: a pipe to which the event loop writes a byte each second once it accepts connections.
    """
    metrics.count_replaced(replaced)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OutageFilter())
    children = ForkServer.start(serve)
    loop = "asyncio" if os.environ.get("CHAT_LOOP") == "asyncio" else "uvloop"
    sock = socket.socket(fileno=listener)
    config = {
        "h2c": settings.h2c,
        **security_headers.server_settings(settings.secure),
        "direct_writes": os.environ.get("CHAT_DIRECT") != "off",
        "websocket_ping_interval": float(settings.ping_seconds),
        "websocket_pong_timeout": min(MAX_PONG_SECONDS, settings.ping_seconds),
    }
    bridge = partial(_bridge, settings, lifeline, children)
    run(bridge, sock, ready=partial(_beat, Heartbeat(heartbeat)), loop=loop, config=config)


def _bridge(settings: Settings, lifeline: int, children: ForkServer) -> Bridge:
    """Return the ASGI application. Must be called on the event loop."""
    asyncio.get_running_loop().add_reader(lifeline, _supervisor_died, lifeline)
    topology, client = _redis(settings.redis_url)
    texts = TextRenderer(children.connect)
    app = create_app(settings, Store(client), topology, texts)
    warm_up(app.jinja_env)
    app.problems.append(
        lambda: "not subscribed to Redis yet" * (not app.realtime.subscriber.connected)
    )
    app.problems.append(lambda: "The fork server does not answer" * children.is_late)
    app.problems.append(lambda: "The text renderer does not answer" * texts.is_late)
    tasks: list[asyncio.Task[Any]] = []

    async def startup() -> None:
        coroutines = [task.run() for task in app.background]
        # Without the fork server, messages would be shown as they were typed as soon as the child
        # that renders them ends. So this worker stops, and the supervisor starts another.
        coroutines.append(children.watch(partial(_stop, "The fork server has ended")))
        for coroutine in coroutines:
            tasks.append(asyncio.create_task(coroutine))
            tasks[-1].add_done_callback(_log_failure)
        _collect_less_often()

    async def shutdown() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        texts.close()
        children.close()
        await client.aclose()
        await topology.aclose()

    _watch(app.realtime)
    is_proxy = partial(is_in, networks=settings.proxies)
    is_json = settings.log == "json"
    make = partial(IdentifiedBridge, is_proxy=is_proxy) if is_json else Bridge
    return make(app, startup=startup, shutdown=shutdown, on_slow_reader=metrics.SLOW.inc)


def warm_up(templates: Environment) -> None:
    """Do work that is slow the first time: compile all templates, and load the list of time zones.
    Compiling a template when a page first needs it held the event loop for up to 56 ms. Compiling
    all 60 takes about 130 ms. (The lexers for highlighted code are imported by the process that
    renders texts.)"""
    for name in templates.list_templates():
        templates.get_template(name)
    zones()


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Log the error of a background task. Nobody awaits the task, so nobody else would see the
    error."""
    if not task.cancelled() and (error := task.exception()):
        log.critical("%s has failed and has stopped", task.get_coro(), exc_info=error)


def _redis(url: str) -> tuple[Topology, LoopRedis | LoopCluster]:
    """Return the topology and the client."""
    if is_cluster(url):
        cluster = ClusterTopology(url)
        return cluster, LoopCluster(cluster, await_)
    return SingleServer(url), LoopRedis(connect(url), await_)


def _watch(live: Realtime) -> None:
    """Export the state of the hub as metrics."""
    metrics.PAGES.set_function(live.hub.count_pages)
    metrics.ROOMS.set_function(lambda: len(live.hub.rooms))
    metrics.VIEWERS.set_function(live.hub.count_room_viewers)
    metrics.SUBSCRIPTIONS.set_function(lambda: len(live.subscriber.channels.names))
    metrics.REDIS.set_function(lambda: live.subscriber.connected)


def _collect_less_often() -> None:
    """Collect garbage in long-lived objects less often. By default, Python searches all of them
    whenever their number has grown by a quarter. While 10,000 pages reconnected, that took a
    quarter of the time, in pauses of half a second. Now it happens at most once per two million new
    objects, and never for objects that existed when the process started. Closed connections must
    not wait for it, so they are in no reference cycles (chat.bridge.connection)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _beat(heartbeat: Heartbeat) -> None:
    """Send heartbeats until the process ends, also while it drains."""
    spawn(heartbeat.run())


def _supervisor_died(lifeline: int) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    _stop("The supervisor has ended")


def _stop(why: str) -> None:
    log.warning("%s: stopping", why)
    os.kill(os.getpid(), signal.SIGTERM)
