"""Giving way: who computes for long lets others have the event loop in between.

A page of a hundred rows is rendered in one piece by Jinja, in a greenlet on the loop, where nobody
else is answered meanwhile. So what makes many pieces (rows of a list, messages of a page) calls
`give_way` between them: after SECONDS of work it waits for one turn of the loop, in which everybody
else comes forward, and goes on.

What calls it must be right when others run in the middle: what it read before may be old after it.
So it is called by pages and lists, never by what the hub calls, which writes in the order of what
it renders. Templates loop over `in_pieces(rows)`.

Where there is no greenlet that could wait (callbacks of the loop, the command line, most tests) it
does nothing.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from greenback import await_, has_portal

T = TypeVar("T")

SECONDS = 0.005  # of work in one turn of the loop, after which others are let in

_began = 0.0  # when `give_way` was first called in this turn of the loop `_loop`; 0.0: not yet
_loop: asyncio.AbstractEventLoop | None = None


def give_way() -> None:
    """Wait for one turn of the loop if this one has lasted for SECONDS since it was first asked
    for."""
    now = time.monotonic()
    if not _began:
        _begin(now)
    elif now - _began >= SECONDS:
        if has_portal():
            await_(asyncio.sleep(0))
        else:
            _begin(now)


def in_pieces(many: Iterable[T]) -> Iterator[T]:
    """Each of many, giving way before it."""
    for one in many:
        give_way()
        yield one


def _begin(now: float) -> None:
    """Remember when this turn of the loop was first asked for, until it ends."""
    global _began, _loop
    with suppress(RuntimeError):  # no loop runs
        loop = asyncio.get_running_loop()
        if not _began or loop is not _loop:  # that loop ended before its turn did
            _began, _loop = now, loop
            loop.call_soon(_end)


def _end() -> None:
    """The next turn of the loop has come."""
    global _began
    _began = 0.0
