"""The open pages of each person and address, so that none has more than its share.

Opening one asks Redis, for all processes. Closing asks nothing: every TURN seconds what became
fewer is written down, so that a thousand pages that close cost one pipeline, and what could not be
written down while Redis was away is written when it is back. The processes say to each other that
they are alive, so that the pages of one that died do not count for ever.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import greenback
from flask import Blueprint, g
from markupsafe import escape
from redis.exceptions import RedisError

from ..config import Settings
from ..domain.errors import TooOften
from ..services.context import chat
from ..store import Store, keys
from ..web.auth import current_person
from ..web.security import network

log = logging.getLogger(__name__)

TURN = 2.0  # seconds
AGAIN = 20  # keys that are written down again at each turn though nothing has changed
WAIT = 10  # seconds until who was refused may come again
PERSON = (
    "You have {most} pages open, and that is as many as there may be. "
    "Close one, and this page goes on by itself."
)
ADDRESS = (
    "{most} pages are open from your network, and that is as many as there may be. "
    "This page goes on by itself when others close."
)


bp = Blueprint("crowd", __name__)


def enter() -> Callable[[], None]:
    """The present request is a page that opens, of the person who is signed in; returns what is
    to be called when it closes. Raises TooOften."""
    whose = g.person.uid, network()
    chat().limits.use("page", whose[1])
    chat().crowd.enter(*whose)
    return partial(chat().crowd.leave, *whose)


@bp.get("/connection")
def connection() -> Any:
    """Why a page cannot connect, for the page to say; nothing when it could now."""
    try:
        if current_person():
            chat().limits.check("page", network())
            chat().crowd.check(g.person.uid, network())
    except TooOften as error:
        return escape(error.text)
    return ""


class Crowd:
    """The pages that are open in this process, and how many there may be in all."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store.crowd
        self.settings = settings
        self.process = secrets.token_urlsafe(6)
        self.others: list[str] = []
        self.open: Counter[str] = Counter()  # pages by key
        self._fewer: set[str] = set()  # keys with less than what is written down
        self._later: list[str] = []  # keys that are still to be written down again

    def enter(self, uid: str, address: str) -> None:
        """A page opens; `leave` when it closes. Raises TooOften when there are too many. While
        Redis is away there is room for all who come so far: reading goes on."""
        person, network = self._shares(uid, address)
        self._enter(*person)
        try:
            self._enter(*network)
        except TooOften:
            self._leave(keys.user_pages(uid))
            log.warning(
                "no more pages for %s; if that is a proxy, name it in CHAT_PROXIES", address
            )
            raise

    def check(self, uid: str, address: str) -> None:
        """Raise TooOften when one more page could not enter."""
        for key, most, why in self._shares(uid, address):
            if not self._fits(key, most, self.open[key] + 1, ask=True):
                raise TooOften(why.format(most=most), WAIT)

    def leave(self, uid: str, address: str) -> None:
        """A page that entered is closed."""
        self._leave(keys.user_pages(uid))
        self._leave(keys.address_pages(address))

    async def run(self) -> None:
        """Write down what became fewer every TURN seconds, until cancelled."""
        try:
            while True:
                try:
                    await greenback.with_portal_run_sync(self.beat)
                except Exception:  # or nobody would ever hear of this process again
                    log.exception("cannot write down who has left")
                await asyncio.sleep(TURN)
        finally:
            await greenback.with_portal_run_sync(self._end)

    def beat(self) -> None:
        """Say that this process is alive, and write down what became fewer; and, a few at each
        turn, what stays as it is: Redis ends it after a day, and another database may take over."""
        fewer, self._fewer = self._fewer, set()
        self._later = self._later or list(self.open)
        again = {self._later.pop() for _ in range(min(AGAIN, len(self._later)))}
        try:
            self.others = self.store.beat(self.process)
            self.store.write(self.process, {key: self.open[key] for key in fewer | again})
        except (RedisError, OSError) as error:
            self._fewer |= fewer
            log.warning("cannot write down who has left: %s", error)
        except BaseException:
            self._fewer |= fewer
            raise

    def _shares(self, uid: str, address: str) -> tuple[tuple[str, int, str], ...]:
        """For the person and the address: the key, how many pages, and what is told to more."""
        return (
            (keys.user_pages(uid), self.settings.pages_per_person, PERSON),
            (keys.address_pages(address), self.settings.pages_per_address, ADDRESS),
        )

    def _enter(self, key: str, most: int, why: str) -> None:
        self.open[key] += 1
        if not self._fits(key, most, self.open[key]):
            self._leave(key)
            raise TooOften(why.format(most=most), WAIT)

    def _fits(self, key: str, most: int, pages: int, ask: bool = False) -> bool:
        if not self.settings.limits:
            return True
        try:
            return self.store.enter(key, most, self.process, pages, self.others, ask)
        except (RedisError, OSError) as error:
            log.warning("cannot count pages: %s", error)
            self._fewer.add(key)
            return True

    def _leave(self, key: str) -> None:
        self.open[key] -= 1
        if not self.open[key]:
            del self.open[key]
        self._fewer.add(key)

    def _end(self) -> None:
        try:
            self.store.end(self.process)
        except (RedisError, OSError) as error:
            log.warning("cannot say that this process ends: %s", error)
