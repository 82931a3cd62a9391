"""Writing messages to open pages."""

import logging
from collections.abc import Callable, Iterable
from functools import partial

from ..observability.redaction import without_message
from .packet import Packet
from .viewers import UNNUMBERED, Group, Numbered, Viewer, Write

log = logging.getLogger(__name__)

UNCHECKED_BYTES = 64 * 1024  # written to viewers in sync before `push` checks them again


class DelayedWrite:
    """Stands in for the bare write of a viewer: writes the frame of `packet` before the next one.

    frame: empty once it is written.
    writes: the dictionary that held `write`, which is put back there.
    """

    __slots__ = ("frame", "packet", "write", "writes")

    def __init__(
        self, packet: Packet, frame: bytes, writes: dict[Viewer, Write], write: Write
    ) -> None:
        self.packet = packet
        self.frame = frame
        self.writes = writes
        self.write = write

    def __call__(self, frames: bytes) -> None:
        self.write(self.frame + frames)
        self.frame = b""


class PageWriter:
    """`on_failure` is called with a viewer to whom a write has raised an error."""

    def __init__(self, on_failure: Callable[[Viewer], None]) -> None:
        self._on_failure = on_failure
        self._delayed: dict[Viewer, DelayedWrite] = {}

    def push(self, viewer: Viewer, packet: Packet) -> bool:
        """Write to one viewer; False if that was not possible."""
        if viewer in self._delayed:
            self._push_delayed(viewer)
        try:
            return viewer.push(packet)
        except Exception as error:
            self._failed(viewer, error)
            return False

    def push_with_next(self, viewer: Viewer, packet: Packet) -> None:
        """Write a packet together with the next one for this viewer, which saves a system call, or
        with `push_delayed` if none follows. A viewer who is not in sync gets it at once."""
        group = viewer.in_sync_with
        if group is None or viewer in self._delayed:
            self.push(viewer, packet)
            return
        writes = group.deflating if viewer in group.deflating else group.plain
        frame = packet.deflated if writes is group.deflating else packet.plain
        delayed = DelayedWrite(packet, frame, writes, writes[viewer])
        writes[viewer] = self._delayed[viewer] = delayed

    def push_delayed(self) -> None:
        """Write the packets that nothing has followed."""
        while self._delayed:
            self._push_delayed(next(iter(self._delayed)))

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

    def show(self, group: Group, fragments: list[Numbered]) -> None:
        """Write fragments to the watching viewers of a group. The hot path: everything that is the
        same for all viewers is done before the loop."""
        packet = Packet.of(text for _, text in fragments)
        before, last = fragments[0][0] - 1, fragments[-1][0]
        deflated = packet.deflated if group.deflating else b""  # may raise
        group.sent = last
        self._write_in_sync(group, packet, deflated)
        for viewer in list(group.lagging):
            if viewer.held is not None:
                viewer.held += fragments
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
        self._on_failure(viewer)


def log_error(text: str, error: Exception, *args: object) -> None:
    """Log an error without its message, which may quote what somebody has written."""
    log.error(f"{text}: %s", *args, without_message(error))
