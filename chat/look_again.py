"""Bringing open pages in line with what is stored, when something changed that is no event.

Each is called in every process, on a word that the store publishes.
"""

from functools import partial
from typing import TYPE_CHECKING

from .asgi import await_
from .giving_way import give_way, uninterrupted
from .hub import SERVICE_RESTART, Viewer
from .store import Person, Row
from .store.people import uids_in
from .store.room_kinds import DIRECT

if TYPE_CHECKING:
    from .app import Chat

LIST_TRIES = 3  # to render a list of rooms that is still true when it is done


def person(app: "Chat", uid: str) -> None:
    """Bring the open pages of a person in line with what is stored: end those whose session is
    over, and show the rooms there are now."""
    pages = {viewer: viewer.lists for viewer in app.hub.people.get(uid, ())}
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
        for rid in viewer.rooms - mine:
            if rid == viewer.watching:
                app.hub.say(viewer, app.fragments.gone(rid))
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

    Rendering gives way to others, and a list that is older than what the page was told would take
    unread marks away again. So it is compared when it is rendered, and made anew where it must be;
    between that and sending nobody else comes in."""
    for _ in range(LIST_TRIES):
        shown, text = viewer.watching, _list(app, viewer, rows)
        if viewer.watching == shown and viewer.lists == lists and not _is_old(app, rows):
            break
        lists = viewer.lists
        rows = app.store.rooms.of(viewer.uid)
    else:
        await_(app.subscriber.texts.prepare_lines(row.room.last for row in rows))
        with uninterrupted():  # most rows are in the cache by now
            text = _list(app, viewer, rows)
    viewer.lists += 1
    app.hub.say(viewer, text)
    # The rows that were replaced said who is here, and these do not yet.
    app.presence.stale.update(row.room.rid for row in rows if row.room.kind == DIRECT)


def _list(app: "Chat", viewer: Viewer, rows: list[Row]) -> str:
    give_way()
    return app.fragments.rooms(rows, viewer.watching or "", viewer.zone)


def _is_old(app: "Chat", rows: list[Row]) -> bool:
    """True when pages were told of something newer than these."""
    told = app.hub.rooms
    return any(row.room.seq < told[row.room.rid].last for row in rows if row.room.rid in told)


def profile(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room has another name, tag or picture: show it on the newest messages that
    this member wrote, reacted to or is quoted in."""
    app.backlog.forget(rid)
    if not _is_watched(app, rid):
        return
    events = [event for event in app.store.messages.newest(rid) if uid in uids_in([event])]
    for event in events:
        await_(app.subscriber.texts.prepare(event))
    # Pages that have not been told of a number yet must not be told of one behind it.
    room = app.hub.rooms.get(rid)
    told = [event for event in events if room and event.seq <= room.last]
    if told:
        app.hub.tell_watching(rid, partial(app.fragments.again, told))


def _is_watched(app: "Chat", rid: str) -> bool:
    room = app.hub.rooms.get(rid)
    return room is not None and any(group.watching for group in room.groups.values())


def typing(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room is writing: show it to those who look."""
    person = app.store.people.get(uid) if app.hub.uids(rid) else None
    if person:
        app.hub.tell_watching(rid, lambda zone: app.fragments.typing(rid, person))
