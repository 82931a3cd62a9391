"""The hub: who looks at which room in this process, and what goes out to them.

It knows neither Redis nor Flask nor sockets. Events and viewers go in, writes come out. A
room's event is rendered once and framed once; events of one turn of the event loop leave as
one write per viewer. All methods run on the event loop and never block.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from .events import Event
from .frames import Frame, join

# Writes framed bytes, or the same as texts where bytes cannot go; False when the viewer is gone.
Push = Callable[[bytes, Sequence[str]], bool]
# Closes the viewer's connection with a code of RFC 6455.
Kick = Callable[[int], object]
# Makes an event's fragment.
Render = Callable[[Event], str]
log = logging.getLogger(__name__)

SERVICE_RESTART = 1012  # the close code after which htmx connects again
NOT_ALLOWED = 1008  # the one after which it does not


class Viewer:
    """One open page. It watches at most one room and belongs to all rooms of its person."""

    __slots__ = ("held", "kick", "push", "rooms", "sent", "session", "uid", "watching")

    def __init__(self, push: Push, kick: Kick, uid: str, session: str) -> None:
        self.push = push
        self.kick = kick
        self.uid = uid
        self.session = session  # the id of the session that the page was opened in
        self.rooms: set[str] = set()
        self.watching: str | None = None
        self.sent = 0  # the last number of the watched room that was sent
        self.held: list[Frame] | None = None  # live frames kept back while history is read


class Room:
    """A room as this process sees it: who looks, and the last number that came by."""

    __slots__ = ("belonging", "last", "newest", "notes", "shown", "watching")

    def __init__(self, last: int) -> None:
        self.last = last
        self.watching: dict[Viewer, None] = {}
        self.belonging: dict[Viewer, None] = {}
        self.newest: Event | None = None  # the last event of this turn of the loop
        self.shown: list[Frame] = []  # of this turn of the loop, for the watching
        self.notes: list[Frame] = []  # of this turn of the loop, for the belonging


class Hub:
    """What a hub needs of the others, as plain functions.

    show, note, line: make an event's fragment: for those who watch its room, for those who
        merely belong to it, and, for both, of the last event of a turn.
    later: calls a function when this turn of the loop is over.
    opened, closed: told when the first viewer of a channel comes and the last one goes, which
        keeps one subscription per room and person.
    """

    def __init__(
        self,
        show: Render,
        note: Render,
        line: Render,
        later: Callable[[Callable[[], None]], object],
        opened: Callable[[str], object],
        closed: Callable[[str], object],
    ) -> None:
        self.show = show
        self.note = note
        self.line = line
        self.later = later
        self.opened = opened
        self.closed = closed
        self.rooms: dict[str, Room] = {}
        self.people: dict[str, dict[Viewer, None]] = {}
        self.channels: Counter[str] = Counter()
        self._ready: list[Room] = []  # rooms with something to write this turn

    # People come and go

    def connect(self, push: Push, kick: Kick, uid: str, session: str = "") -> Viewer:
        """A page of `uid` has opened, in a session of theirs; it gets what is sent to them."""
        viewer = Viewer(push, kick, uid, session)
        self.people.setdefault(uid, {})[viewer] = None
        self._open(f"user:{uid}")
        return viewer

    def disconnect(self, viewer: Viewer) -> None:
        """The page is gone. Calling it again does nothing."""
        pages = self.people.get(viewer.uid, {})
        if viewer not in pages:
            return
        del pages[viewer]
        if not pages:
            del self.people[viewer.uid]
        for rid in list(viewer.rooms):
            self.leave(viewer, rid)
        self._close(f"user:{viewer.uid}")

    def belong(self, viewer: Viewer, rid: str, seq: int) -> None:
        """The viewer gets the unread mark of `rid`; `seq` is the room's number now."""
        if rid in viewer.rooms:
            return
        viewer.rooms.add(rid)
        room = self.rooms.get(rid)
        if room is None:
            room = self.rooms[rid] = Room(seq)
        room.belonging[viewer] = None
        self._open(f"room:{rid}")

    def leave(self, viewer: Viewer, rid: str) -> None:
        """The viewer gets nothing more of `rid`."""
        if rid not in viewer.rooms:
            return
        viewer.rooms.remove(rid)
        room = self.rooms[rid]
        room.watching.pop(viewer, None)
        room.belonging.pop(viewer, None)
        if viewer.watching == rid:
            viewer.watching = viewer.held = None
        if not room.watching and not room.belonging:
            del self.rooms[rid]
        self._close(f"room:{rid}")

    # Watching: hold, read the history, go live

    def watch(self, viewer: Viewer, rid: str) -> None:
        """Put `rid` (the viewer must belong to it) on screen. What happens from now on is held
        until `live`, so that history read in between can go first."""
        self.unwatch(viewer)
        self.flush()
        room = self.rooms[rid]
        room.belonging.pop(viewer, None)
        room.watching[viewer] = None
        viewer.watching = rid
        viewer.sent = 0
        viewer.held = []

    def live(self, viewer: Viewer, upto: int) -> None:
        """The viewer was sent everything up to `upto`; let go of what was held since."""
        held, viewer.held, viewer.sent = viewer.held, None, upto
        if held:
            self._send(viewer, held)

    def unwatch(self, viewer: Viewer) -> None:
        """Take the watched room off the screen; the viewer still belongs to it."""
        if viewer.watching is None:
            return
        self.flush()  # what it was to be shown must not turn into nothing
        room = self.rooms[viewer.watching]
        room.watching.pop(viewer, None)
        room.belonging[viewer] = None
        viewer.watching = viewer.held = None

    # Events come in

    def publish(self, event: Event) -> bool:
        """Send an event to whom it concerns. A number seen before is dropped. Returns False,
        having done nothing, when numbers before it are missing: they must come first."""
        room = self.rooms.get(event.room)
        if room is None:
            return True
        if event.seq <= room.last:
            return True
        if event.seq > room.last + 1:
            return False
        room.last = event.seq
        if room.newest is None:
            if not self._ready:
                self.later(self.flush)
            self._ready.append(room)
        room.newest = event
        if room.watching:
            room.shown.append(Frame.of(event.seq, self.show(event)))
        if room.belonging:
            room.notes.append(Frame.of(event.seq, self.note(event)))
        return True

    def restart(self, rid: str, seq: int) -> None:
        """The room's numbers began anew (another database) and are at `seq`: ask its viewers to
        come back with what they have, so that it is compared and replaced."""
        if rid in self.rooms:
            self.rooms[rid].last = seq
            for viewer in [*self.rooms[rid].watching, *self.rooms[rid].belonging]:
                viewer.kick(SERVICE_RESTART)

    def tell(self, rid: str, text: str) -> None:
        """Send what is no event to all pages of a room's members."""
        self.tell_watching(rid, text)
        self._tell(self.rooms[rid].belonging if rid in self.rooms else (), text)

    def tell_watching(self, rid: str, text: str) -> None:
        """Send what is no event to the pages that show a room."""
        self._tell(self.rooms[rid].watching if rid in self.rooms else (), text)

    def _tell(self, viewers: Iterable[Viewer], text: str) -> None:
        wire, texts = join([Frame.of(0, text)])
        for viewer in list(viewers):
            self._push(viewer, wire, texts)

    def say(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page."""
        self._push(viewer, *join([Frame.of(0, text)]))

    def sign_out(self, viewer: Viewer, text: str) -> None:
        """Send a last fragment to a page and close it for good."""
        self.say(viewer, text)
        viewer.kick(NOT_ALLOWED)

    def flush(self) -> None:
        """Write what this turn brought: one write for each viewer and room."""
        ready, self._ready = self._ready, []
        for room in ready:
            event, room.newest = room.newest, None
            shown, room.shown = room.shown, []
            notes, room.notes = room.notes, []
            if event is None or not (shown or notes):
                continue
            line = Frame.of(event.seq, self.line(event))
            if shown:
                self._show(room, [*shown, line])
            if notes:
                wire, texts = join([*notes, line])
                for viewer in room.belonging:
                    self._push(viewer, wire, texts)

    def _show(self, room: Room, frames: list[Frame]) -> None:
        """The hot path: everything that is the same for all viewers is done before the loop."""
        wire, texts = join(frames)
        before, last = frames[0].seq - 1, frames[-1].seq
        for viewer in room.watching:
            if viewer.sent == before and viewer.held is None:
                viewer.sent = last
                try:
                    viewer.push(wire, texts)
                except Exception:
                    self._failed(viewer)
            elif viewer.held is not None:
                viewer.held += frames
            else:
                self._send(viewer, frames)

    def _send(self, viewer: Viewer, frames: list[Frame]) -> None:
        """The slow path: only what this viewer has not been sent."""
        missing = [frame for frame in frames if frame.seq > viewer.sent]
        if missing:
            viewer.sent = missing[-1].seq
            self._push(viewer, *join(missing))

    def _push(self, viewer: Viewer, wire: bytes, texts: Sequence[str]) -> None:
        try:
            viewer.push(wire, texts)
        except Exception:
            self._failed(viewer)

    def _failed(self, viewer: Viewer) -> None:
        """A write to one viewer raised: its failure is its own."""
        log.exception("cannot write to a page")
        viewer.kick(SERVICE_RESTART)

    def _open(self, channel: str) -> None:
        self.channels[channel] += 1
        if self.channels[channel] == 1:
            self.opened(channel)

    def _close(self, channel: str) -> None:
        self.channels[channel] -= 1
        if not self.channels[channel]:
            del self.channels[channel]
            self.closed(channel)
