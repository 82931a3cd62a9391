"""The network between a browser and the chat, for tests that do not run on a loop: slow, or cut."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from .. import proxy


class Proxy(proxy.Proxy):
    """Passes on to a port of this machine, on a thread of its own. `latency` is only what a
    websocket's bytes take each way, and `slow` what a request takes whose line holds a text, both
    in seconds.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.slow: dict[bytes, float] = {}
        self.sockets: set[proxy.End] = set()  # ends of websockets
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._do(self.start())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._do(self._cut())

    def close(self) -> None:
        self._do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def delay(self, end: proxy.End, data: bytes) -> float:
        if data.startswith(b"GET /live "):
            self.sockets |= {end, end.other}
        line = data.partition(b"\r\n")[0]
        wait = self.latency if end in self.sockets else 0.0
        return max([wait, *(time for text, time in self.slow.items() if text in line)])

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _cut(self) -> None:
        super().cut()

    async def _close(self) -> None:
        self.server.close()
        super().cut()
        # What was aborted is closed in the next turns of the loop.
        while self.ends:  # noqa: ASYNC110
            await asyncio.sleep(0)
