"""Refreshing open pages after a change that is not an event of a room: a session that ended, a new
name, somebody who is typing. The store publishes a signal, and every process refreshes its pages.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps

from redis.exceptions import RedisError

from ..bridge import await_
from ..domain.events import Event
from ..rendering.fragments import Fragments
from ..rendering.text_renderer import Texts
from ..runtime.cooperation import give_way
from ..store import Person, Row, Store
from ..store.person import uids_in
from ..store.room_kinds import DIRECT
from .background import Background
from .hub import SERVICE_RESTART, Hub
from .presence import LivePresence
from .resume_cache import ResumeCache
from .viewers import Viewer

MAX_READS = 10  # of a message that changes during each read
PAUSES_SECONDS = 0.1, 0.5, 2.0  # before work is repeated whose answer from Redis was lost


def repeated(work: Callable[..., None]) -> Callable[..., None]:
    """Repeat a method that fails because an answer from Redis is lost: the signal that caused it
    does not come again. During an outage, the last error is raised; all pages are refreshed after
    it (Subscriber)."""

    @wraps(work)
    def run(*args: object) -> None:
        for pause in PAUSES_SECONDS:
            try:
                return work(*args)
            except (RedisError, OSError):
                await_(asyncio.sleep(pause))
        return work(*args)

    return run


@dataclass(eq=False)
class Refresh:
    """Shows open pages what has changed in the store. All methods but `on_signal` wait for the
    store: call them in a greenlet."""

    hub: Hub
    store: Store
    fragments: Fragments
    texts: Texts
    presence: LivePresence
    resume_cache: ResumeCache
    background: Background

    def on_signal(self, rid: str, signal: str) -> None:
        """A signal was published to a room (store.keys): `here`, `names`, `typing <person>`,
        `typed <person>`, or the id of a person whose name, tag or picture has changed."""
        kind, _, uid = signal.partition(" ")
        if signal == "here":
            self.presence.dirty.add(rid)
        elif kind == "typing":
            self.presence.typing.add((rid, uid))
            self.background.run(self.typing, rid, uid)
        elif kind == "typed":
            self.presence.typing.discard((rid, uid))
            self.hub.writer.send_to_viewers(rid, lambda zone: self.fragments.typing_ended(rid, uid))
        elif signal == "names":
            self.background.run_in_turn(self.names, rid)
        else:
            self.background.run(self.profile, rid, signal)

    @repeated
    def person(self, uid: str) -> None:
        """The sessions or rooms of a person may have changed: close the pages whose session has
        ended, and show the current rooms on the others."""
        pages = {viewer: viewer.list_version for viewer in self.hub.people.get(uid, ())}
        joined = {viewer: frozenset(viewer.rooms) for viewer in pages}
        if not pages:
            return
        sessions = {session.sid for session in self.store.sessions.of(uid)}
        person, rows = self.store.people.get(uid), self.store.rooms.of(uid)
        # Nothing below may wait, or pages would be sent something older than what they show.
        open_pages = [viewer for viewer in pages if viewer in self.hub.people.get(uid, ())]
        mine = {row.room.rid for row in rows}
        shown = []
        for viewer in open_pages:
            if person is None or person.deactivated or viewer.session not in sessions:
                self.hub.sign_out(viewer, self.fragments.signed_out())
                continue
            if not self.keep_current(viewer, person):
                continue
            for row in rows:
                self.hub.belong(viewer, row.room.rid, row.room.seq, row.room.at)
            for rid in joined[viewer] - mine:
                if rid == viewer.watching:
                    self.hub.writer.send_text(viewer, self.fragments.room_left(rid))
                self.hub.leave(viewer, rid)
            shown.append(viewer)
        if any(not viewer.rooms <= mine for viewer in shown):
            # Rooms that were added during the reads, from an older reading or from a newer one.
            self.background.run(self.person, uid)
        for viewer in shown:
            self.send_list(viewer, rows, pages[viewer])

    def keep_current(self, viewer: Viewer, person: Person) -> bool:
        """Give a page its person, who was just read from the store. Returns False if the page shows
        times in another zone; it is then asked to reconnect.

        Messages that the page has posted since the person was renamed have the old name, and may
        have arrived after the signal about the new name. So that signal is sent to their rooms
        again."""
        before, viewer.person = viewer.person, person
        if before and looks_otherwise(before, person):
            rids, viewer.posted_in = viewer.posted_in, frozenset()
            if rids:
                self.background.run(self.store.people.signal_rooms, person.uid, rids)
        if viewer.zone != person.zone:
            viewer.close(SERVICE_RESTART)
        return viewer.zone == person.zone

    @repeated
    def closed(self, viewer: Viewer) -> None:
        """A page has closed. If it has posted and not heard yet of its person's new name, its
        messages have the old one, as in `keep_current`."""
        if viewer.posted_in and (person := self.store.people.get(viewer.uid)):
            self.keep_current(viewer, person)

    def send_list(self, viewer: Viewer, rows: list[Row], version: int) -> None:
        """Send a page its room list. `rows` were read from the store when the page's `list_version`
        was `version`.

        A list is a snapshot. Reading it takes several round trips, and rendering it lets other
        tasks run. A list that is older than what the page was sent would remove unread marks. So it
        is compared, when rendered, with what the hub has sent, and read again if it is older."""
        text = self._list(viewer, rows) if viewer.held_marks is None else ""
        current = viewer.held_marks is None and viewer.list_version == version
        seqs = numbers(rows)
        is_old = self.hub.marks.is_older(seqs, viewer) or self.hub.marks.is_ahead(viewer, seqs)
        if text and current and not is_old:
            self._send(viewer, rows, text)
        else:
            self.read_and_send_list(viewer)

    def read_and_send_list(self, viewer: Viewer) -> None:
        """Read the list of a page's rooms and send it. New unread marks are held meanwhile, and
        those that the list lacks are sent after it.

        If the list still lacks what the page was sent after MAX_READS, a failover has lost it, and
        no list will ever have it: the page gets the list as it is."""
        if viewer.held_marks is not None:
            viewer.list_version += 1  # so that the greenlet that is reading it starts again
            return
        self.hub.marks.hold(viewer)
        rows: list[Row] = []
        text, version, reads = "", -1, 0
        try:
            while (
                not text
                or viewer.list_version != version
                or (reads < MAX_READS and self.hub.marks.is_ahead(viewer, numbers(rows)))
            ):
                reads += 1
                version = viewer.list_version
                rows = self.store.rooms.of(viewer.uid)
                text = self._list(viewer, rows)
        except BaseException:
            self.hub.writer.send_list(viewer, "", {})
            raise
        if self.hub.marks.is_ahead(viewer, numbers(rows)):
            self.hub.marks.forget_ahead(viewer)
        self._send(viewer, rows, text)

    def _send(self, viewer: Viewer, rows: list[Row], text: str) -> None:
        viewer.list_version += 1
        self.hub.writer.send_list(viewer, text, numbers(rows))
        # The new rows do not show yet who is online; the replaced ones did.
        self.presence.dirty.update(row.room.rid for row in rows if row.room.kind == DIRECT)

    def _list(self, viewer: Viewer, rows: list[Row]) -> str:
        """Render the list for the room that the page shows; "" if that has changed meanwhile."""
        shown = viewer.watching
        give_way()
        text: str = self.fragments.room_list(rows, shown or "", viewer.zone)
        return text if viewer.watching == shown else ""

    @repeated
    def profile(self, rid: str, uid: str) -> None:
        """A member has another name, tag or picture: show the newest messages again that they
        wrote, reacted to or are quoted in."""
        newest = self.store.messages.newest
        self._show_again(rid, lambda: [one for one in newest(rid) if uid in uids_in([one])])

    @repeated
    def names(self, rid: str) -> None:
        """Signals of the room may have been missed: show the names that have changed meanwhile. A
        message whose stored names are still correct is not sent again."""
        self._show_again(rid, lambda: self.store.messages.renamed(rid))

    def _show_again(self, rid: str, read: Callable[[], list[Event]]) -> None:
        """Render messages of a room again, and send them to the pages that show it.

        `read` returns a snapshot. Meanwhile pages may have shown that a message was edited, deleted
        or reacted to, and the snapshot would undo that on screen. Such a message, and any that
        quotes it, is read again."""
        self.resume_cache.forget(rid)
        left: set[int] | None = None  # numbers of messages still to be sent; None: all
        for _ in range(MAX_READS):
            room = self.hub.rooms.get(rid)
            if room is None or left == set() or not self._is_watched(rid):
                return
            changed: set[int] = set()
            room.readers.append(changed)
            try:
                events = [event for event in read() if left is None or event.seq in left]
                for event in events:
                    await_(self.texts.prepare(event))
            finally:
                room.readers = [reader for reader in room.readers if reader is not changed]
            if room is not self.hub.rooms.get(rid):
                continue  # all its pages are new, and may show more
            # Pages must get events in order: none beyond the last one that they were sent.
            told = [event for event in events if event.seq <= room.last]
            current = [event for event in told if changed.isdisjoint((event.seq, event.number))]
            left = {event.seq for event in told} - {event.seq for event in current}
            if current:
                self.hub.writer.send_to_viewers(
                    rid, partial(self.fragments.updated_events, current)
                )

    def _is_watched(self, rid: str) -> bool:
        room = self.hub.rooms.get(rid)
        return room is not None and any(group.watching for group in room.groups.values())

    def typing(self, rid: str, uid: str) -> None:
        """A member is typing: show it on the pages that show the room, unless the message arrived
        while the member's name was read."""
        try:
            person = self.store.people.get(uid) if self._is_watched(rid) else None
            if person and (rid, uid) in self.presence.typing:
                self.hub.writer.send_to_viewers(
                    rid, lambda zone: self.fragments.typing(rid, person)
                )
        finally:
            self.presence.typing.discard((rid, uid))


def looks_otherwise(before: Person, now: Person) -> bool:
    """Return True when messages of this person must look different."""
    return (before.name, before.tag, before.picture) != (now.name, now.tag, now.picture)


def numbers(rows: list[Row]) -> dict[str, int]:
    """Return how current a room list is: the number of the newest event of each room, by room
    id."""
    return {row.room.rid: row.room.seq for row in rows}
