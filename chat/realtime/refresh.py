"""Bringing open pages in line with what is stored, when something changed that is no event.

Each is called in every process, on a word that the store publishes.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..bridge.bridge import await_
from ..domain.events import Event
from ..runtime.cooperation import give_way
from ..store import Person, Row
from ..store.people import uids_in
from ..store.room_kinds import DIRECT
from .hub import SERVICE_RESTART, Viewer

if TYPE_CHECKING:
    from ..app import Chat

MAX_READS = 10  # of a message that changes each time while it is read, to show a new name on it


def person(app: "Chat", uid: str) -> None:
    """Bring the open pages of a person in line with what is stored: end those whose session is
    over, and show the rooms there are now."""
    pages = {viewer: viewer.lists for viewer in app.hub.people.get(uid, ())}
    joined = {viewer: frozenset(viewer.rooms) for viewer in pages}
    if not pages:
        return
    sessions = {session.sid for session in app.store.sessions.of(uid)}
    person, rows = app.store.people.get(uid), app.store.rooms.of(uid)
    # Nothing waits from here on, or what is newer by now would be taken back.
    open_pages = [viewer for viewer in pages if viewer in app.hub.people.get(uid, ())]
    mine = {row.room.rid for row in rows}
    shown = []
    for viewer in open_pages:
        if person is None or person.off or viewer.session not in sessions:
            app.hub.sign_out(viewer, app.fragments.signed_out())
            continue
        if not keep_current(app, viewer, person):
            continue
        for row in rows:
            app.hub.belong(viewer, row.room.rid, row.room.seq, row.room.at)
        for rid in joined[viewer] - mine:  # not what the page came to while all that was read
            if rid == viewer.watching:
                app.hub.say(viewer, app.fragments.room_left(rid))
            app.hub.leave(viewer, rid)
        shown.append(viewer)
    for viewer in shown:
        send_list(app, viewer, rows, pages[viewer])


def keep_current(app: "Chat", viewer: Viewer, person: Person) -> bool:
    """Have a page act and show times as its person, who was just read, wants it now. Returns False
    for a page that has to come back because it shows times in another zone.

    Messages that it posted since the person was renamed have the old name, and may have come
    after the word that the name changed: their rooms are told once more."""
    before, viewer.person = viewer.person, person
    if before and looks_otherwise(before, person):
        rids, viewer.posted_in = viewer.posted_in, frozenset()
        if rids:
            app.subscriber.ask(app.store.people.tell_rooms, person.uid, rids)
    if viewer.zone != person.zone:
        viewer.kick(SERVICE_RESTART)
    return viewer.zone == person.zone


def looks_otherwise(before: Person, now: Person) -> bool:
    """True when messages of this person have to look otherwise."""
    return (before.name, before.tag, before.picture) != (now.name, now.tag, now.picture)


def send_list(app: "Chat", viewer: Viewer, rows: list[Row], lists: int) -> None:
    """Send a page the list of its rooms. `rows` are the rooms as they were read after the list had
    been sent `lists` times (`viewer.lists`).

    A list is a snapshot. Reading it takes several round trips and rendering it gives way to others,
    and a list that is older than what the page was told would take unread marks away again. So it
    is compared with what the hub has told, when it is rendered. One that is older is read anew."""
    text = _list(app, viewer, rows) if viewer.kept is None else ""
    current = viewer.kept is None and viewer.lists == lists
    is_old = app.hub.is_older(numbers(rows), viewer) or app.hub.is_ahead(viewer, numbers(rows))
    if text and current and not is_old:
        _send(app, viewer, rows, text)
    else:
        read_and_send_list(app, viewer)


def read_and_send_list(app: "Chat", viewer: Viewer) -> None:
    """Read the list of a page's rooms and send it. The page's marks are held meanwhile: they go
    behind the list, except those that it already has."""
    if viewer.kept is not None:
        viewer.lists += 1  # whoever is reading it now reads it once more
        return
    app.hub.hold_marks(viewer)
    rows: list[Row] = []
    text, lists = "", -1
    try:
        while not text or viewer.lists != lists or app.hub.is_ahead(viewer, numbers(rows)):
            lists = viewer.lists
            rows = app.store.rooms.of(viewer.uid)
            text = _list(app, viewer, rows)
    except BaseException:
        app.hub.send_list(viewer, "", {})
        raise
    _send(app, viewer, rows, text)


def _send(app: "Chat", viewer: Viewer, rows: list[Row], text: str) -> None:
    viewer.lists += 1
    app.hub.send_list(viewer, text, numbers(rows))
    # The rows that were replaced said who is here, and these do not yet.
    app.presence.stale.update(row.room.rid for row in rows if row.room.kind == DIRECT)


def _list(app: "Chat", viewer: Viewer, rows: list[Row]) -> str:
    """The list as it is to be shown beside the room on screen; "" when another room came on screen
    meanwhile."""
    shown = viewer.watching
    give_way()
    text: str = app.fragments.room_list(rows, shown or "", viewer.zone)
    return text if viewer.watching == shown else ""


def numbers(rows: list[Row]) -> dict[str, int]:
    """What a list of rooms is as of: the number of the newest event it has of each, by room."""
    return {row.room.rid: row.room.seq for row in rows}


def profile(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room has another name, tag or picture: show it on the newest messages that
    this member wrote, reacted to or is quoted in."""

    def read() -> list[Event]:
        return [event for event in app.store.messages.newest(rid) if uid in uids_in([event])]

    app.backlog.forget(rid)
    _show_again(app, rid, read)


def names(app: "Chat", rid: str) -> None:
    """Nothing was heard of the room for a while: show the names that changed meanwhile. (One that
    changed back to what it was when a message was stored stays as it is on screen.)"""
    app.backlog.forget(rid)
    _show_again(app, rid, lambda: app.store.messages.renamed(rid))


def _show_again(app: "Chat", rid: str, read: Callable[[], list[Event]]) -> None:
    """Show messages of a room anew on the pages that show it.

    What is read is a snapshot. Pages may be told meanwhile that a message was edited or deleted, or
    has a reaction; shown as it was read, it would be what it was before. Such a message, and what
    quotes it, is read once more."""
    left: set[int] | None = None  # the numbers of the messages yet to be shown; None for all
    for _ in range(MAX_READS):
        room = app.hub.rooms.get(rid)
        if room is None or left == set() or not _is_watched(app, rid):
            return
        changed: set[int] = set()
        room.readers.append(changed)
        try:
            events = [event for event in read() if left is None or event.seq in left]
            for event in events:
                await_(app.subscriber.texts.prepare(event))
        finally:
            room.readers = [reader for reader in room.readers if reader is not changed]
        if room is not app.hub.rooms.get(rid):
            continue  # other pages look at it now, and may know more
        # Pages that have not been told of a number yet must not be told of one behind it.
        told = [event for event in events if event.seq <= room.last]
        current = [event for event in told if changed.isdisjoint((event.seq, event.number))]
        left = {event.seq for event in told} - {event.seq for event in current}
        if current:
            app.hub.tell_watching(rid, partial(app.fragments.updated_events, current))


def _is_watched(app: "Chat", rid: str) -> bool:
    room = app.hub.rooms.get(rid)
    return room is not None and any(group.watching for group in room.groups.values())


def typing(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room is writing: show it to those who look, unless the message was sent while
    the name of this member was read."""
    try:
        person = app.store.people.get(uid) if _is_watched(app, rid) else None
        if person and (rid, uid) in app.presence.typing:
            app.hub.tell_watching(rid, lambda zone: app.fragments.typing(rid, person))
    finally:
        app.presence.typing.discard((rid, uid))
