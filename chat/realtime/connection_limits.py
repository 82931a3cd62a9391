"""Limits on the number of pages that a person, or an address, has open.

Opening a page asks Redis, where all processes count. Closing one asks nothing: every UPDATE_SECONDS
the process writes the counts that have decreased, so a thousand pages that close cost one pipeline.
Counts that could not be written while Redis was unavailable are written when it is back. Each
process reports that it is alive; the pages of a process that died do not count.
"""

import asyncio
import logging
import secrets
from collections import Counter

import greenback
from redis.exceptions import RedisError

from ..config import Settings
from ..domain.errors import TooOften
from ..store import Store, keys

log = logging.getLogger(__name__)

UPDATE_SECONDS = 2.0  # between two updates
REWRITTEN_KEYS = 20  # unchanged counts that each update writes again
RETRY_AFTER_SECONDS = 10  # for a page that was refused
TOO_MANY_OF_PERSON = (
    "You have {most} pages open, which is the limit. "
    "Close one, and this page will continue by itself."
)
TOO_MANY_OF_ADDRESS = (
    "{most} pages are open from your network, which is the limit. "
    "This page will continue by itself when others are closed."
)


class ConnectionLimits:
    """Counts the pages that are open in this process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store.connections
        self.settings = settings
        self.process = secrets.token_urlsafe(6)
        self.others: list[str] = []
        self.open: Counter[str] = Counter()  # open pages by key of the store
        self._decreased: set[str] = set()  # keys whose count is less than the stored one
        self._to_rewrite: list[str] = []  # keys whose unchanged count is yet to be written again

    def enter(self, uid: str, address: str) -> None:
        """A page opens; call `leave` when it closes. Raises TooOften if there are too many. While
        Redis is unavailable every page may open, so that people can go on reading."""
        person, network = self._shares(uid, address)
        self._enter(*person)
        try:
            self._enter(*network)
        except TooOften:
            self._leave(keys.user_pages(uid))
            log.warning(
                "too many open pages from %s; if this is a proxy, add it to CHAT_PROXIES", address
            )
            raise

    def check(self, uid: str, address: str) -> None:
        """Raise TooOften if one more page could not open."""
        for key, most, why in self._shares(uid, address):
            if not self._fits(key, most, self.open[key] + 1, ask=True):
                raise TooOften(why.format(most=most), RETRY_AFTER_SECONDS)

    def leave(self, uid: str, address: str) -> None:
        """A page has closed."""
        self._leave(keys.user_pages(uid))
        self._leave(keys.address_pages(address))

    async def run(self) -> None:
        """Update every UPDATE_SECONDS until cancelled."""
        try:
            while True:
                try:
                    await greenback.with_portal_run_sync(self.update)
                except Exception:  # otherwise this process would never report again
                    log.exception("cannot store how many pages are open")
                await asyncio.sleep(UPDATE_SECONDS)
        finally:
            await greenback.with_portal_run_sync(self._end)

    def update(self) -> None:
        """Report that this process is alive, and write the counts that have decreased. Some of the
        unchanged counts are written again each time, because Redis expires them after a day, and
        another database may take over."""
        decreased, self._decreased = self._decreased, set()
        self._to_rewrite = self._to_rewrite or list(self.open)
        rewritten = {
            self._to_rewrite.pop() for _ in range(min(REWRITTEN_KEYS, len(self._to_rewrite)))
        }
        try:
            self.others = self.store.beat(self.process)
            self.store.write(self.process, {key: self.open[key] for key in decreased | rewritten})
        except (RedisError, OSError) as error:
            self._decreased |= decreased
            log.warning("cannot store how many pages are open: %s", error)
        except BaseException:
            self._decreased |= decreased
            raise

    def _shares(self, uid: str, address: str) -> tuple[tuple[str, int, str], ...]:
        """Return the key, the maximum and the text of the error, for the person and for the
        address."""
        return (
            (keys.user_pages(uid), self.settings.pages_per_person, TOO_MANY_OF_PERSON),
            (keys.address_pages(address), self.settings.pages_per_address, TOO_MANY_OF_ADDRESS),
        )

    def _enter(self, key: str, most: int, why: str) -> None:
        self.open[key] += 1
        if not self._fits(key, most, self.open[key]):
            self._leave(key)
            raise TooOften(why.format(most=most), RETRY_AFTER_SECONDS)

    def _fits(self, key: str, most: int, pages: int, ask: bool = False) -> bool:
        if not self.settings.limits:
            return True
        try:
            return self.store.enter(key, most, self.process, pages, self.others, ask)
        except (RedisError, OSError) as error:
            log.warning("cannot count pages: %s", error)
            self._decreased.add(key)
            return True

    def _leave(self, key: str) -> None:
        self.open[key] -= 1
        if not self.open[key]:
            del self.open[key]
        self._decreased.add(key)

    def _end(self) -> None:
        try:
            self.store.end(self.process)
        except (RedisError, OSError) as error:
            log.warning("cannot report that this process ends: %s", error)
