"""Who is here, as this process tells it and shows it.

Nothing is written when a page opens: a beat every TURN seconds finds who came since the last one,
so that a thousand pages that come back cost one pipeline. Going is not told at all but found out,
by whichever process looks first, when nobody has spoken of a person for store.presence.LASTS.
That makes the end of a process, or its crash, the same as everyone in it leaving.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import greenback
from redis.exceptions import RedisError

from .store.rooms import DIRECT

if TYPE_CHECKING:
    from .app import Chat

log = logging.getLogger(__name__)

TURN = 2.0  # seconds between two looks
BEAT = 10.0  # seconds after which everyone here is told of again
MOST_MEMBERS = 1000  # of a room for which it is counted who is here


class Presence:
    def __init__(self, app: "Chat") -> None:
        self.app = app
        self.stale: set[str] = set()  # rooms in which somebody came or went
        self._known: set[str] = set()
        self._told = 0.0

    async def run(self) -> None:
        """Look every TURN seconds until cancelled."""
        while True:
            await asyncio.sleep(TURN)
            try:
                await greenback.with_portal_run_sync(self.look)
            except (RedisError, OSError) as error:
                log.warning("cannot tell who is here: %s", error)
            except Exception:
                log.exception("cannot tell who is here")

    def look(self) -> None:
        """Tell who came and who is still here, find out who went, show what changed."""
        store, present = self.app.store.presence, set(self.app.hub.people)
        came = store.come(list(present - self._known))
        if time.monotonic() - self._told > BEAT:
            store.beat(list(present))
            self._told = time.monotonic()
        self._known = present
        # A thousand who come back are in a few rooms, and the hub knows in which.
        seen = {uid: self._rooms(uid) for uid in came}
        unknown = [uid for uid, mine in seen.items() if not mine]
        store.tell([*unknown, *store.go()], set().union(*seen.values()))
        rooms, self.stale = self.stale, set()
        for rid in rooms:
            self._show(rid)

    def _rooms(self, uid: str) -> set[str]:
        """The rooms of a person who is here; empty while the page is opening."""
        return set().union(*(viewer.rooms for viewer in self.app.hub.people.get(uid, ())))

    def _show(self, rid: str) -> None:
        room = self.app.hub.rooms.get(rid)
        size = self.app.store.rooms.size(rid) if room else 0
        if not 0 < size <= MOST_MEMBERS:
            return
        store, fragments = self.app.store, self.app.fragments
        here = store.presence.here(store.rooms.uids(rid))
        self.app.hub.tell_watching(rid, lambda zone: fragments.here(rid, len(here)))
        if store.rooms.kind(rid) == DIRECT:
            self.app.hub.tell(rid, fragments.dots(rid, sorted(here)))
