"""The hub: which pages of this process belong to which rooms and watch them, and which events those
pages are shown.

It knows neither Redis nor Flask nor sockets. Events and viewers go in, writes come out
(chat.realtime.delivery). An event of a room is rendered once for each time zone in use. All methods
run on the event loop and never block.
"""

from collections.abc import Callable, Iterable

from ..domain.events import Event
from ..observability.metrics import EVENTS
from .delivery import PageWriter, Render, log_error
from .viewers import Group, LiveRoom, Viewer

SERVICE_RESTART = 1012  # the close code after which htmx connects again
NOT_ALLOWED = 1008  # the close code after which it does not


class Hub:
    """What the hub needs of others is passed as functions.

    for_viewers, for_members, room_row: render an event for the pages that show its room, for the
        other pages of its members, and, for both, the room's row after the last event of a turn.
    on_opened, on_closed: called when the first viewer of a channel comes, and when the last one
        goes. So there is one subscription for each room and person.
    call_later, on_shown: see PageWriter.
    writer: writes to the pages, also what is no event.
    """

    def __init__(
        self,
        for_viewers: Render,
        for_members: Render,
        room_row: Render,
        call_later: Callable[[Callable[[], None]], object],
        on_opened: Callable[[str], object],
        on_closed: Callable[[str], object],
        on_shown: Callable[[LiveRoom], object] = lambda room: None,
    ) -> None:
        self.for_viewers = for_viewers
        self.for_members = for_members
        self._on_opened = on_opened
        self._on_closed = on_closed
        self.rooms: dict[str, LiveRoom] = {}
        self.people: dict[str, dict[Viewer, None]] = {}
        self.writer = PageWriter(self.rooms, room_row, call_later, on_shown, self._reconnect)
        self.marks = self.writer.marks

    # Pages connect and disconnect

    def connect(self, viewer: Viewer) -> Viewer:
        """A page has opened; it is sent what is sent to its person."""
        if viewer.uid not in self.people:
            self._on_opened(f"user:{viewer.uid}")
        self.people.setdefault(viewer.uid, {})[viewer] = None
        return viewer

    def disconnect(self, viewer: Viewer) -> None:
        """The page has gone. Calling it again does nothing."""
        pages = self.people.get(viewer.uid, {})
        if viewer not in pages:
            return
        del pages[viewer]
        if not pages:
            del self.people[viewer.uid]
        for rid in list(viewer.rooms):
            self.leave(viewer, rid)
        self.marks.forget(viewer)
        viewer.forget_page()
        if not pages:
            self._on_closed(f"user:{viewer.uid}")

    def belong(self, viewer: Viewer, rid: str, seq: int, at: int = 0) -> None:
        """The viewer is sent the unread marks of a room from now on. `seq` is the number of the
        room's last event, and `at` its time. Does nothing for a page that has gone meanwhile:
        nothing would ever remove it from the room."""
        if rid in viewer.rooms or viewer not in self.people.get(viewer.uid, ()):
            return
        self.writer.flush()  # or the viewer would be sent events of this turn that its list has
        viewer.rooms.add(rid)
        room = self.rooms.get(rid)
        if room is None:
            room = self.rooms[rid] = LiveRoom(seq, at)
            self._on_opened(f"room:{rid}")
        room.group(viewer.zone).belonging[viewer] = None
        self.marks.was_sent(viewer, rid, seq)

    def leave(self, viewer: Viewer, rid: str) -> None:
        """The viewer is sent nothing more of a room."""
        if rid not in viewer.rooms:
            return
        viewer.rooms.remove(rid)
        room = self.rooms[rid]
        group = room.groups[viewer.zone]
        self._stop_watching(viewer, group)
        group.belonging.pop(viewer, None)
        self.marks.not_ahead(viewer, rid)
        if viewer.watching == rid:
            viewer.watching = viewer.held = None
        if not group.watching and not group.belonging:
            del room.groups[viewer.zone]
        if not room.groups:
            del self.rooms[rid]
            self._on_closed(f"room:{rid}")

    def leave_all(self, rid: str, uid: str) -> None:
        """No page of a person is sent anything more of a room; those that were still in it are
        asked to reconnect."""
        viewers = [viewer for viewer in self.people.get(uid, ()) if rid in viewer.rooms]
        for viewer in viewers:
            self.leave(viewer, rid)
        self._reconnect(viewers)

    def count_pages(self) -> int:
        """The number of open pages."""
        return sum(map(len, self.people.values()))

    def count_room_viewers(self) -> int:
        """The number of pairs of an open page and a room it belongs to, counted from the rooms.
        More than 0 while no page is open means that a room keeps a page that has gone."""
        return sum(len(room.viewers()) for room in self.rooms.values())

    # Watching a room: hold events, read the history, go live

    def watch(self, viewer: Viewer, rid: str) -> None:
        """The page shows a room (to which it must belong). Events are held from now on until
        `live`, so that the history can be read and sent first."""
        self.unwatch(viewer)
        self.writer.flush()
        group = self.rooms[rid].groups[viewer.zone]
        group.belonging.pop(viewer, None)
        self.marks.not_ahead(viewer, rid)
        group.watching[viewer] = group.lagging[viewer] = None
        viewer.watching = rid
        viewer.sent = 0
        viewer.held = []
        viewer.list_version += viewer.held_marks is not None

    def live(self, viewer: Viewer, upto: int) -> None:
        """The viewer has been sent everything up to `upto`: send what was held since."""
        held, viewer.held, viewer.sent = viewer.held, None, upto
        if held:
            self.writer.send_missing(viewer, held)

    def unwatch(self, viewer: Viewer) -> None:
        """The page does not show its room any more; the viewer still belongs to it."""
        if viewer.watching is None:
            return
        self.writer.flush()  # or events of this turn would never be shown
        if viewer.watching is not None:  # the write did not fail
            self._stop_showing(viewer)

    def _stop_showing(self, viewer: Viewer) -> None:
        rid = viewer.watching or ""
        group = self.rooms[rid].groups[viewer.zone]
        self._stop_watching(viewer, group)
        group.belonging[viewer] = None
        viewer.watching = viewer.held = None
        viewer.list_version += viewer.held_marks is not None
        self.marks.was_sent(viewer, rid, viewer.sent)

    def _stop_watching(self, viewer: Viewer, group: Group) -> None:
        self.writer.set_lagging(viewer)
        group.watching.pop(viewer, None)
        group.lagging.pop(viewer, None)

    # Events

    def publish(self, event: Event) -> bool:
        """Send an event to the pages it concerns. An event with a number from before is dropped.
        Returns False, having done nothing, if events before it are missing, which must come first;
        or if it is newer than the last one but its number is not, because then it was lost."""
        room = self.rooms.get(event.room)
        if room is None:
            return True
        if event.seq <= room.last:
            return not 0 < room.at < event.at
        if event.seq > room.last + 1:
            return False
        for zone, group in room.groups.items():
            if group.watching:
                try:
                    group.for_viewers.append((event.seq, self.for_viewers(event, zone)))
                except Exception as error:
                    log_error("cannot show event %d of room %s", error, event.seq, event.room)
                    self.writer.flush()  # what can be shown goes first
                    self._reconnect(group.watching)
            if group.belonging and not event.is_silent:
                try:
                    group.for_members.append((event.seq, self.for_members(event, zone)))
                except Exception as error:
                    log_error("cannot mark event %d of room %s", error, event.seq, event.room)
                    self._reconnect(group.belonging)
        room.last, room.at = event.seq, event.at
        for changed in room.readers:
            changed.add(event.about)
        EVENTS.inc()
        self.writer.flush_later(room)
        if not event.is_silent:
            room.newest = event
        return True

    def restart(self, rid: str, seq: int) -> None:
        """The numbers of a room began anew (in another database) and are at `seq`: ask its viewers
        to reconnect, so that what they show is compared and replaced."""
        if room := self.rooms.get(rid):
            room.last, room.at = seq, 0
            self.reset(rid)
            for viewer in room.viewers():
                self.marks.not_ahead(viewer, rid)

    def reset(self, rid: str) -> None:
        """Ask all viewers of a room to reconnect: it is unknown what they lack."""
        if room := self.rooms.get(rid):
            self._reconnect(room.viewers())

    def sign_out(self, viewer: Viewer, text: str) -> None:
        """Send a last fragment to a page, and close it for good."""
        self.writer.send_text(viewer, text)
        viewer.close(NOT_ALLOWED)

    def _reconnect(self, viewers: Iterable[Viewer]) -> None:
        """Ask pages to reconnect that lack something, because it could not be rendered or written.
        They are shown nothing after it, and read their room from the last number they have."""
        for viewer in list(viewers):
            if viewer.watching is not None:
                self._stop_showing(viewer)
            try:
                viewer.close(SERVICE_RESTART)
            except Exception as error:
                log_error("cannot close a page", error)
