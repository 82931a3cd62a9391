"""Presence: who is online, as this process reports and shows it.

Opening a page writes nothing. Every UPDATE_SECONDS the process reports who has opened a page since
the last update, so a thousand pages that reconnect cost one command. A departure is not reported
but detected by timeout: any process finds that nobody has reported the person for
store.presence.PRESENT_SECONDS. So the end of a process, or its crash, looks like everyone leaving.
"""

import asyncio
import logging
import time

import greenback
from redis.exceptions import RedisError

from ..rendering.fragments import Fragments
from ..store import Store
from ..store.room_kinds import DIRECT
from .hub import Hub

log = logging.getLogger(__name__)

UPDATE_SECONDS = 2.0  # between two updates
REPORT_ALL_SECONDS = 10.0  # after which everyone who is online is reported again
MAX_MEMBERS = 1000  # of a room that shows who is online


class LivePresence:
    def __init__(self, hub: Hub, store: Store, fragments: Fragments) -> None:
        self.hub = hub
        self.store = store
        self.fragments = fragments
        self.dirty: set[str] = set()  # rooms where somebody has come or gone
        # Pairs of a room and a person who is typing there, until it is shown (Refresh.typing).
        self.typing: set[tuple[str, str]] = set()
        self._reported: set[str] = set()  # people who were reported with the last update
        self._all_reported_at = float("-inf")  # by the monotonic clock

    async def run(self) -> None:
        """Update every UPDATE_SECONDS until cancelled."""
        while True:
            await asyncio.sleep(UPDATE_SECONDS)
            try:
                await greenback.with_portal_run_sync(self.update)
            except (RedisError, OSError) as error:
                log.warning("cannot report who is online: %s", error)
            except Exception:
                log.exception("cannot report who is online")

    def update(self) -> None:
        """Report who is online, publish who has come or gone, and show it. A later update repeats
        what an error has prevented."""
        store, present = self.store.presence, set(self.hub.people)
        began = time.monotonic()
        is_due = began - self._all_reported_at > REPORT_ALL_SECONDS
        changes = store.report(list(present if is_due else present - self._reported))
        self._reported = present
        if is_due:
            self._all_reported_at = began
        # The hub knows the rooms of people who have a page here, which saves a command for each of
        # them.
        changed = {uid for found in changes for uid in found.uids}
        rooms = {uid: self._rooms(uid) for uid in changed & present}
        store.announce(changes, {uid: mine for uid, mine in rooms.items() if mine})
        self._show_dirty()

    def _show_dirty(self) -> None:
        for rid in list(self.dirty):
            self.dirty.discard(rid)
            try:
                self._show(rid)
            except (RedisError, OSError):
                self.dirty.add(rid)
                raise
            except Exception:  # an error of this room must not keep the others waiting
                log.exception("cannot show who is online in room %s", rid)

    def _rooms(self, uid: str) -> set[str]:
        """The rooms of a person with an open page; empty while the page is opening."""
        return set().union(*(viewer.rooms for viewer in self.hub.people.get(uid, ())))

    def _show(self, rid: str) -> None:
        room = self.hub.rooms.get(rid)
        size = self.store.rooms.size(rid) if room else 0
        if not 0 < size <= MAX_MEMBERS:
            return
        store, fragments = self.store, self.fragments
        here = store.presence.here(store.rooms.uids(rid))
        self.hub.writer.send_to_viewers(rid, lambda zone: fragments.online_count(rid, len(here)))
        if store.rooms.kind(rid) == DIRECT:
            self.hub.writer.send_to_members(rid, fragments.online_dots(rid, sorted(here)))
