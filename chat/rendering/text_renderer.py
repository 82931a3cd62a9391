"""Renders the texts of messages in a child process, so that they do not hold the event loop.

A long message takes milliseconds to render, and fifty that were written to be slow take longer than
a response may. So a child process renders texts with markup; it is killed and replaced if it does
not answer. The HTML is cached in memory by its text.

A caller in a greenlet waits for its text while the loop runs on. Code that must not wait (the hub)
has texts prepared first. People take turns: the next text belongs to the person who has used the
least processor time lately. So a thousand slow texts of one person do not delay another person's.
"""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from greenback import await_, has_portal
from markupsafe import Markup, escape

from ..domain.events import EDIT, POST, Event
from ..domain.mentions import Mentions
from . import markdown

log = logging.getLogger(__name__)

MAX_KEPT_CHARS = 8_000_000  # of cached texts and their HTML
ENTRY_CHARS = (
    400  # counted for each cached text in addition: the memory that even a short one takes
)
MAX_MEMORY_BYTES = 1 << 30  # of the child's address space
ANSWER_SECONDS = (
    10.0  # for one text, before the child is killed; a text takes a tenth of a second at most
)
LATE_SECONDS = 3.0  # for one text, after which `is_late` is True
START_SECONDS = 5.0  # for a new child to start, which takes some milliseconds
RETRY_SECONDS = 0.5  # between two attempts to start a child
GIVE_UP_SECONDS = 10.0  # without a child, after which texts are shown as they were typed
FORGET_SECONDS = 10.0  # after which the processor time that people used is forgotten
MAX_LINE_BYTES = 1 << 24  # of an answer; the longest have some hundred thousand
NICENESS = 5  # the event loop has precedence where both share a processor

HTML, GIST = "html", "gist"
Key = tuple[str, str, Mentions]  # HTML or GIST, the body, the mentions in it

# The id of the person whose request or page the current task serves; "" for nobody's.
on_behalf_of: ContextVar[str] = ContextVar("on_behalf_of", default="")


class Texts:
    """Renders texts at once, in the current process, so nothing needs to be prepared. TextRenderer
    needs it."""

    def render(self, body: str, mentions: Mentions = ()) -> Markup:
        """The HTML of a message's body."""
        return markdown.render(body, mentions)

    def gist(self, body: str) -> str:
        """The first line of a body, without markup."""
        return markdown.gist(body)

    def is_ready(self, event: Event) -> bool:
        """True if showing this event will not wait."""
        return True

    async def prepare(self, event: Event) -> None:
        """Render the texts of an event, on behalf of its author."""

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """Render the first lines of the newest events of rooms."""


class TextRenderer(Texts):
    """Renders texts in a child process. `connect` starts one that runs `serve`, and returns the
    connection to it."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._kept: OrderedDict[Key, str] = OrderedDict()
        self._kept_chars = 0
        self._waiting: dict[Key, asyncio.Future[str]] = {}
        self._queues: dict[str, deque[Key]] = {}  # by person; no queue is empty
        self._used: defaultdict[str, float] = defaultdict(float)  # seconds, by person
        self._forget_at = 0.0
        self._task: asyncio.Task[None] | None = None  # runs while texts wait
        self._child: _Child | None = None
        # By the monotonic clock:
        self._childless_since = 0.0  # when a child was first needed and missing; 0.0: there is one
        self._sent_at = 0.0  # when the child was last sent a text

    @property
    def is_late(self) -> bool:
        """True while texts wait for a child that does not answer, or that cannot be started."""
        since = self._childless_since or self._sent_at
        return self._task is not None and time.monotonic() - since > LATE_SECONDS

    # For templates

    def render(self, body: str, mentions: Mentions = ()) -> Markup:
        """The HTML of a message's body (`markdown.render`)."""
        if not mentions and not markdown.is_marked_up(body):
            return escape(body)
        return Markup(self._text((HTML, body, mentions)))

    def gist(self, body: str) -> str:
        """The first line of a message without markup (`markdown.gist`)."""
        if not markdown.is_marked_up(body):
            return body[: markdown.MAX_GIST_CHARS]
        return self._text(_gist(body))

    # Preparing texts for code that must not wait

    def is_ready(self, event: Event) -> bool:
        """True if showing this event will not wait."""
        plain = event.body and not event.mentions and event.quote is None
        if plain and not markdown.is_marked_up(event.body):
            return True  # the fast path for nearly all messages
        return all(key in self._kept for key in _keys(event))

    async def prepare(self, event: Event) -> None:
        """Render the texts of an event, on behalf of its author."""
        for key in _keys(event):
            if key not in self._kept:
                await self._ask(key, event.uid)

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """Render the first lines of the newest events of rooms."""
        for event in events:
            for key in _gists(event.body or event.excerpt):
                if key not in self._kept:
                    await self._ask(key, event.uid)

    def close(self) -> None:
        """End the child. Callers that wait get their texts as they were typed."""
        if self._task is not None:
            self._task.cancel()
        if self._child is not None:
            self._child.writer.close()
        self._give_up()

    def _give_up(self) -> None:
        """Return the texts as they were typed to all callers that wait. These are not cached."""
        self._queues.clear()
        for key in list(self._waiting):
            self._answer(key, _as_typed(key))

    def _text(self, key: Key) -> str:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        if not has_portal():
            log.error("a text was not rendered in time; it is shown as it was typed")
            return _as_typed(key)
        text: str = await_(self._ask(key, on_behalf_of.get()))
        return text

    # Asking the child

    async def _ask(self, key: Key, person: str) -> str:
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._queues.setdefault(person, deque()).append(key)
            if self._task is None:
                self._task = asyncio.create_task(self._render_all())
        return await asyncio.shield(answer)  # others may wait for it too

    async def _render_all(self) -> None:
        """Render one text after the other until none waits."""
        try:
            while self._queues:
                person = min(self._queues, key=self._used.__getitem__)
                queue = self._queues[person]
                key = queue.popleft()
                if not queue:
                    del self._queues[person]
                await self._render(key, person)
        finally:
            self._task = None
            self._give_up()

    async def _render(self, key: Key, person: str) -> None:
        """Have the child render a text. A text that ends two children is shown as it was typed from
        then on."""
        for _ in range(2):
            if (child := await self._living_child()) is None:
                return  # all callers were answered meanwhile
            self._sent_at = time.monotonic()
            try:
                text, seconds = await child.render(key)
            except (OSError, ValueError):
                child.writer.close()
                continue
            self._count(person, seconds)
            break
        else:
            log.error("a text of %d characters ended two processes", len(key[1]))
            text = _as_typed(key)
        self._keep(key, text)
        self._answer(key, text)

    def _count(self, person: str, seconds: float) -> None:
        now = time.monotonic()
        if now > self._forget_at:
            self._used.clear()
            self._forget_at = now + FORGET_SECONDS
        self._used[person] += seconds

    def _answer(self, key: Key, text: str) -> None:
        answer = self._waiting.pop(key, None)
        if answer is not None and not answer.done():
            answer.set_result(text)

    def _keep(self, key: Key, text: str) -> None:
        self._kept[key] = text
        self._kept_chars += _size(key, text)
        while self._kept_chars > MAX_KEPT_CHARS:
            self._kept_chars -= _size(*self._kept.popitem(last=False))

    async def _living_child(self) -> "_Child | None":
        """The child, which is started if necessary. If none can be started for GIVE_UP_SECONDS, all
        callers that wait are answered. Returns None when no caller waits."""
        if self._child is not None and not self._child.has_ended():
            return self._child
        self._childless_since = self._childless_since or time.monotonic()
        while self._waiting:
            try:
                self._child = await _Child.start(self._connect())
                self._childless_since = 0.0
                return self._child
            except (OSError, ValueError) as error:
                log.error("cannot start a process that renders messages: %s", error)
                if time.monotonic() >= self._childless_since + GIVE_UP_SECONDS:
                    self._give_up()
                await asyncio.sleep(RETRY_SECONDS)
        return None


