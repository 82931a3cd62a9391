"""The connection of an open page: the frames that it sends, and the responses to them.

A page's frames are htmx's (four.htmx.org/extensions/ws): its form fields as JSON, with "headers". A
page sends `watch` (which room is on screen, and the last number that it shows) when its socket
opens, when the room changes, and every 45 s. The other frames are those of its composers
(live_composers). Permissions are checked for each frame, here or in the store's scripts; what the
page showed before proves nothing.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import InitVar, dataclass, field
from functools import partial

from flask import g
from redis.exceptions import RedisError

from ..bridge import WebSocket, await_
from ..domain.errors import NotFound
from ..domain.validation import cursor, number
from ..realtime.client_messages import Frame, one, parse, pending
from ..realtime.hub import Hub
from ..realtime.refresh import numbers
from ..realtime.resume_cache import CatchUp, Cursor
from ..realtime.viewers import Viewer
from ..rendering.room_list import digest, numbers_digest
from ..rendering.text_renderer import on_behalf_of
from ..services.context import Parts, chat
from ..services.limits import Pace, PagesPace
from ..services.rate_limits import FRAME_COSTS, UNKNOWN_FRAME_COST
from ..store import Person, Row
from ..store.room_kinds import DIRECT
from .live_composers import HANDLERS, LiveComposers
from .read_position import ReadPosition

log = logging.getLogger(__name__)

BURST_FRAMES, FRAMES_PER_SECOND = 60, 20  # of one page
MAX_UNKNOWN_FRAMES = 20  # before the socket is closed for good
UNAVAILABLE = RedisError, OSError, TimeoutError  # raised if Redis does not respond
# Close codes (RFC 6455, section 7.4): htmx connects again after the first only.
TRY_AGAIN_LATER, POLICY_VIOLATION = 1013, 1008

FRAME_TYPES = ("watch", *HANDLERS)


@dataclass(slots=True, eq=False)
class PageConnection:
    """One open page and its socket. `leave` is called when the page closes."""

    ws: WebSocket
    signed_in: InitVar[Person]
    leave: Callable[[], None]
    parts: Parts = field(default_factory=chat)
    hub: Hub = field(init=False)
    budget: PagesPace = field(init=False)
    viewer: Viewer = field(init=False)
    read_position: ReadPosition = field(init=False)
    composers: LiveComposers = field(init=False)
    _send: Callable[[str], None] = field(init=False)
    pace: Pace = field(default_factory=partial(Pace, BURST_FRAMES, FRAMES_PER_SECOND))
    is_fresh: bool = True  # no `watch` has arrived on this socket yet
    # The rooms when the socket opened, until the first `watch`.
    rows: list[Row] = field(default_factory=list)
    is_behind: bool = False  # other pages have been told of newer events than these
    unknown_frames: int = 0

    def __post_init__(self, signed_in: Person) -> None:
        ws, uid, zone = self.ws, signed_in.uid, signed_in.zone
        self.hub = self.parts.realtime.hub
        self.budget = self.parts.limits.pace(uid)
        viewer = Viewer(ws.push, ws.close_nowait, uid, g.session.sid, zone, ws.direct_writer)
        self.viewer = self.hub.connect(viewer)
        self.viewer.person = signed_in
        self.read_position = ReadPosition(self.parts, self.viewer, ws)
        self.viewer.ask = self.read_position.ask
        # Not a method: the page and its composers would be a cycle (Viewer.forget_page).
        self._send = partial(_send, self.hub, self.viewer, self.budget)
        self.composers = LiveComposers(self.parts, self.viewer, self._send)

    # bridge.ConnectionHandler

    def on_open(self) -> None:
        """The socket is open."""
        on_behalf_of.set(self.viewer.uid)
        try:
            self._belong_to_all()
        except UNAVAILABLE as error:
            self._reconnect(error)

    def on_message(self, text: str | bytes) -> bool:
        """Handle a frame. True for a frame of a composer: more come while the person types."""
        frame = parse(text)
        on_behalf_of.set(self.viewer.uid)
        kind = one(frame, "type")
        if self.parts.limits.on:
            self.pace.keep(1)
            self.budget.keep(FRAME_COSTS.get(kind, UNKNOWN_FRAME_COST) + len(text))
        handle = HANDLERS.get(kind)
        try:
            if kind == "watch":
                self.watch(frame)
            elif handle:
                handle(self.composers, frame)
            else:
                self._count_unknown_frame()
        except UNAVAILABLE as error:
            self._reconnect(error)
        return handle is not None

    def _count_unknown_frame(self) -> None:
        self.unknown_frames += 1
        if self.unknown_frames == MAX_UNKNOWN_FRAMES:
            self.ws.close_nowait(POLICY_VIOLATION)

    def on_close(self) -> None:
        """The page has closed. Nobody knows whether it showed what it was sent last."""
        self.hub.disconnect(self.viewer)
        self.leave()
        if self.viewer.posted_in:
            self.parts.realtime.background.run(self.parts.realtime.refresh.closed, self.viewer)

    def _reconnect(self, error: Exception) -> None:
        """Redis has failed: close the socket, so that the page connects again."""
        log.warning("a page is closed and must reconnect: %s", error)
        self.ws.close_nowait(TRY_AGAIN_LATER)

    def _belong_to_all(self) -> None:
        """Connect the page to the person's rooms in the hub, or sign it out if the session ended
        before the hub knew the page."""
        uid = self.viewer.uid
        await_(self.parts.realtime.subscriber.ready(f"user:{uid}"))
        found = self.parts.store.rooms.of_session(uid, self.viewer.session)
        if found is None:
            self.hub.sign_out(self.viewer, self.parts.fragments.signed_out())
            return
        person, self.rows = found
        self.parts.realtime.refresh.keep_current(self.viewer, person)
        # Nothing that was sent before the page was connected reached it, so it needs the list.
        self.is_behind = self.hub.marks.is_older(numbers(self.rows), self.viewer)
        for row in self.rows:
            self.hub.belong(self.viewer, row.room.rid, row.room.seq, row.room.at)
            if row.room.kind == DIRECT:
                self.parts.realtime.presence.dirty.add(row.room.rid)

    def watch(self, frame: Frame) -> None:
        """Show a room: send the events after the last one that the page has, then everything
        live."""
        rid, before = one(frame, "room"), self.viewer.watching
        is_unsure = False  # the page may not have shown all of the room that it was in
        if before and before != rid:
            self.composers.leave_room()
            self.read_position.leave_room(before)
            is_unsure = self.read_position.is_unsure()
            if not is_unsure:
                self._send(self.parts.fragments.room_read(before))
        for to, nonce, body, reply in pending(frame):
            self.composers.post_pending(to, nonce, body, number(reply))
        if rid:
            with self.budget.in_turn() if self.parts.limits.on else nullcontext():
                self._resume(rid, cursor(one(frame, "after")), one(frame, "epoch"), before != rid)
        else:
            self.hub.unwatch(self.viewer)
        if self.is_fresh:
            self.is_fresh = False
            self._list(one(frame, "digest"))
        elif is_unsure:
            self.parts.realtime.refresh.read_and_send_list(
                self.viewer
            )  # with the marks that are left
        elif (before or "") != rid:
            self._compare_list(one(frame, "digest"))

    def _list(self, shown: str) -> None:
        """Send the room list, unless the page shows it as it was when the socket opened
        (`shown` is its digest). This follows the missed events, so that both are one write."""
        rows, self.rows = self.rows, []
        if shown != digest(rows) or self.is_behind:
            self.parts.realtime.refresh.send_list(self.viewer, rows, 0)

    def _compare_list(self, shown: str) -> None:
        """The page got its room list with the panel, over another connection. It may lack marks
        that were pushed since the list was read. Send it again unless it has them all."""
        rooms = self.hub.rooms
        latest = numbers_digest((rid, rooms[rid].last) for rid in self.viewer.rooms)
        if shown and shown.partition(".")[2] != latest:
            self.parts.realtime.refresh.read_and_send_list(self.viewer)

    def _resume(self, rid: str, last: tuple[int, int], epoch: str, entered: bool) -> None:
        if not self._belong(rid):
            return
        # Subscribe first, hold new events, read the history, and then go live: an event in between
        # is in at least one of the two, and is sent once.
        self.hub.watch(self.viewer, rid)
        await_(self.parts.realtime.subscriber.ready(f"room:{rid}"))
        answer = self._missed(Cursor(rid, *last, epoch))
        if answer is None:
            # Refresh.person sends this only to pages that are still in the room.
            self.hub.leave(self.viewer, rid)
            self._send(self.parts.fragments.room_left(rid))
            return
        packet = answer.packet(self.parts.fragments, self.viewer.zone)
        if self.viewer.watching != rid:
            return  # the person was removed from the room while another greenlet ran
        if packet:
            self.budget.owe(len(packet.text))
            self.hub.writer.push(self.viewer, packet)
        if entered:
            self._send(self.parts.fragments.room_read(rid))
        self.parts.realtime.presence.dirty.add(rid)  # a new panel shows nobody as online
        self.hub.live(self.viewer, answer.missed.seq)
        if answer.shown:
            self.read_position.store(rid, answer.shown)
        if packet and entered and not self.is_fresh:
            self.read_position.ask()  # the person has opened this room
        elif packet:
            # Confirmed later, together with others, because thousands of pages may reconnect at
            # once.
            self.parts.realtime.confirmations.add(self.viewer)

    def _missed(self, cursor: Cursor) -> CatchUp | None:
        """The events after those that the page shows. None if the person is not a member."""
        answer = self.parts.realtime.resume_cache.find(cursor)
        if answer and self.read_position.store(cursor.rid, answer.shown):
            return answer
        rid, after, at, epoch = cursor
        forgotten = self.parts.realtime.resume_cache.forgotten
        missed = self.parts.store.messages.missed(rid, self.viewer.uid, after, epoch, at=at)
        if missed is None:
            return None
        answer = CatchUp(cursor, missed)
        self.parts.realtime.resume_cache.keep(answer, forgotten)
        return answer

    def _belong(self, rid: str) -> bool:
        """True if the person is a member. They may have joined after the page opened."""
        if rid not in self.viewer.rooms:
            try:
                room, read = self.parts.store.rooms.row(rid, self.viewer.uid)
            except NotFound:
                return False
            if read is None:
                return False
            self.hub.belong(self.viewer, rid, room.seq, room.at)
        return rid in self.viewer.rooms  # the page may have closed meanwhile


def _send(hub: Hub, viewer: Viewer, budget: Pace, text: str) -> None:
    budget.owe(len(text))
    hub.writer.send_with_events(viewer, text)
