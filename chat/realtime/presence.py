"""Who is here, as this process tells it and shows it.

Nothing is written when a page opens: a look every TURN seconds says who came since the last one,
so that a thousand pages that come back cost one command. That somebody went is not said at all but
found out, by whichever process looks first, when nobody has spoken of a person for
store.presence.LASTS. So the end of a process, or its crash, is the same as everyone in it leaving.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import greenback
from redis.exceptions import RedisError

from ..store.room_kinds import DIRECT

if TYPE_CHECKING:
    from ..app import Chat

log = logging.getLogger(__name__)

TURN = 2.0  # seconds between two looks
BEAT = 10.0  # seconds after which everyone here is told of again
MOST_MEMBERS = 1000  # of a room for which it is counted who is here


class Presence:
    def __init__(self, app: "Chat") -> None:
        self.app = app
        self.stale: set[str] = set()  # rooms in which somebody came or went
        # Rooms and people who are typing there, which is yet to be shown (look_again.typing).
        self.typing: set[tuple[str, str]] = set()
        self._said: set[str] = set()  # people of whom the store was told that they are here
        self._all_said = float("-inf")  # when all who are here were said, by the monotonic clock

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
        """Say who came and who is still here, tell who came and went, show what changed. What an
        error keeps from being said, told or shown is so by a later look."""
        store, present = self.app.store.presence, set(self.app.hub.people)
        began = time.monotonic()
        is_due = began - self._all_said > BEAT
        changes = store.look(list(present if is_due else present - self._said))
        self._said = present
        if is_due:
            self._all_said = began
        # A thousand who come back are in a few rooms, and the hub knows in which.
        changed = {uid for found in changes for uid in found.uids}
        rooms = {uid: self._rooms(uid) for uid in changed & present}
        store.tell(changes, {uid: mine for uid, mine in rooms.items() if mine})
        self._show_stale()

    def _show_stale(self) -> None:
        for rid in list(self.stale):
            self.stale.discard(rid)
            try:
                self._show(rid)
            except (RedisError, OSError):
                self.stale.add(rid)
                raise
            except Exception:  # of this room, which keeps no other one waiting
                log.exception("cannot show who is in room %s", rid)

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
        self.app.hub.tell_watching(rid, lambda zone: fragments.online_count(rid, len(here)))
        if store.rooms.kind(rid) == DIRECT:
            self.app.hub.tell(rid, fragments.online_dots(rid, sorted(here)))
