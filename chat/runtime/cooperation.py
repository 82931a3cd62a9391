"""Lets other tasks run during long computations.

Jinja renders a page of a hundred rows in one go, in a greenlet on the event loop, and no other
request is answered meanwhile. So code that makes many pieces (rows of a list, messages of a page)
calls `give_way` between them: after TURN_SECONDS of work, it waits for one turn of the loop, in
which all other tasks run.

The caller must be correct when other tasks run in between: what it has read may be out of date
afterwards. So pages and lists call it, but never code that the hub calls, because the hub writes in
the order in which it renders. Templates loop over `in_pieces(rows)`.

Where no greenlet can wait (callbacks of the loop, the command line, most tests), it does nothing.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from greenback import await_, has_portal

T = TypeVar("T")

TURN_SECONDS = 0.005  # of work in one turn of the loop, after which other tasks run

_began = 0.0  # when `give_way` was first called in this turn of the loop `_loop`; 0.0: not yet
_loop: asyncio.AbstractEventLoop | None = None


def give_way() -> None:
    """Wait for one turn of the loop, if TURN_SECONDS have passed since the first call in this
    turn."""
    now = time.monotonic()
    if not _began:
        _begin(now)
    elif now - _began >= TURN_SECONDS:
        if has_portal():
            await_(asyncio.sleep(0))
        else:
            _begin(now)


def in_pieces(many: Iterable[T]) -> Iterator[T]:
    """Yield the items of `many`. Before each one, other tasks may run (`give_way`)."""
    for one in many:
        give_way()
        yield one


def _begin(now: float) -> None:
    """Record the time of the first call in this turn of the loop."""
    global _began, _loop
    with suppress(RuntimeError):  # no loop runs
        loop = asyncio.get_running_loop()
        if not _began or loop is not _loop:  # that loop ended before its turn did
            _began, _loop = now, loop
            loop.call_soon(_end)


def _end() -> None:
    """The next turn of the loop has begun."""
    global _began
    _began = 0.0
