"""Unread marks, and the room list that is sent to a page.

The list is a snapshot. While it is read, marks are held for the page, and those that the list lacks
are sent after it. A list may also be newer than what the hub knows: then the events it already has
add no mark when they arrive.
"""

from collections.abc import Callable

from .packet import Packet
from .viewers import Group, LiveRoom, Numbered, Viewer


class UnreadMarks:
    """rooms: those of the hub, by id. send: writes a packet to a viewer."""

    def __init__(self, rooms: dict[str, LiveRoom], send: Callable[[Viewer, Packet], bool]) -> None:
        self._rooms = rooms
        self._send = send
        # Viewers who may not be sent marks and rows as they come: their list is being read, or was
        # ahead. The numbers are those of the rows that it was ahead with, by room.
        self.exceptions: dict[Viewer, dict[str, int]] = {}

    def hold(self, viewer: Viewer) -> None:
        """The viewer's room list is about to be read: hold marks until `send_list`."""
        viewer.held_marks = []
        self.exceptions.setdefault(viewer, {})

    def send_list(self, viewer: Viewer, text: str, seqs: dict[str, int]) -> None:
        """Send a room list, and then the marks that it lacks. `seqs` has the number of the
        newest event in the list for each room. With "" only the held marks are sent."""
        held, viewer.held_marks = viewer.held_marks or (), None
        if text:
            self._send(viewer, Packet(text))
        later = [text for rid, seq, text in held if rid in viewer.rooms and seq > seqs.get(rid, 0)]
        if later:
            self._send(viewer, Packet.of(later))
        for rid, seq in seqs.items():
            if rid != viewer.watching:
                self.was_sent(viewer, rid, seq)
            if rid in viewer.rooms and seq > self._rooms[rid].last:
                self.exceptions.setdefault(viewer, {})[rid] = seq
        self._end_exception(viewer)

    def is_older(self, seqs: dict[str, int], viewer: Viewer) -> bool:
        """True if a list with these numbers lacks something that the hub has sent."""
        rooms = self._rooms
        if any(rid in rooms and seq < rooms[rid].last for rid, seq in seqs.items()):
            return True
        return not viewer.rooms <= seqs.keys()

    def is_ahead(self, viewer: Viewer, seqs: dict[str, int]) -> bool:
        """True if the viewer was sent something that the hub does not know yet, and that a list
        with these numbers lacks: nothing would send it again after the list."""
        ahead = [*viewer.ahead.items(), *self.exceptions.get(viewer, {}).items()]
        if any(seq > seqs.get(rid, 0) for rid, seq in ahead):
            return True
        rid = viewer.watching
        if rid is None:
            return False
        return viewer.sent > max(self._rooms[rid].last, seqs.get(rid, 0))

    def was_sent(self, viewer: Viewer, rid: str, seq: int) -> None:
        """The viewer was sent events of a room up to `seq`; the hub may know fewer."""
        room = self._rooms.get(rid)
        if room and seq > room.last and rid in viewer.rooms:
            viewer.ahead[rid] = seq
            self.exceptions.setdefault(viewer, {})

    def not_ahead(self, viewer: Viewer, rid: str) -> None:
        """Stop comparing what the viewer was sent of a room with the room's events."""
        viewer.ahead.pop(rid, None)
        self.exceptions.get(viewer, {}).pop(rid, None)
        self._end_exception(viewer)

    def forget_ahead(self, viewer: Viewer) -> None:
        """Compare nothing that the viewer was sent before: a failover has lost those events."""
        viewer.ahead.clear()
        self.exceptions.get(viewer, {}).clear()
        self._end_exception(viewer)

    def _end_exception(self, viewer: Viewer) -> None:
        if not viewer.ahead and viewer.held_marks is None and not self.exceptions.get(viewer):
            self.exceptions.pop(viewer, None)

    def forget(self, viewer: Viewer) -> None:
        """Forget a viewer whose page has closed."""
        self.exceptions.pop(viewer, None)

    def unsent(self, viewer: Viewer, rid: str, marks: list[Numbered], row: list[str]) -> list[str]:
        """Return which of these marks to write now, and the room's row after them."""
        upto, last = viewer.ahead.get(rid, 0), marks[-1][0]
        if viewer.held_marks is not None:
            viewer.held_marks += [(rid, seq, text) for seq, text in marks if seq > upto]
            viewer.held_marks += [(rid, last, text) for text in row]
            return []
        newest = max(upto, self.exceptions[viewer].get(rid, 0))
        if newest <= last:
            self.not_ahead(viewer, rid)
        return [text for seq, text in marks if seq > upto] + (row if last > newest else [])

    def has_newer_row(self, viewer: Viewer, rid: str, seq: int) -> bool:
        """True if the viewer's list has a row of the room as new as event `seq`, or newer."""
        return viewer in self.exceptions and self.exceptions[viewer].get(rid, 0) >= seq

    def hold_row(self, group: Group, rid: str, seq: int, row: str) -> None:
        """Watching viewers were sent the room's row; hold it for those whose list is being read,
        because that list may lack it."""
        for viewer, listed in list(self.exceptions.items()):
            if viewer in group.watching:
                if viewer.held_marks is not None:
                    viewer.held_marks.append((rid, seq, row))
                if listed.get(rid, seq + 1) <= seq:
                    self.not_ahead(viewer, rid)
