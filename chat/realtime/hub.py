"""The hub: who looks at which room in this process, and what goes out to them.

It knows neither Redis nor Flask nor sockets. Events and viewers go in, writes come out. A
room's event is rendered once for each time zone in use and framed once; events of one turn of
the event loop leave as one message per viewer. All methods run on the event loop and never block.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from ..domain.events import Event
from ..observability.metrics import EVENTS
from ..observability.redaction import without_message
from ..store.people import Person
from .packet import Packet

# Writes a message; False when the viewer is gone.
Push = Callable[[Packet], bool]
# Closes the viewer's connection with a code of RFC 6455.
Kick = Callable[[int], object]
# Writes frames as they are, and neither asks nor answers anything.
Write = Callable[[bytes], object]
# The bare write of a viewer's connection, and whether it reads compressed frames; None where there
# is none. Calls what it is given when nothing must be written by it any more.
Direct = Callable[[Callable[[], None]], tuple[Write, bool] | None]
# Makes an event's fragment, for a time zone.
Render = Callable[[Event, str], str]
# What is kept for a page whose side list is being read: room, number and fragment.
Kept = tuple[str, int, str]
# A fragment of the watched room with the event's number, which is greater than that of the last;
# UNNUMBERED for a fragment of no event.
Numbered = tuple[int, str]
UNNUMBERED = 0
log = logging.getLogger(__name__)

SERVICE_RESTART = 1012  # the close code after which htmx connects again
NOT_ALLOWED = 1008  # the one after which it does not
UNCHECKED = 64 * 1024  # bytes that are written to a viewer before its `push` looks at it again


def _cannot_ask() -> bool:
    return False


class Viewer:
    """One open page. It watches at most one room and belongs to all rooms of its person."""

    __slots__ = (
        *("_sent", "ahead", "ask", "direct", "held", "kept", "kick", "level", "lists", "person"),
        *("posted_in", "push", "rooms", "session", "uid", "watching", "zone"),
    )

    def __init__(
        self, push: Push, kick: Kick, uid: str, session: str, zone: str, direct: Direct | None
    ) -> None:
        # Asks the page to confirm what it was sent; True when it was asked.
        self.ask: Callable[[], bool] = _cannot_ask
        self.push = push
        self.direct = direct
        self.kick = kick
        self.uid = uid
        self.session = session  # the id of the session that the page was opened in
        self.zone = zone  # the time zone that the page shows
        # The page's person as stored, where the page acts for that person. Kept current by
        # look_again.person.
        self.person: Person | None = None
        self.posted_in: frozenset[str] = frozenset()  # rooms it posted to as that `person`
        self.rooms: set[str] = set()
        # How often its list of rooms was sent anew, or had to be read once more before.
        self.lists = 0
        self.kept: list[Kept] | None = None  # what goes behind a list that is being read
        # Rooms of which a list had newer numbers than the hub, and those numbers.
        self.ahead: dict[str, int] = {}
        self.watching: str | None = None
        self.held: list[Numbered] | None = None  # what is kept back while history is read
        self.level: Group | None = None  # has been sent all that this group has
        self._sent = 0

    @property
    def sent(self) -> int:
        """The last number of the watched room that was sent."""
        return self._sent if self.level is None else self.level.sent

    @sent.setter
    def sent(self, seq: int) -> None:
        self._sent = seq


class Group:
    """Those of a room's viewers who are sent the same bytes: the time zone is theirs.

    Who watches is either level or apart. To those who are level each message is written without a
    look at them: they have all that the group was sent, nothing is held for them, their connection
    is open. The objects of ten thousand viewers do not fit a processor's caches, so that each look
    at one costs as much as many steps of the interpreter.
    """

    __slots__ = (
        *("apart", "belonging", "deflating", "notes", "plain"),
        *("sent", "shown", "unchecked", "watching"),
    )

    def __init__(self) -> None:
        self.watching: dict[Viewer, None] = {}
        self.apart: dict[Viewer, None] = {}  # of the watching
        self.plain: dict[Viewer, Write] = {}  # level, and ...
        self.deflating: dict[Viewer, Write] = {}  # ... those who read compressed frames
        self.sent = 0  # the last number that those who are level were sent
        self.unchecked = 0  # bytes that were written to them since they were looked at
        self.belonging: dict[Viewer, None] = {}
        self.shown: list[Numbered] = []  # of this turn of the loop, for the watching
        self.notes: list[Numbered] = []  # of this turn of the loop, for the belonging

    def viewers(self) -> list[Viewer]:
        """All of them, as they are now."""
        return [*self.watching, *self.belonging]


class Room:
    """A room as this process sees it: who looks, and the last number that came by."""

    __slots__ = ("at", "groups", "last", "newest", "readers")

    def __init__(self, last: int, at: int) -> None:
        self.last = last
        # For each reader of messages that are to be shown again: the numbers of the messages that
        # events have changed since that reader began (look_again).
        self.readers: list[set[int]] = []
        self.at = at  # the time of the last event; 0 when it is not known
        self.groups: dict[str, Group] = {}  # by time zone; none is empty
        self.newest: Event | None = None  # the last event of this turn that is something to read

    def group(self, zone: str) -> Group:
        """The group of a zone, a new one when it is the first."""
        group = self.groups.get(zone)
        if group is None:
            group = self.groups[zone] = Group()
        return group


class Hub:
    """What a hub needs of the others, as plain functions.

    show, note, line: make an event's fragment: for those who watch its room, for those who
        merely belong to it, and, for both, of the last event of a turn.
    later: calls a function when this turn of the loop is over.
    opened, closed: told when the first viewer of a channel comes and the last one goes, which
        keeps one subscription per room and person.
    moved: told, once a turn, of a room whose watching viewers were sent something.
    """

    def __init__(
        self,
        show: Render,
        note: Render,
        line: Render,
        later: Callable[[Callable[[], None]], object],
        opened: Callable[[str], object],
        closed: Callable[[str], object],
        moved: Callable[[Room], object] = lambda room: None,
    ) -> None:
        self.show = show
        self.note = note
        self.line = line
        self.later = later
        self.opened = opened
        self.closed = closed
        self.moved = moved
        self.rooms: dict[str, Room] = {}
        self.people: dict[str, dict[Viewer, None]] = {}
        self.channels: Counter[str] = Counter()
        self._ready: dict[Room, None] = {}  # rooms with something to write this turn
        # Who may not be sent marks as they come: their side list is being read, or was ahead.
        self._unlike: dict[Viewer, None] = {}

    # People come and go

    def connect(
        self,
        push: Push,
        kick: Kick,
        uid: str,
        session: str = "",
        zone: str = "",
        direct: Direct | None = None,
    ) -> Viewer:
        """A page of `uid` has opened, in a session of theirs; it gets what is sent to them, with
        times of a zone. `direct` is for who has a shorter way than `push`."""
        viewer = Viewer(push, kick, uid, session, zone, direct)
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
        self._unlike.pop(viewer, None)
        self._close(f"user:{viewer.uid}")

    def belong(self, viewer: Viewer, rid: str, seq: int, at: int = 0) -> None:
        """The viewer gets the unread mark of `rid`; `seq` is the room's number now, and `at` the
        time of that event. For a page that has gone meanwhile, nothing happens: nobody would
        ever take it out of the room again."""
        if rid in viewer.rooms or viewer not in self.people.get(viewer.uid, ()):
            return
        viewer.rooms.add(rid)
        room = self.rooms.get(rid)
        if room is None:
            room = self.rooms[rid] = Room(seq, at)
        room.group(viewer.zone).belonging[viewer] = None
        self._open(f"room:{rid}")
        self._told(viewer, rid, seq)

    def leave(self, viewer: Viewer, rid: str) -> None:
        """The viewer gets nothing more of `rid`."""
        if rid not in viewer.rooms:
            return
        viewer.rooms.remove(rid)
        room = self.rooms[rid]
        group = room.groups[viewer.zone]
        self._stop_watching(viewer, group)
        group.belonging.pop(viewer, None)
        viewer.ahead.pop(rid, None)
        if viewer.watching == rid:
            viewer.watching = viewer.held = None
        if not group.watching and not group.belonging:
            del room.groups[viewer.zone]
        if not room.groups:
            del self.rooms[rid]
        self._close(f"room:{rid}")

    def leave_all(self, rid: str, uid: str) -> None:
        """None of a person's pages gets anything more of a room; those that were still in it are
        asked to come back."""
        viewers = [viewer for viewer in self.people.get(uid, ()) if rid in viewer.rooms]
        for viewer in viewers:
            self.leave(viewer, rid)
        self._ask_back(viewers)

    def count_pages(self) -> int:
        """The number of open pages."""
        return sum(map(len, self.people.values()))

    def count_room_viewers(self) -> int:
        """The number of pairs of an open page and a room it belongs to, counted from the rooms.
        More than 0 while no page is open means that a room keeps a page that has gone."""
        groups = (group for room in self.rooms.values() for group in room.groups.values())
        return sum(len(group.watching) + len(group.belonging) for group in groups)

    def uids(self, rid: str) -> list[str]:
        """The people whose pages get something of a room."""
        groups = self._groups(rid).values()
        return list({viewer.uid for group in groups for viewer in group.viewers()})

    # Watching: hold, read the history, go live

    def watch(self, viewer: Viewer, rid: str) -> None:
        """Put `rid` (the viewer must belong to it) on screen. What happens from now on is held
        until `live`, so that history read in between can go first."""
        self.unwatch(viewer)
        self.flush()
        group = self.rooms[rid].groups[viewer.zone]
        group.belonging.pop(viewer, None)
        viewer.ahead.pop(rid, None)
        group.watching[viewer] = group.apart[viewer] = None
        viewer.watching = rid
        viewer.sent = 0
        viewer.held = []
        viewer.lists += viewer.kept is not None

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
        if viewer.watching is not None:  # it can be written to
            self._take_off_screen(viewer)

    def _take_off_screen(self, viewer: Viewer) -> None:
        rid = viewer.watching or ""
        group = self.rooms[rid].groups[viewer.zone]
        self._stop_watching(viewer, group)
        group.belonging[viewer] = None
        viewer.watching = viewer.held = None
        viewer.lists += viewer.kept is not None
        self._told(viewer, rid, viewer.sent)

    def _stop_watching(self, viewer: Viewer, group: Group) -> None:
        self._set_apart(viewer)
        group.watching.pop(viewer, None)
        group.apart.pop(viewer, None)

    def _make_level(self, viewer: Viewer, group: Group) -> None:
        """From here on the viewer, who has what the group was sent, is not looked at."""
        try:
            found = viewer.direct and viewer.direct(partial(self._set_apart, viewer))
        except Exception as error:
            self._failed(viewer, error)
            return
        if found:
            write, deflates = found
            (group.deflating if deflates else group.plain)[viewer] = write
            del group.apart[viewer]
            viewer.level = group

    def _set_apart(self, viewer: Viewer) -> None:
        """Each message is written to the viewer after a look, from here on; also called when its
        connection closes."""
        group = viewer.level
        if group is not None:
            viewer.sent, viewer.level = group.sent, None
            group.plain.pop(viewer, None)
            group.deflating.pop(viewer, None)
            group.apart[viewer] = None

    # Events come in

    def publish(self, event: Event) -> bool:
        """Send an event to whom it concerns. A number seen before is dropped. Returns False,
        having done nothing, when numbers before it are missing, which must come first, or when
        it is newer than the last one and its number is not: that event was lost."""
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
                    group.shown.append((event.seq, self.show(event, zone)))
                except Exception as error:
                    _log("cannot show event %d of room %s", error, event.seq, event.room)
                    self.flush()  # what they can be shown goes first
                    self._ask_back(group.watching)
            if group.belonging and not event.is_silent:
                try:
                    group.notes.append((event.seq, self.note(event, zone)))
                except Exception as error:
                    _log("cannot note event %d of room %s", error, event.seq, event.room)
                    self._ask_back(group.belonging)
        room.last, room.at = event.seq, event.at
        for changed in room.readers:
            changed.add(event.about)
        EVENTS.inc()
        if not self._ready:
            self.later(self.flush)
        self._ready[room] = None
        if not event.is_silent:
            room.newest = event
        return True

    def _ask_back(self, viewers: Iterable[Viewer]) -> None:
        """Have pages come back that lack something: it could not be made or written. They are
        shown nothing after it, and read their room from the last number they have."""
        for viewer in list(viewers):
            if viewer.watching is not None:
                self._take_off_screen(viewer)
            try:
                viewer.kick(SERVICE_RESTART)
            except Exception as error:
                _log("cannot close a page", error)

    def restart(self, rid: str, seq: int) -> None:
        """The room's numbers began anew (another database) and are at `seq`: ask its viewers to
        come back with what they have, so that it is compared and replaced."""
        if rid in self.rooms:
            self.rooms[rid].last, self.rooms[rid].at = seq, 0
            self.reset(rid)

    def reset(self, rid: str) -> None:
        """Ask a room's viewers to come back: it cannot be said what they lack."""
        for group in self._groups(rid).values():
            self._ask_back(group.viewers())

    def tell(self, rid: str, text: str) -> None:
        """Send what is no event to all pages of a room's members."""
        packet = Packet(text)
        for group in self._groups(rid).values():
            self._push_all(group.viewers(), packet)

    def tell_watching(self, rid: str, make: Callable[[str], str]) -> None:
        """Send what is no event to the pages that show a room; `make` is given a time zone."""
        self.flush()  # what came before is not to be shown over it
        for zone, group in self._groups(rid).items():
            if not group.watching:
                continue
            try:
                text = make(zone)
                packet = Packet(text)
            except Exception as error:
                _log("cannot tell those who watch room %s", error, rid)
                continue
            for viewer in list(group.watching):
                if viewer.held is not None:
                    viewer.held.append((UNNUMBERED, text))
                else:
                    self._push(viewer, packet)

    def _groups(self, rid: str) -> dict[str, Group]:
        return self.rooms[rid].groups if rid in self.rooms else {}

    # The side list: hold, read it, send it, let go

    def hold_marks(self, viewer: Viewer) -> None:
        """The viewer's list of rooms is about to be read. What changes it from now on goes behind
        it (`send_list`)."""
        viewer.kept = []
        self._unlike[viewer] = None

    def send_list(self, viewer: Viewer, text: str, numbers: dict[str, int]) -> None:
        """Send a list of rooms that is as of these numbers, by room, and then what it does not
        have. With "" only let go of what was held, because the list could not be read."""
        self.flush()  # the list may have what waits for the end of this turn
        kept, viewer.kept = viewer.kept or (), None
        if text:
            self.say(viewer, text)
        behind = [
            text for rid, seq, text in kept if rid in viewer.rooms and seq > numbers.get(rid, 0)
        ]
        if behind:
            self._push(viewer, Packet.of(behind))
        for rid, seq in numbers.items():
            self._told(viewer, rid, seq)
        if not viewer.ahead:
            self._unlike.pop(viewer, None)

    def is_older(self, numbers: dict[str, int], viewer: Viewer) -> bool:
        """True when a list as of these numbers lacks something that the hub has told of."""
        told = self.rooms
        if any(rid in told and seq < told[rid].last for rid, seq in numbers.items()):
            return True
        return not viewer.rooms <= numbers.keys()

    def is_ahead(self, viewer: Viewer, numbers: dict[str, int]) -> bool:
        """True when the viewer was told of something that the hub does not know yet and a list as
        of these numbers lacks: nobody would tell it again behind the list."""
        ahead = viewer.ahead.items()
        if any(seq > numbers.get(rid, 0) for rid, seq in ahead):
            return True
        rid = viewer.watching
        if rid is None:
            return False
        return viewer.sent > max(self.rooms[rid].last, numbers.get(rid, 0))

    def _told(self, viewer: Viewer, rid: str, seq: int) -> None:
        """The viewer was told of the room up to `seq`, which may be more than the hub knows yet."""
        room = self.rooms.get(rid)
        if room and seq > room.last and rid in viewer.rooms and rid != viewer.watching:
            viewer.ahead[rid] = seq
            self._unlike[viewer] = None

    def _unsent(
        self, viewer: Viewer, rid: str, notes: list[Numbered], line: list[str]
    ) -> list[str]:
        """What of these marks, and the line after them, is to be written to the viewer now."""
        upto, last = viewer.ahead.get(rid, 0), notes[-1][0]
        if viewer.kept is not None:
            viewer.kept += [(rid, seq, text) for seq, text in notes if seq > upto]
            viewer.kept += [(rid, last, text) for text in line]
            return []
        if upto <= last:
            viewer.ahead.pop(rid, None)
            if not viewer.ahead:
                self._unlike.pop(viewer, None)
        return [text for seq, text in notes if seq > upto] + (line if last > upto else [])

    def _keep_line(self, group: Group, rid: str, seq: int, line: str) -> None:
        """Those who watch have been told of the last message, which a list being read may lack."""
        for viewer in self._unlike:
            if viewer.kept is not None and viewer in group.watching:
                viewer.kept.append((rid, seq, line))

    def say(self, viewer: Viewer, text: str) -> None:
        """Send a fragment to one page."""
        self._push(viewer, Packet(text))

    def send(self, viewer: Viewer, packet: Packet) -> None:
        """Send one page what others are sent too."""
        self._push(viewer, packet)

    def sign_out(self, viewer: Viewer, text: str) -> None:
        """Send a last fragment to a page and close it for good."""
        self.say(viewer, text)
        viewer.kick(NOT_ALLOWED)

    def flush(self) -> None:
        """Write what this turn brought: one message for each viewer and room."""
        ready, self._ready = self._ready, {}
        for room in ready:
            event, room.newest = room.newest, None
            rid = event.room if event else ""
            for zone, group in room.groups.items():
                shown, group.shown = group.shown, []
                notes, group.notes = group.notes, []
                line = self._line(event, zone) if event and (shown or notes) else []
                if shown:
                    self.moved(room)
                    try:
                        self._show(group, [*shown, *((shown[-1][0], text) for text in line)])
                    except Exception as error:
                        _log("cannot write what happened in a room", error)
                        self._ask_back(group.watching)
                    if line and self._unlike:
                        self._keep_line(group, rid, shown[-1][0], line[0])
                if notes:
                    try:
                        self._note(group, rid, notes, line)
                    except Exception as error:
                        _log("cannot write what happened in a room", error)
                        self._ask_back(group.belonging)

    def _note(self, group: Group, rid: str, notes: list[Numbered], line: list[str]) -> None:
        """Write the marks of a room, and its line in the side list, to those who belong to it."""
        packet = Packet.of([*(text for _, text in notes), *line])
        if self._unlike.keys().isdisjoint(group.belonging.keys()):
            self._push_all(group.belonging, packet)
            return
        for viewer in list(group.belonging):
            if viewer not in self._unlike:
                self._push(viewer, packet)
            elif texts := self._unsent(viewer, rid, notes, line):
                self._push(viewer, Packet.of(texts))

    def _line(self, event: Event, zone: str) -> list[str]:
        """The room's line in the side list. Where it cannot be made, the messages go without."""
        try:
            return [self.line(event, zone)]
        except Exception as error:
            _log("cannot make the line of room %s", error, event.room)
            return []

    def _show(self, group: Group, shown: list[Numbered]) -> None:
        """The hot path: everything that is the same for all viewers is done before the loop."""
        packet = Packet.of(text for _, text in shown)
        before, last = shown[0][0] - 1, shown[-1][0]
        deflated = packet.deflated if group.deflating else b""  # may raise: nothing has moved yet
        group.sent = last
        self._write_level(group, packet, deflated)
        for viewer in list(group.apart):
            if viewer.held is not None:
                viewer.held += shown
                continue
            if viewer.sent == before:
                if self._push(viewer, packet):
                    viewer.sent = last
            else:
                self._send(viewer, shown)
            if viewer.sent == last and viewer in group.apart:
                self._make_level(viewer, group)

    def _write_level(self, group: Group, packet: Packet, deflated: bytes) -> None:
        """Write to those who are level; now and then by `push`, which closes who reads slowly."""
        group.unchecked += len(packet.plain)
        if group.unchecked > UNCHECKED:
            group.unchecked = 0
            self._push_all([*group.plain, *group.deflating], packet)
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
        if failed:  # whose is found out here, so that the loop need not touch them; `push` says why
            self._push_all([v for v, write in writes.items() if write in failed], packet)

    def _send(self, viewer: Viewer, shown: list[Numbered]) -> None:
        """The slow path: only what this viewer has not been sent."""
        missing = [(seq, text) for seq, text in shown if seq > viewer.sent or seq == UNNUMBERED]
        if missing and self._push(viewer, Packet.of(text for _, text in missing)):
            viewer.sent = max(viewer.sent, *(seq for seq, _ in missing))

    def _push_all(self, viewers: Iterable[Viewer], packet: Packet) -> None:
        for viewer in viewers:
            self._push(viewer, packet)

    def _push(self, viewer: Viewer, packet: Packet) -> bool:
        """Write to one viewer; False when that was not possible."""
        try:
            return viewer.push(packet)
        except Exception as error:
            self._failed(viewer, error)
            return False

    def _failed(self, viewer: Viewer, error: Exception) -> None:
        """A write to one viewer raised: its failure is its own."""
        _log("cannot write to a page", error)
        self._ask_back([viewer])

    def _open(self, channel: str) -> None:
        self.channels[channel] += 1
        if self.channels[channel] == 1:
            self.opened(channel)

    def _close(self, channel: str) -> None:
        self.channels[channel] -= 1
        if not self.channels[channel]:
            del self.channels[channel]
            self.closed(channel)


def _log(text: str, error: Exception, *args: object) -> None:
    log.error(f"{text}: %s", *args, without_message(error))
