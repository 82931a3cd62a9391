"""What one turn of the event loop costs: the chat in this process, on a real database and with a
real child that renders, and the Python calls of each turn counted.

A call takes some 50 to 100 ns, and the number of calls is the same on every machine, busy or not.
"""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import time
from asyncio import events
from collections.abc import Callable
from functools import partial
from typing import Any

import greenback

from chat.app import create_app
from chat.bridge import await_
from chat.config import Settings
from chat.redis_client.client import LoopRedis
from chat.redis_client.topology import SingleServer
from chat.redis_client.urls import connect
from chat.rendering.text_renderer import TextRenderer
from chat.store import Store

from ..running import ROOT

CHILD = """
import socket, sys
from chat.rendering.text_renderer import serve
serve(socket.socket(fileno=int(sys.argv[1])))
"""


class Turns:
    """The largest turn of the loop since `reset`. calls: Python calls in it, and calls from
    Python; seconds: of processor time; what: the function at which it began."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls, self.seconds, self.what = 0, 0.0, ""

    @contextlib.contextmanager
    def counted(self):
        """Count until the end of the block."""
        run, present = events.Handle._run, [0]

        def count(*_: Any) -> None:
            present[0] += 1

        def counted_run(handle: Any) -> None:
            present[0], start = 0, time.thread_time()
            sys.setprofile(count)
            try:
                run(handle)
            finally:
                sys.setprofile(None)
            if present[0] > self.calls:
                self.calls, self.seconds = present[0], time.thread_time() - start
                self.what = repr(handle)[:200]

        events.Handle._run = counted_run
        try:
            yield
        finally:
            events.Handle._run = run


class Chat:
    """The application and what it needs, on the running loop. `call` runs a function in a greenlet
    as a request's is."""

    def __init__(self, url: str, folder) -> None:
        self.where = SingleServer(url)
        self.redis = LoopRedis(connect(url), await_)
        self.texts = TextRenderer(self._child)
        settings = Settings(redis_url=url, secret_key="x" * 32, data=folder, limits=False)
        self.app = create_app(settings, Store(self.redis), self.where, self.texts)
        self.app.config["WTF_CSRF_ENABLED"] = False
        self.children: list[subprocess.Popen[bytes]] = []
        self.listening = asyncio.create_task(self.app.realtime.subscriber.run())

    def _child(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", CHILD, str(theirs.fileno())]
            self.children.append(subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT))
        return ours

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        portal = greenback.with_portal_run_sync
        return await asyncio.create_task(portal(partial(function, *args, **kwargs)))

    async def person(self, name: str) -> "Person":
        client = self.app.test_client()
        await self.call(client.post, "/sign-in", data={"name": name})
        page = await self.call(client.get, "/")
        return Person(self, client, re.search(r"/me\.css\?([\w-]+)", page.text)[1])

    async def close(self) -> None:
        self.listening.cancel()
        await asyncio.gather(self.listening, return_exceptions=True)
        self.texts.close()
        await self.redis.aclose()
        await self.where.aclose()
        for child in self.children:
            await asyncio.to_thread(child.wait)


class Person:
    def __init__(self, chat: Chat, client: Any, uid: str) -> None:
        self.chat, self.client, self.uid = chat, client, uid

    async def get(self, path: str, **kwargs: Any) -> Any:
        return await self.chat.call(self.client.get, path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> Any:
        return await self.chat.call(self.client.post, path, **kwargs)
