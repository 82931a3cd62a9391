"""The live socket: what an open page may say, and what it is answered.

A page's frames are htmx's (four.htmx.org/extensions/ws): its form fields as JSON, with
"headers". It says `watch` (which room is on screen, and the last number it shows) whenever its
socket opens, when the room changes and every 45 s; and `post`. What a page may do is checked
for each frame, here or in the store's scripts, never taken from what the page showed before.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from flask import Blueprint, Response, g
from flask_sock import Sock
from redis.exceptions import RedisError

from ..bridge import WebSocket, await_
from ..domain.errors import ChatError, NotFound, TooOften
from ..domain.mentions import begun
from ..domain.validation import clean_body, cursor, number
from ..realtime.client_messages import Frame, one, parse, pending
from ..realtime.refresh import looks_otherwise, numbers
from ..realtime.resume_cache import Answer, Cursor
from ..realtime.viewers import Viewer
from ..rendering.room_list import digest, numbers_digest
from ..rendering.text_renderer import on_behalf_of
from ..services import messages
from ..services.context import app
from ..services.rate_limits import FRAMES, UNKNOWN_FRAME
from ..store import Person, Row
from ..store.room_kinds import DIRECT
from . import open_pages
from .auth import current_person
from .nonces import is_nonce, new_nonce
from .security import is_own_origin

log = logging.getLogger(__name__)

TYPING_EVERY = 2.0  # seconds between two words of one page that somebody is typing
REMEMBERED = 20  # composers whose text is remembered for each page
TYPED_ON = "You typed this while the message before it was on its way."
WORST = 20  # frames that make no sense before the socket is closed for good
AWAY = RedisError, OSError, TimeoutError  # what is raised where Redis does not answer
TRY_AGAIN, NOT_ALLOWED = 1013, 1008  # htmx connects again after the first, never after the second

bp = Blueprint("live", __name__)
sock = Sock()


@bp.before_request
def only_own_pages() -> Response | None:
    """Refuse a handshake of another site (403), of nobody (401), or too many (429). htmx then
    tries again, after ever longer waits: nothing but an open socket makes them short anew."""
    if not is_own_origin():
        return Response("This socket is for the chat's own pages.\n", 403, mimetype="text/plain")
    if current_person() is None:
        return Response("Sign in first.\n", 401, mimetype="text/plain")
    try:
        g.leave = open_pages.enter()
    except TooOften as error:
        return Response(error.text, 429, error.headers, mimetype="text/plain")
    return None


@bp.teardown_request
def leave(_: Any) -> None:
    if "leave" in g:
        g.leave()


@sock.route("/live", bp=bp)  # type: ignore[untyped-decorator]
def live(ws: WebSocket) -> None:
    # The request ends here, and the page goes on.
    ws.detach(Page(ws, g.person, g.pop("leave")))


class Pace:
    """Frames of one page: AT_ONCE, then EACH second one. Who sends more is not refused anything
    but read more slowly, until the network holds up the sender."""

    AT_ONCE, EACH = 60, 0.05
    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = 0.0  # when all there were so far should have come

    def keep(self) -> None:
        now = time.monotonic()
        self.due = max(self.due, now - self.AT_ONCE * self.EACH) + self.EACH
        if self.due > now:
            await_(asyncio.sleep(self.due - now))


class Page:
    """One open page and its socket. `leave` is called when it closes."""

    __slots__ = (
        "app",
        "asked",
        "budget",
        "confirmed",
        "draft",
        "fragments",
        "fresh",
        "hub",
        "is_behind",
        "leave",
        "limits",
        "naming",
        "nonsense",
        "pace",
        "posted",
        "presence",
        "refresh",
        "remembered",
        "resume_cache",
        "rows",
        "silent",
        "store",
        "subscriber",
        "typing_at",
        "viewer",
        "ws",
    )

    def __init__(self, ws: WebSocket, person: Person, leave: Callable[[], None]) -> None:
        self.ws = ws
        self.leave = leave
        self.app = app()
        self.store = self.app.store
        self.hub = self.app.realtime.hub
        self.resume_cache = self.app.realtime.resume_cache
        self.subscriber = self.app.realtime.subscriber
        self.fragments = self.app.fragments
        self.presence = self.app.realtime.presence
        self.refresh = self.app.realtime.refresh
        self.limits = self.app.limits
        self.pace = Pace()
        self.budget = self.limits.pace(person.uid)
        self.viewer: Viewer = self.hub.connect(
            ws.push, ws.close_nowait, person.uid, g.session.sid, person.zone, ws.direct_writer
        )
        self.viewer.person = person
        self.viewer.ask = self.ask
        self.asked = ("", 0)  # room and number that it was last asked to confirm
        self.confirmed = ("", 0, 0)  # the event that it confirmed last: room, number and time
        self.fresh = True  # nothing was said on this socket yet
        self.rows: list[Row] = []  # the rooms as the socket opened, until then
        self.is_behind = False  # others had been told of more than is in these
        self.nonsense = 0
        self.typing_at = 0.0  # when it was told last that the person is typing
        self.naming = False  # names are offered
        self.remembered = ("", 0)  # room and number last written down as seen
        self.draft = ("", "")  # composer and text last kept of the room on screen
        # What the last composers sent, to tell it from what was typed into them since.
        self.posted: dict[str, str] = {}
        self.silent = True  # nothing was posted on this socket yet

    @property
    def person(self) -> Person:
        """The person as stored now, as far as this process was told: never keep it over a wait."""
        assert self.viewer.person is not None
        return self.viewer.person

    # What the socket tells (bridge.ConnectionHandler)

    def on_open(self) -> None:
        """The socket is open."""
        on_behalf_of.set(self.person.uid)
        try:
            self._belong_to_all()
        except AWAY as error:
            self._come_back(error)

    def on_message(self, text: str | bytes) -> bool:
        """Do what the page says; True while somebody writes."""
        frame = parse(text)
        on_behalf_of.set(self.person.uid)
        kind = one(frame, "type")
        if self.limits.on:
            self.pace.keep()
            self.budget.keep(FRAMES.get(kind, UNKNOWN_FRAME).cost + len(text))
        handle = HANDLERS.get(kind)
        if handle:
            try:
                handle(self, frame)
            except AWAY as error:
                self._come_back(error)
        else:
            self.nonsense += 1
            if self.nonsense == WORST:
                self.ws.close_nowait(NOT_ALLOWED)
        return handle is not None and handle is not Page.watch

    def on_close(self) -> None:
        """The page is gone. Whether it still showed what it was sent last, nobody knows."""
        self.hub.disconnect(self.viewer)
        self.leave()

    def ask(self) -> bool:
        """Have the browser confirm what it was sent of the room on screen; True when it was asked.
        What it has confirmed counts as read (docs/guarantees.md, I10)."""
        rid, seq = self.viewer.watching, self.viewer.sent
        if not rid or not seq or (rid, seq) in (self.asked, self.remembered):
            return False
        room = self.hub.rooms[rid]
        at = room.at if room.last == seq else 0
        if not self.ws.ping(partial(self._confirmed, rid, seq, at)):
            return False
        self.asked = rid, seq
        return True

    def _confirmed(self, rid: str, seq: int, at: int) -> None:
        """The browser has what it was sent of a room up to event `seq`, of the time `at`. It shows
        nothing of that where it came after the page had gone to another room; a page says where it
        has gone before it answers what came then."""
        if self.viewer.watching == rid and not self._is_remembered(rid, seq):
            self.confirmed = rid, seq, at
            written = partial(self._remember, rid, seq)
            self.app.realtime.read_marks.add(self.viewer.uid, self.confirmed, written)

    def _is_remembered(self, rid: str, seq: int) -> bool:
        return rid == self.remembered[0] and seq <= self.remembered[1]

    def _remember(self, rid: str, seq: int) -> None:
        """The store has the mark. Another room may have come on screen meanwhile."""
        if rid == self.viewer.watching and not self._is_remembered(rid, seq):
            self.remembered = rid, seq

    def _come_back(self, error: Exception) -> None:
        """Redis has failed: ask the page to come back."""
        log.warning("a page is asked to come back: %s", error)
        self.ws.close_nowait(TRY_AGAIN)

    def _belong_to_all(self) -> None:
        """Belong to the rooms of this person, whose session may have ended while the page was
        being connected to the hub; of what happens from here on it hears."""
        uid = self.person.uid
        await_(self.subscriber.ready(f"user:{uid}"))
        found = self.store.rooms.of_session(uid, self.viewer.session)
        if found is None:
            self.hub.sign_out(self.viewer, self.fragments.signed_out())
            return
        person, self.rows = found
        self.refresh.keep_current(self.viewer, person)
        # A page gets nothing of what was told before it belonged: it needs the list then.
        self.is_behind = self.hub.marks.is_older(numbers(self.rows), self.viewer)
        for row in self.rows:
            self.hub.belong(self.viewer, row.room.rid, row.room.seq, row.room.at)
            if row.room.kind == DIRECT:
                self.presence.dirty.add(row.room.rid)

    def watch(self, frame: Frame) -> None:
        """Show a room from the number the page has: what it lacks, then everything live."""
        rid, before = one(frame, "room"), self.viewer.watching
        is_unsure = False  # whether the room it was in has something that it may not have shown
        if before and before != rid:
            self.typing_at = 0.0
            self.draft = ("", "")
            if self.confirmed[0] == before:
                self._seen(*self.confirmed)  # which may be on its way (realtime.read_marks)
            is_unsure = self._is_unsure()
            if not is_unsure:
                self._say(self.fragments.room_read(before))
        for to, nonce, body, reply in pending(frame):
            self._post_pending(to, nonce, body, number(reply))
        if rid:
            with self.budget.in_turn() if self.limits.on else nullcontext():
                self._resume(rid, cursor(one(frame, "after")), one(frame, "epoch"), before != rid)
        else:
            self.hub.unwatch(self.viewer)
        if self.fresh:
            self.fresh = False
            self._list(one(frame, "digest"))
        elif is_unsure:
            self.refresh.read_and_send_list(self.viewer)  # with the marks that are left
        elif (before or "") != rid:
            self._compare_list(one(frame, "digest"))

    def _list(self, shown: str) -> None:
        """Send the side list, unless the page shows it as it was when the socket opened (`shown`
        is its digest). After what the page lacked: both leave in one write."""
        rows, self.rows = self.rows, []
        if shown != digest(rows) or self.is_behind:
            self.refresh.send_list(self.viewer, rows, 0)

    def _compare_list(self, shown: str) -> None:
        """The side list came with the panel, over another connection: it may have replaced marks
        that were pushed since it was read. Send it anew unless it has all that pages were told."""
        rooms = self.hub.rooms
        told = numbers_digest((rid, rooms[rid].last) for rid in self.viewer.rooms)
        if shown and shown.partition(".")[2] != told:
            self.refresh.read_and_send_list(self.viewer)

    def _resume(self, rid: str, last: tuple[int, int], epoch: str, entered: bool) -> None:
        if not self._belong(rid):
            return
        # Subscribe first, hold what comes, read the history, and only then go live: an event
        # in between is in at least one of the two, and is sent once.
        self.hub.watch(self.viewer, rid)
        await_(self.subscriber.ready(f"room:{rid}"))
        answer = self._missed(Cursor(rid, *last, epoch))
        if answer is None:
            self.hub.leave(self.viewer, rid)
            return
        packet = answer.packet(self.fragments, self.viewer.zone)
        if self.viewer.watching != rid:
            return  # rendering gave way, and meanwhile the person was taken out of the room
        if packet:
            self.budget.owe(len(packet.text))
            self.hub.send(self.viewer, packet)
        if entered:
            self._say(self.fragments.room_read(rid))
        self.presence.dirty.add(rid)  # the head of a panel that is new says nobody is here
        self.hub.live(self.viewer, answer.missed.seq)
        if answer.shown:
            self._seen(rid, answer.shown)
        if packet and entered and not self.fresh:
            self.ask()  # somebody has gone to this room
        elif packet:
            self.app.realtime.confirmations.add(self.viewer)  # as may thousands that come back

    def _missed(self, cursor: Cursor) -> Answer | None:
        """What follows what the page shows; None when the person is no member (any more)."""
        answer = self.resume_cache.find(cursor)
        if answer and self._seen(cursor.rid, answer.shown):
            return answer
        rid, after, at, epoch = cursor
        forgotten = self.resume_cache.forgotten
        missed = self.store.messages.missed(rid, self.person.uid, after, epoch, at=at)
        if missed is None:
            return None
        answer = Answer(cursor, missed)
        self.resume_cache.keep(answer, forgotten)
        return answer

    def _seen(self, rid: str, seq: int, at: int = 0) -> bool:
        """Remember what the page has shown, up to event `seq`, of the time `at` (0: not known).
        Returns True when that was done now, for a member. That it cannot be is no reason to end
        the page."""
        if self._is_remembered(rid, seq):
            return False
        try:
            is_member = self.store.messages.seen(rid, self.person.uid, seq, at)
            self.remembered = rid, seq
        except (RedisError, OSError) as error:
            log.warning("cannot remember what was seen: %s", error)
            return False
        return is_member

    def _is_unsure(self) -> bool:
        """True when something was sent of the room on screen that the page has not confirmed."""
        rid, seq = self.remembered
        return rid != self.viewer.watching or seq < self.viewer.sent

    def _belong(self, rid: str) -> bool:
        """True when the person is a member; this page may have opened before that."""
        if rid not in self.viewer.rooms:
            try:
                room, read = self.store.rooms.row(rid, self.person.uid)
            except NotFound:
                return False
            if read is None:
                return False
            self.hub.belong(self.viewer, rid, room.seq, room.at)
        return rid in self.viewer.rooms  # not where the page closed meanwhile

    def post(self, frame: Frame) -> None:
        """Store what a composer holds. Sent again with more behind it, only the rest is new:
        somebody typed on, and pressed Enter, before the next composer was there."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        if self.silent:
            body = self._since_before(rid, nonce, body)
        before = self.posted.get(nonce, "")
        if body and body == before:
            self._say(self.fragments.message_stored(nonce))  # Enter pressed twice
            self._sent_draft(rid, nonce, True)
            return
        if before and body.startswith(before):
            stored = self._post(rid, f"{nonce}-{len(before)}", body[len(before) :], nonce)
        else:
            reply, shown = number(one(frame, "reply")), cursor(one(frame, "after"))[0]
            stored, before = self._post(rid, nonce, body, nonce, reply, shown), ""
        self.posted[nonce] = body if stored else before
        if stored:
            self._sent_draft(rid, nonce, bool(one(frame, "kept")))
        if len(self.posted) > REMEMBERED:
            del self.posted[next(iter(self.posted))]

    def _since_before(self, rid: str, nonce: str, body: str) -> str:
        """The first composer that is sent on a socket may have been sent on an earlier one, where
        no other took its place: remember what was said with it. Returns the body to compare."""
        try:
            before, text = self.store.messages.posted(rid, self.person, nonce), clean_body(body)
        except (ChatError, RedisError, OSError):
            return body  # which is told when it is stored
        self.silent = False
        if before is None or not text.startswith(before):
            return body
        self.posted[nonce] = before
        return text

    def typing(self, frame: Frame) -> None:
        """Keys are pressed in the composer of the room on screen: tell the others, now and then."""
        rid, now = one(frame, "room"), time.monotonic()
        if rid and rid == self.viewer.watching and now > self.typing_at + TYPING_EVERY:
            self.typing_at = now
            self.store.presence.typing(rid, self.person.uid, True)

    def name(self, frame: Frame) -> None:
        """Keys were pressed, and none since for a moment: keep the text for when the person comes
        back, and offer names while it ends with the beginning of one."""
        rid, body = one(frame, "room"), one(frame, "body")
        start = begun(body)
        if not rid or rid != self.viewer.watching:
            return
        self._keep_draft(rid, one(frame, "nonce"), body)
        if start is not None:
            self.naming = True
            people, words = self.store.attention.offered(rid, self.person.uid, start)
            self._say(self.fragments.name_suggestions(rid, people, words))
        elif self.naming:
            self.naming = False
            self._say(self.fragments.name_suggestions(rid, [], []))

    def _keep_draft(self, rid: str, nonce: str, text: str) -> None:
        """Keep the text of a composer. What stands behind a text that was sent comes back as a
        composer of its own (`typed`), which stays where the person goes."""
        if not self.posted.get(nonce) and self.draft != (nonce, text):
            self.draft = (nonce, text)
            self.store.drafts.keep(self.person.uid, rid, text)

    def _sent_draft(self, rid: str, nonce: str, kept: bool) -> None:
        """What a composer held is stored: it is kept no longer, if it was, on this page or (`kept`)
        before it came there."""
        if self.draft[0] == nonce or (kept and not self.draft[0]):
            self.draft = ("", "")
            self.store.drafts.keep(self.person.uid, rid, "")

    def typed(self, frame: Frame) -> None:
        """A composer that was sent takes no more keys. What it holds beyond what was sent comes
        back as a composer of its own; otherwise it goes."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        sent = self.posted.pop(nonce, "")
        if sent and is_nonce(rid):
            self._answer_composer(rid, nonce, body.removeprefix(sent))

    def _post_pending(self, rid: str, nonce: str, body: str, reply: int) -> None:
        """A composer whose answer got lost with an earlier socket: store what it holds, unless
        that was stored then; what was typed into it since comes back."""
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        try:
            before, text = self.store.messages.posted(rid, self.person, nonce), clean_body(body)
        except (ChatError, RedisError, OSError) as error:
            self._say(self.fragments.message_refused(nonce, messages.error_text(error)))
            return
        if before is not None and text.startswith(before):
            self._answer_composer(rid, nonce, text.removeprefix(before))
        elif self._post(rid, nonce, body, nonce, reply):
            self._say(self.fragments.composer_done(nonce))
        else:
            return
        self.store.drafts.sent(self.person.uid, rid, body)

    def _answer_composer(self, rid: str, nonce: str, rest: str) -> None:
        """A composer that was sent goes, or what it holds beyond that comes back."""
        if rest.strip():
            self._say(self.fragments.fresh_composer(rid, nonce, new_nonce(), rest, TYPED_ON))
        else:
            self._say(self.fragments.composer_done(nonce))

    def _post(
        self, rid: str, nonce: str, body: str, composer: str, reply: int = 0, shown: int = 0
    ) -> bool:
        """Store a message, and tell its composer whether it is kept or why not. `shown` is the last
        number that the page shows of the room."""
        person = self.person
        if rid not in self.viewer.posted_in:
            self.viewer.posted_in |= {rid}
        try:
            messages.post_text(self.app, person, rid, body, nonce, reply, shown)
        except (ChatError, RedisError, OSError) as error:
            self._say(self.fragments.message_refused(composer, messages.error_text(error)))
            return False
        if looks_otherwise(person, self.person):
            self.store.people.tell_rooms(person.uid, [rid])
        self._say(self.fragments.message_stored(composer))
        if self.typing_at:
            self.typing_at = 0.0
            self.store.presence.typing(rid, self.person.uid, False)
        self.limits.prepare("post", self.person.uid)
        return True

    def _say(self, text: str) -> None:
        self.budget.owe(len(text))
        self.hub.send_text(self.viewer, text)


HANDLERS = {
    "watch": Page.watch,
    "post": Page.post,
    "typing": Page.typing,
    "typed": Page.typed,
    "name": Page.name,
}
