"""Messages that wait to be sent where the server offers no direct way to the connection."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Callable

from .wsgi import Send, spawn

log = logging.getLogger(__name__)


class SendQueue:
    """Sends text messages one after the other, in a task that ends when there are none left.

    on_failure: called when a message could not be sent, unless the connection is closed. The rest
        is dropped, because the client must not get later messages without this one.
    """

    __slots__ = ("_items", "_on_failure", "_send", "_task", "chars")

    def __init__(self, send: Send, on_failure: Callable[[], object]) -> None:
        self._send = send
        self._on_failure = on_failure
        # Texts to send, and what to call or set once everything before it has been sent.
        self._items: deque[str | Callable[[], object] | asyncio.Future[None]] | None = None
        self._task: asyncio.Future[None] | None = None
        self.chars = 0
        """Characters of the messages that have not been sent yet."""

    def put(self, text: str) -> None:
        """Add a message."""
        if self._items is None:
            self._items = deque()
        self._items.append(text)
        self.chars += len(text)
        if self._task is None:
            self._task = spawn(self._run())

    def call_after(self, function: Callable[[], object]) -> bool:
        """Call a function when everything in the queue has been sent. Returns False if the queue is
        empty."""
        if self._items is None:
            return False
        self._items.append(function)
        return True

    def drop(self) -> None:
        """Send nothing more."""
        self._items = None

    async def flush(self, timeout: float | None) -> None:
        """Wait until everything in the queue has been sent or dropped, at most `timeout` seconds
        (None: without limit)."""
        if self._items is None or self._task is None:
            return
        sent = asyncio.get_running_loop().create_future()
        self._items.append(sent)
        # `drop` ends the task.
        await asyncio.wait({sent, self._task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def _run(self) -> None:
        try:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, str):
                    await self._send({"type": "websocket.send", "text": item})
                    self.chars -= len(item)
                elif not isinstance(item, asyncio.Future):
                    item()
                elif not item.done():
                    item.set_result(None)
        except OSError:
            log.debug("the connection was closed before all messages were sent")
        except Exception as error:
            log.error("cannot send a message: %s", _without_text(error))
            self._items = None
            self._on_failure()
        finally:
            self._items = None
            self.chars = 0
            self._task = None


def _without_text(error: BaseException) -> str:
    """Return the type of the error and where it was raised. Its text is left out, because it may
    quote the message."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