@dataclass(frozen=True)
class _Child:
    """The connection to a child. Both sides send lines of JSON. The first line from the child is
    its process id."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, sock: socket.socket) -> "_Child":
        """Raises OSError and ValueError."""
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_LINE_BYTES)
        try:
            async with asyncio.timeout(START_SECONDS):
                return cls(int(await reader.readline()), reader, writer)
        except BaseException:
            writer.close()
            raise

    def has_ended(self) -> bool:
        return self.writer.is_closing() or self.reader.at_eof()

    async def render(self, key: Key) -> tuple[str, float]:
        """The text, and the processor time it took, in seconds. Kills a child that does not answer.
        Raises OSError or ValueError if the child has ended."""
        self.writer.write(_line(key))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                text, seconds = json.loads(await self.reader.readline())
        except TimeoutError:
            log.error("a process that renders messages does not answer and is replaced")
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            raise
        return text, seconds


def serve(connection: socket.socket) -> None:
    """The child's program: render one text after another until the connection is closed."""
    os.nice(NICENESS)
    with suppress(OSError, ValueError):  # macOS has the limit but refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    connection.sendall(_line(os.getpid()))
    with connection.makefile("rb") as stream:
        for line in stream:
            kind, body, mentions = json.loads(line)
            start = time.process_time()
            named = tuple((name, uids) for name, uids in mentions)
            text = markdown.gist(body) if kind == GIST else str(markdown.render(body, named))
            connection.sendall(_line((text, time.process_time() - start)))


def _line(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _size(key: Key, text: str) -> int:
    """The characters of a cached text that count for MAX_KEPT_CHARS."""
    _, body, mentions = key
    return ENTRY_CHARS + len(body) + len(text) + sum(len(n) + len(uids) for n, uids in mentions)


def _keys(event: Event) -> list[Key]:
    """Return what is rendered for an event: its text, its first line for the room list, and its
    quote."""
    if event.kind not in (POST, EDIT):
        return []
    html: list[Key] = []
    if event.mentions or markdown.is_marked_up(event.body):
        html = [(HTML, event.body, event.mentions)]
    quoted = event.quote.text if event.quote else event.excerpt if event.kind == EDIT else ""
    return html + _gists(event.body or event.excerpt) + _gists(quoted)


def _gists(text: str) -> list[Key]:
    return [_gist(text)] if markdown.is_marked_up(text) else []


def _gist(text: str) -> Key:
    return GIST, text[: markdown.GIST_SOURCE_CHARS], ()


def _as_typed(key: Key) -> str:
    kind, body, _ = key
    return (
        body.split("\n")[0][: markdown.MAX_GIST_CHARS] if kind == GIST else markdown.as_typed(body)
    )
