"""Bringing open pages in line with what is stored, when something changed that is no event.

Each is called in every process, on a word that the store publishes.
"""

from functools import partial
from typing import TYPE_CHECKING

from .asgi import await_
from .hub import SERVICE_RESTART
from .times import use_zone

if TYPE_CHECKING:
    from .app import Chat


def person(app: "Chat", uid: str) -> None:
    """Bring the open pages of a person in line with what is stored: end those whose session is
    over, and show the rooms there are now."""
    if uid not in app.hub.people:
        return
    person, rows = app.store.people.get(uid), app.store.rooms.of(uid)
    sessions = {session.sid for session in app.store.sessions.of(uid)}
    mine = {row.room.rid for row in rows}
    await_(app.subscriber.texts.prepare_lines(row.room.last for row in rows))
    pages = list(app.hub.people.get(uid, ()))  # from here on nothing waits
    use_zone(person.zone if person else "")
    for viewer in pages:
        if person is None or person.off or viewer.session not in sessions:
            app.hub.sign_out(viewer, app.fragments.signed_out())
            continue
        if viewer.zone != person.zone:
            viewer.kick(SERVICE_RESTART)  # it comes back with the other zone
            continue
        for row in rows:
            app.hub.belong(viewer, row.room.rid, row.room.seq, row.room.at)
        for rid in viewer.rooms - mine:
            if rid == viewer.watching:
                app.hub.say(viewer, app.fragments.gone(rid))
            app.hub.leave(viewer, rid)
        app.hub.say(viewer, app.fragments.rooms(rows, viewer.watching or ""))
        viewer.listed = True


def profile(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room is called or looks otherwise: show it on what that person wrote last."""
    app.backlog.forget(rid)
    room = app.hub.rooms.get(rid)
    if room and any(group.watching for group in room.groups.values()):
        events = [event for event in app.store.messages.newest(rid) if event.uid == uid]
        for event in events:
            await_(app.subscriber.texts.prepare(event))
        if events:
            app.hub.tell_watching(rid, partial(app.fragments.again, events))


def typing(app: "Chat", rid: str, uid: str) -> None:
    """A member of the room is writing: show it to those who look."""
    person = app.store.people.get(uid) if app.hub.uids(rid) else None
    if person:
        app.hub.tell_watching(rid, lambda zone: app.fragments.typing(rid, person))
