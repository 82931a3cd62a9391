"""What open pages are sent: the events of a turn of the event loop at its end, the rest at once.

One turn's events leave as one message to each viewer, which is framed once for all of them.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from ..domain.events import Event
from ..observability.redaction import without_message
from .packet import Packet
from .unread_marks import UnreadMarks
from .viewers import UNNUMBERED, Group, LiveRoom, Numbered, Viewer, Write

log = logging.getLogger(__name__)

Render = Callable[[Event, str], str]  # renders a fragment of an event, for a time zone

UNCHECKED_BYTES = 64 * 1024  # written to viewers in sync before `push` checks them again


@dataclass(eq=False, repr=False, slots=True)
class DelayedWrite:
    """Stands in for the bare write of a viewer: writes the frame of `packet` before the next one.

    frame: empty once it is written.
    writes: the dictionary that held `write`, which is put back there.
    """

    packet: Packet
    frame: bytes
    writes: dict[Viewer, Write]
    write: Write

    def __call__(self, frames: bytes) -> None:
        self.write(self.frame + frames)
        self.frame = b""


@dataclass(eq=False)
class PageWriter:
    """Writes to pages.

    rooms: those of the hub, by id.
    room_row: renders, for a time zone, a room's row after the last event of a turn.
    call_later: calls a function at the end of this turn of the event loop.
    on_shown: called once a turn for each room whose watching viewers were sent something.
    on_failure: called with viewers who could not be sent something.
    """

    rooms: dict[str, LiveRoom]
    room_row: Render
    call_later: Callable[[Callable[[], None]], object]
    on_shown: Callable[[LiveRoom], object]
    on_failure: Callable[[Iterable[Viewer]], None]
    _ready: dict[LiveRoom, None] = field(default_factory=dict)  # have something to write
    _will_flush: bool = False
    _delayed: dict[Viewer, DelayedWrite] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.marks = UnreadMarks(self.rooms, self.push)

    # The events of a turn

    def flush_later(self, room: LiveRoom | None = None) -> None:
        """Write what waits at the end of this turn: the fragments of `room`, and delayed writes."""
        if room is not None:
            self._ready[room] = None
        if not self._will_flush:
            self._will_flush = True
            self.call_later(self.flush)

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
                    self.on_shown(room)
                    try:
                        last = shown[-1][0]
                        self.show(group, shown, [(last, text) for text in row])
                    except Exception as error:
                        log_error("cannot write what happened in a room", error)
                        self.on_failure(group.watching)
                    if row and self.marks.exceptions:
                        self.marks.hold_row(group, rid, shown[-1][0], row[0])
                if marks:
                    try:
                        self._mark(group, rid, marks, row)
                    except Exception as error:
                        log_error("cannot write what happened in a room", error)
                        self.on_failure(group.belonging)
        while self._delayed:
            self._push_delayed(next(iter(self._delayed)))

    def _mark(self, group: Group, rid: str, marks: list[Numbered], row: list[str]) -> None:
        """Write the unread marks of a room, and its row in the list, to the other pages."""
        packet = Packet.of([*(text for _, text in marks), *row])
        if self.marks.exceptions.keys().isdisjoint(group.belonging.keys()):
            self.push_all(group.belonging, packet)
            return
        for viewer in list(group.belonging):
            if viewer not in self.marks.exceptions:
                self.push(viewer, packet)
            elif texts := self.marks.unsent(viewer, rid, marks, row):
                self.push(viewer, Packet.of(texts))

    def _row(self, event: Event, zone: str) -> list[str]:
        """The room's row in the list; none if it cannot be rendered, and messages go without it."""
        try:
            return [self.room_row(event, zone)]
        except Exception as error:
            log_error("cannot render the row of room %s", error, event.room)
            return []

    # What is no event

    def send_to_members(self, rid: str, text: str) -> None:
        """Send a fragment to all pages of a room's members."""
        if rid in self.rooms:
            self.push_all(self.rooms[rid].viewers(), Packet(text))

    def send_to_viewers(self, rid: str, render: Callable[[str], str]) -> None:
        """Send a fragment to the pages that show a room; `render` is given a time zone."""
        self.flush()  # what came before must not replace it
        groups = self.rooms[rid].groups if rid in self.rooms else {}
        for zone, group in groups.items():
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
                    self.push(viewer, packet)

    def send_list(self, viewer: Viewer, text: str, seqs: dict[str, int]) -> None:
        """Send a room list (UnreadMarks.send_list), and the marks that it lacks."""
        self.flush()  # the list may already have what waits for the end of this turn
        self.marks.send_list(viewer, text, seqs)
        if viewer.watching and self.marks.has_newer_row(viewer, viewer.watching, 1):
            self.set_lagging(viewer)  # events that are older than the list come without their row

    def send_text(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page."""
        self.push(viewer, Packet(text))

    def send_with_events(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page, in one write with the events of this turn, which saves a
        system call: an author learns that a message is stored in the turn in which the message
        itself arrives. A viewer who is not in sync gets it at once."""
        packet, group = Packet(text), viewer.in_sync_with
        self.flush_later()
        if group is None or viewer in self._delayed:
            self.push(viewer, packet)
            return
        writes = group.deflating if viewer in group.deflating else group.plain
        frame = packet.deflated if writes is group.deflating else packet.plain
        delayed = DelayedWrite(packet, frame, writes, writes[viewer])
        writes[viewer] = self._delayed[viewer] = delayed

    # Writing

    def push(self, viewer: Viewer, packet: Packet) -> bool:
        """Write to one viewer; False if that was not possible."""
        if viewer in self._delayed:
            self._push_delayed(viewer)
        try:
            return viewer.push(packet)
        except Exception as error:
            self._failed(viewer, error)
            return False

    def _push_delayed(self, viewer: Viewer) -> None:
        delayed = self._delayed.pop(viewer)
        if delayed.writes.get(viewer) is delayed:
            delayed.writes[viewer] = delayed.write
        if delayed.frame:
            self.push(viewer, delayed.packet)

    def push_all(self, viewers: Iterable[Viewer], packet: Packet) -> None:
        """Write to each of the viewers."""
        for viewer in viewers:
            self.push(viewer, packet)

    def show(self, group: Group, shown: list[Numbered], row: list[Numbered]) -> None:
        """Write fragments of events, and the room's row after them, to the watching viewers of a
        group. The hot path: everything that is the same for all viewers is done before the loop."""
        fragments = shown + row
        packet = Packet.of(text for _, text in fragments)
        before, last = fragments[0][0] - 1, fragments[-1][0]
        deflated = packet.deflated if group.deflating else b""  # may raise
        group.sent = last
        self._write_in_sync(group, packet, deflated)
        for viewer in list(group.lagging):
            if viewer.held is not None:
                viewer.held += fragments
                continue
            if self.marks.has_newer_row(viewer, viewer.watching or "", last):
                self.send_missing(viewer, shown)
                continue
            if viewer.sent == before:
                if self.push(viewer, packet):
                    viewer.sent = last
            else:
                self.send_missing(viewer, fragments)
            if viewer.sent == last and viewer in group.lagging:
                self._set_in_sync(viewer, group)

    def send_missing(self, viewer: Viewer, fragments: list[Numbered]) -> None:
        """Write only the fragments that this viewer has not been sent."""
        missing = [one for one in fragments if one[0] > viewer.sent or one[0] == UNNUMBERED]
        if missing and self.push(viewer, Packet.of(text for _, text in missing)):
            viewer.sent = max(viewer.sent, *(seq for seq, _ in missing))

    def set_lagging(self, viewer: Viewer) -> None:
        """Check the viewer before each write from now on. Also called when its connection
        closes."""
        group = viewer.in_sync_with
        if group is not None:
            viewer.sent, viewer.in_sync_with = group.sent, None
            group.plain.pop(viewer, None)
            group.deflating.pop(viewer, None)
            group.lagging[viewer] = None

    def _set_in_sync(self, viewer: Viewer, group: Group) -> None:
        """Write to the viewer without checking it from now on, if its connection has a bare
        write."""
        try:
            found = viewer.direct and viewer.direct(partial(self.set_lagging, viewer))
        except Exception as error:
            self._failed(viewer, error)
            return
        if found:
            write, deflates = found
            (group.deflating if deflates else group.plain)[viewer] = write
            del group.lagging[viewer]
            viewer.in_sync_with = group

    def _write_in_sync(self, group: Group, packet: Packet, deflated: bytes) -> None:
        """Write to the viewers in sync; now and then through `push`, which closes slow readers."""
        group.unchecked += len(packet.plain)
        if group.unchecked > UNCHECKED_BYTES:
            group.unchecked = 0
            self.push_all([*group.plain, *group.deflating], packet)
            return
        if group.plain:
            self._write_all(group.plain, packet.plain, packet)
        if group.deflating:
            self._write_all(group.deflating, deflated, packet)

    def _write_all(self, writes: dict[Viewer, Write], frame: bytes, packet: Packet) -> None:
        failed: list[Write] = []
        for write in writes.values():
            try:
                write(frame)
            except Exception:
                failed.append(write)
        if failed:  # look up their viewers only here, so that the loop needs only the values
            self.push_all([v for v, write in writes.items() if write in failed], packet)

    def _failed(self, viewer: Viewer, error: Exception) -> None:
        log_error("cannot write to a page", error)
        self.on_failure([viewer])


def log_error(text: str, error: Exception, *args: object) -> None:
    """Log an error without its message, which may quote what somebody has written."""
    log.error(f"{text}: %s", *args, without_message(error))
