"""The hub: which pages of this process watch which room, and what they are sent.

It knows neither Redis nor Flask nor sockets. Events and viewers go in, writes come out. An event of
a room is rendered once for each time zone in use, and framed once. The events of one turn of the
event loop leave as one message to each viewer. All methods run on the event loop and never block.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from ..domain.events import Event
from ..observability.metrics import EVENTS
from .delivery import PageWriter, log_error
from .packet import Packet
from .unread_marks import UnreadMarks
from .viewers import UNNUMBERED, Close, Direct, Group, LiveRoom, Numbered, Push, Viewer

SERVICE_RESTART = 1012  # the close code after which htmx connects again
NOT_ALLOWED = 1008  # the close code after which it does not

Render = Callable[[Event, str], str]  # renders a fragment of an event, for a time zone


class Hub:
    """What the hub needs of others is passed as functions.

    for_viewers, for_members, room_row: render an event for the pages that show its room, for the
        other pages of its members, and, for both, the room's row after the last event of a turn.
    call_later: calls a function at the end of this turn of the event loop.
    on_opened, on_closed: called when the first viewer of a channel comes, and when the last one
        goes. So there is one subscription for each room and person.
    on_shown: called once a turn for each room whose watching viewers were sent something.
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
        self.room_row = room_row
        self._call_later = call_later
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._on_shown = on_shown
        self.rooms: dict[str, LiveRoom] = {}
        self.people: dict[str, dict[Viewer, None]] = {}
        self.channels: Counter[str] = Counter()
        self._ready: dict[
            LiveRoom, None
        ] = {}  # rooms with something to write at the end of the turn
        self._will_flush = False  # at the end of this turn
        self._delivery = PageWriter(lambda viewer: self._reconnect([viewer]))
        self.marks = UnreadMarks(self.rooms, self._delivery.push)

    # Pages connect and disconnect

    def connect(
        self,
        push: Push,
        close: Close,
        uid: str,
        session: str = "",
        zone: str = "",
        direct: Direct | None = None,
    ) -> Viewer:
        """A page of `uid` has opened, in one of their sessions; it is sent what is sent to them,
        with times in `zone`. `direct` is for a connection with a faster way than `push`."""
        viewer = Viewer(push, close, uid, session, zone, direct)
        self.people.setdefault(uid, {})[viewer] = None
        self._open(f"user:{uid}")
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
        self._close(f"user:{viewer.uid}")

    def belong(self, viewer: Viewer, rid: str, seq: int, at: int = 0) -> None:
        """The viewer is sent the unread marks of a room from now on. `seq` is the number of the
        room's last event, and `at` its time. Does nothing for a page that has gone meanwhile:
        nothing would ever remove it from the room."""
        if rid in viewer.rooms or viewer not in self.people.get(viewer.uid, ()):
            return
        viewer.rooms.add(rid)
        room = self.rooms.get(rid)
        if room is None:
            room = self.rooms[rid] = LiveRoom(seq, at)
        room.group(viewer.zone).belonging[viewer] = None
        self._open(f"room:{rid}")
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
        self._close(f"room:{rid}")

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
        groups = (group for room in self.rooms.values() for group in room.groups.values())
        return sum(len(group.watching) + len(group.belonging) for group in groups)

    def uids(self, rid: str) -> list[str]:
        """The people whose pages are sent something of a room."""
        groups = self._groups(rid).values()
        return list({viewer.uid for group in groups for viewer in group.viewers()})

    # Watching a room: hold events, read the history, go live

    def watch(self, viewer: Viewer, rid: str) -> None:
        """The page shows a room (to which it must belong). Events are held from now on until
        `live`, so that the history can be read and sent first."""
        self.unwatch(viewer)
        self.flush()
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
            self._delivery.send_missing(viewer, held)

    def unwatch(self, viewer: Viewer) -> None:
        """The page does not show its room any more; the viewer still belongs to it."""
        if viewer.watching is None:
            return
        self.flush()  # or events of this turn would never be shown
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
        self._delivery.set_lagging(viewer)
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
                    self.flush()  # what can be shown goes first
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
        self._flush_later()
        self._ready[room] = None
        if not event.is_silent:
            room.newest = event
        return True

    def restart(self, rid: str, seq: int) -> None:
        """The numbers of a room began anew (in another database) and are at `seq`: ask its viewers
        to reconnect, so that what they show is compared and replaced."""
        if rid in self.rooms:
            self.rooms[rid].last, self.rooms[rid].at = seq, 0
            self.reset(rid)
            for group in self._groups(rid).values():
                for viewer in group.viewers():
                    self.marks.not_ahead(viewer, rid)

    def reset(self, rid: str) -> None:
        """Ask all viewers of a room to reconnect: it is unknown what they lack."""
        for group in self._groups(rid).values():
            self._reconnect(group.viewers())

    def flush(self) -> None:
        """Write the events of this turn: one message to each viewer and room."""
        self._will_flush = False
        ready, self._ready = self._ready, {}
        for room in ready:
            event, room.newest = room.newest, None
            rid = event.room if event else ""
            for zone, group in room.groups.items():
                shown, group.for_viewers = group.for_viewers, []
                marks, group.for_members = group.for_members, []
                row = self._row(event, zone) if event and (shown or marks) else []
                if shown:
                    self._on_shown(room)
                    try:
                        last = shown[-1][0]
                        self._delivery.show(group, [*shown, *((last, text) for text in row)])
                    except Exception as error:
                        log_error("cannot write what happened in a room", error)
                        self._reconnect(group.watching)
                    if row and self.marks.exceptions:
                        self.marks.hold_row(group, rid, shown[-1][0], row[0])
                if marks:
                    try:
                        self._mark(group, rid, marks, row)
                    except Exception as error:
                        log_error("cannot write what happened in a room", error)
                        self._reconnect(group.belonging)
        self._delivery.push_delayed()

    def _flush_later(self) -> None:
        if not self._will_flush:
            self._will_flush = True
            self._call_later(self.flush)

    def _mark(self, group: Group, rid: str, marks: list[Numbered], row: list[str]) -> None:
        """Write the unread marks of a room, and its row in the list, to the other pages."""
        packet = Packet.of([*(text for _, text in marks), *row])
        if self.marks.exceptions.keys().isdisjoint(group.belonging.keys()):
            self._delivery.push_all(group.belonging, packet)
            return
        for viewer in list(group.belonging):
            if viewer not in self.marks.exceptions:
                self._delivery.push(viewer, packet)
            elif texts := self.marks.unsent(viewer, rid, marks, row):
                self._delivery.push(viewer, Packet.of(texts))

    def _row(self, event: Event, zone: str) -> list[str]:
        """The room's row in the list; none if it cannot be rendered, and messages go without it."""
        try:
            return [self.room_row(event, zone)]
        except Exception as error:
            log_error("cannot render the row of room %s", error, event.room)
            return []

    # Sending what is no event

    def send_to_members(self, rid: str, text: str) -> None:
        """Send a fragment to all pages of a room's members."""
        packet = Packet(text)
        for group in self._groups(rid).values():
            self._delivery.push_all(group.viewers(), packet)

    def send_to_viewers(self, rid: str, render: Callable[[str], str]) -> None:
        """Send a fragment to the pages that show a room; `render` is given a time zone."""
        self.flush()  # what came before must not replace it
        for zone, group in self._groups(rid).items():
            if not group.watching:
                continue
            try:
                text = render(zone)
                packet = Packet(text)
            except Exception as error:
                log_error("cannot send to the viewers of room %s", error, rid)
                continue
            for viewer in list(group.watching):
                if viewer.held is not None:
                    viewer.held.append((UNNUMBERED, text))
                else:
                    self._delivery.push(viewer, packet)

    def send_list(self, viewer: Viewer, text: str, seqs: dict[str, int]) -> None:
        """Send a list of rooms (UnreadMarks.send_list), and the marks that it lacks."""
        self.flush()  # the list may already have what waits for the end of this turn
        self.marks.send_list(viewer, text, seqs)

    def send_text(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page."""
        self._delivery.push(viewer, Packet(text))

    def send_with_events(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page, in one write with the events of this turn. An author learns
        that a message is stored in the turn in which the message itself arrives."""
        self._delivery.push_with_next(viewer, Packet(text))
        self._flush_later()

    def send(self, viewer: Viewer, packet: Packet) -> None:
        """Send one page a packet that others may be sent as well."""
        self._delivery.push(viewer, packet)

    def sign_out(self, viewer: Viewer, text: str) -> None:
        """Send a last fragment to a page, and close it for good."""
        self.send_text(viewer, text)
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

    # Channels

    def _groups(self, rid: str) -> dict[str, Group]:
        return self.rooms[rid].groups if rid in self.rooms else {}

    def _open(self, channel: str) -> None:
        self.channels[channel] += 1
        if self.channels[channel] == 1:
            self._on_opened(channel)

    def _close(self, channel: str) -> None:
        self.channels[channel] -= 1
        if not self.channels[channel]:
            del self.channels[channel]
            self._on_closed(channel)
