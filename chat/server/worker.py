"""One server process: the application, its hub and its subscriber on one event loop."""

import asyncio
import gc
import logging
import os
import signal
import socket
from functools import partial
from typing import Any

from ..app import create_app
from ..bridge.bridge import Bridge, await_
from ..bridge.server import run
from ..bridge.wsgi import spawn
from ..config import Settings
from ..observability import metrics
from ..observability.log_filter import Outage
from ..observability.request_ids import IdentifiedBridge
from ..realtime.parts import Realtime
from ..redis_client.client import LoopRedis
from ..redis_client.cluster import Cluster, LoopCluster
from ..redis_client.pubsub import Alone, Where
from ..redis_client.urls import connect, is_cluster
from ..rendering.text_renderer import TextRenderer, serve
from ..runtime.fork_server import ForkServer
from ..runtime.heartbeat import Heartbeat
from ..store import Store
from ..web import security_headers
from .warm_up import warm_up

log = logging.getLogger(__name__)

# Container objects that are new (less those that went) before the youngest generation is searched
# for cycles; how often that is done before the middle one is; and that before all are.
GENERATIONS = 5_000, 10, 40


def main(settings: Settings, listener: int, lifeline: int, replaced: int, heartbeat: int) -> None:
    """Serve on the listening socket with the file descriptor `listener` until SIGTERM, or until
    the other end of the pipe `lifeline` closes because the supervisor died. What `heartbeat` leads
    to is told once a second that the loop runs, from when connections are accepted. In `replaced`
    stands how many processes the supervisor has replaced."""
    metrics.count_replaced(replaced)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Outage())
    children = ForkServer.start(serve)
    loop = "asyncio" if os.environ.get("CHAT_LOOP") == "asyncio" else "uvloop"
    sock = socket.socket(fileno=listener)
    config = {
        "h2c": settings.h2c,
        **security_headers.server_settings(settings.secure),
        "direct_writes": os.environ.get("CHAT_DIRECT") != "off",
        "websocket_ping_interval": float(settings.ping_seconds),
        "websocket_pong_timeout": min(10.0, settings.ping_seconds),
    }
    bridge = partial(_bridge, settings, lifeline, children)
    run(bridge, sock, ready=partial(_beat, Heartbeat(heartbeat)), loop=loop, config=config)


def _bridge(settings: Settings, lifeline: int, children: ForkServer) -> Bridge:
    """The ASGI application; must be called on the event loop."""
    loop = asyncio.get_running_loop()
    loop.add_reader(lifeline, _supervisor_died, lifeline)
    where, client = _redis(settings.redis_url)
    texts = TextRenderer(children.connect)
    app = create_app(settings, Store(client), where, texts)
    warm_up(app.jinja_env)
    app.problems.append(
        lambda: "not subscribed to Redis yet" * (not app.realtime.subscriber.connected)
    )
    app.problems.append(lambda: "The process that forks does not answer" * children.is_late)
    app.problems.append(lambda: "The process that renders messages does not answer" * texts.is_late)
    tasks: list[asyncio.Task[Any]] = []

    async def startup() -> None:
        lasting = [task.run() for task in app.background]
        lasting.append(children.watch(_forking_ended))
        for coroutine in lasting:
            tasks.append(asyncio.create_task(coroutine))
            tasks[-1].add_done_callback(_tell_failure)
        _search_less()

    async def shutdown() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        texts.close()
        children.close()
        await client.aclose()
        await where.aclose()

    _watch(app.realtime)
    options: dict[str, Any] = {
        "startup": startup,
        "shutdown": shutdown,
        "on_slow_reader": metrics.SLOW.inc,
    }
    if settings.log == "json":
        return IdentifiedBridge(app, proxies=settings.proxies, **options)
    return Bridge(app, **options)


def _tell_failure(task: asyncio.Task[Any]) -> None:
    """What is to go on to the end of the process has ended: nobody waits for it, so nobody else
    would see why."""
    if not task.cancelled() and (error := task.exception()):
        log.critical("%s has failed and does not go on", task.get_coro(), exc_info=error)


def _redis(url: str) -> tuple[Where, LoopRedis | LoopCluster]:
    """Where what is, and who asks for it."""
    if is_cluster(url):
        cluster = Cluster(url)
        return cluster, LoopCluster(cluster, await_)
    return Alone(url), LoopRedis(connect(url), await_)


def _watch(live: Realtime) -> None:
    metrics.watch(
        pages=live.hub.count_pages,
        rooms=lambda: len(live.hub.rooms),
        room_viewers=live.hub.count_room_viewers,
        subscriptions=lambda: len(live.subscriber.channels.names),
        is_connected=lambda: live.subscriber.connected,
    )


def _search_less() -> None:
    """Search what lives long for cyclic garbage more rarely. By Python's own measure all of it is
    searched whenever it has grown by a quarter: while 10,000 pages came back that was a quarter of
    the work, in pauses of half a second. Now it is at most once for two million new objects,
    and never what was there when the process started. What goes must not wait for it: connections
    that are over hold nothing in cycles (chat.bridge.connection)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GENERATIONS)


def _beat(heartbeat: Heartbeat) -> None:
    """To the end: also while the process drains."""
    spawn(heartbeat.run())


def _supervisor_died(lifeline: int) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    log.warning("the supervisor is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


def _forking_ended() -> None:
    """Without the process that forks, messages would be shown as they were typed from the next end
    of a child on. The supervisor starts a new worker."""
    log.warning("the process that forks has ended: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
