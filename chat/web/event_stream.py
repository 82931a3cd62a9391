"""A live room without JavaScript, as a frame whose response never ends.

The response contains the same fragments as the socket. Without htmx, the elements around the
fragments are unknown to the browser, and CSS shows or hides them. After some minutes the response
ends with a refresh that continues from the last number, so that viewers who left unnoticed are
forgotten.

What was written to the frame may not have been shown. The browser confirms it with its next
requests: those of the frame with `after`, and those of empty images (`seen`), which the frame
contains from time to time.

A frame whose response ends without a refresh shows nothing new until its page is reloaded. So every
response ends with a refresh, also if the process stops or Redis does not respond. An error page
that may succeed later has it as a header.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from flask import Blueprint, Response, g, render_template, request, stream_with_context
from redis.exceptions import RedisClusterException, RedisError

from ..bridge import ON_DRAIN, RESTART_SECONDS, await_
from ..domain.errors import NotFound, NotMember
from ..domain.validation import cursor, number
from ..observability.redaction import without_message
from ..realtime.hub import Hub
from ..realtime.packet import Packet
from ..realtime.viewers import Viewer
from ..services.context import chat
from ..services.sessions import is_active
from ..store import Room
from .nonces import is_nonce
from .request_limits import charge_bytes, enter_page

log = logging.getLogger(__name__)

bp = Blueprint("event_stream", __name__)

MAX_RESPONSE_SECONDS = 240.0  # then the response ends, and the browser requests the next one
KEEPALIVE_SECONDS = 15.0  # without an event; then a comment keeps proxies from closing it
MAX_WAITING_WRITES = 1000  # for a slow reader; the response ends if there are more
RELOAD_SECONDS = 1  # until the frame reloads if another process has taken over already
RETRY_SECONDS = 5  # until a frame that could not be served reloads
RETRY_STATUSES = (429, 500, 502, 503)  # of responses after which the frame reloads itself


@bp.get("/rooms/<rid>/stream")
def stream(rid: str) -> Response:
    """The messages after number `after` (default: the newest), and then those that are posted. If
    the number is of another `epoch` of the database, the newest messages come first."""
    room, read = chat().store.rooms.row(rid, g.person.uid)
    if read is None:
        raise NotMember("Join the room first to read it.")
    shown = number(request.args.get("after", ""))
    epoch = request.args.get("epoch", "")
    head = render_template("stream.html", room=room)
    leave = enter_page()
    waiting = Waiting()
    request.environ[ON_DRAIN](waiting.drain)
    place = StreamPosition(rid, shown or room.seq, epoch, bool(shown))
    pieces = stream_with_context(_listen(room, place, waiting, head))
    response = Response(pieces, mimetype="text/html")
    response.call_on_close(leave)
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes each piece on at once
    return response


@bp.get("/rooms/<rid>/seen/<seq>")
def seen(rid: str, seq: str) -> tuple[str, int]:
    """Confirm that the frame has shown the room up to event `seq` (domain.validation.cursor). The
    browser loads this as an image, because nothing else works without a script or a click."""
    if not is_nonce(rid) or not chat().store.messages.seen(rid, g.person.uid, *cursor(seq)):
        raise NotFound("You are not in this room.")
    return "", 204


@bp.after_request
def come_back(response: Response) -> Response:
    """Let a frame reload itself after a temporary error."""
    if response.status_code in RETRY_STATUSES:
        wait = number(response.headers.get("Retry-After", "")) or 0
        response.headers["Refresh"] = str(max(wait, RETRY_SECONDS))
    return response


@dataclass
class StreamPosition:
    """Where the next response continues: after the event `seq` of the room, in its `epoch`.

    is_shown: the browser says that it has shown that event.
    """

    rid: str
    seq: int
    epoch: str
    is_shown: bool = True

    def refresh(self, seconds: int) -> str:
        """The last piece of a response, which reloads the frame after some seconds."""
        where = urlencode({"after": self.seq, "epoch": self.epoch})  # a browser sent it
        address = f"/rooms/{self.rid}/stream?{where}"
        return f'<meta http-equiv="refresh" content="{seconds}; url={address}">'


class Waiting:
    """What is still to be written to one reader. The hub calls `push` and `close`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.ended = False
        self.is_draining = False
        self.pause = 0  # seconds until the frame reloads
        self.asked = 0  # the last number that the browser was asked to confirm

    def drain(self, replaced: bool) -> None:
        """The process stops. `replaced`: another process has taken over already."""
        self.is_draining = True
        self.pause = RELOAD_SECONDS if replaced else RESTART_SECONDS
        self.queue.put_nowait("")

    def push(self, packet: Packet) -> bool:
        if self.queue.qsize() >= MAX_WAITING_WRITES:
            self.close(0)
        if not self.ended:
            self.queue.put_nowait(packet.text)
        return not self.ended

    def ask(self, hub: Hub, viewer: Viewer) -> bool:
        """Ask the browser to confirm what it has shown. True if it was asked."""
        rid, seq = viewer.watching, viewer.sent
        if rid is None or seq <= self.asked or self.ended:
            return False
        self.asked = seq
        room = hub.rooms[rid]
        shown = f"{seq}-{room.at}" if room.last == seq else f"{seq}"
        self.queue.put_nowait(f'<img src="/rooms/{rid}/seen/{shown}" alt="" hidden>')
        return True

    def close(self, code: int) -> None:
        self.ended = True
        self.queue.put_nowait("")

    def next(self) -> str:
        """The next text to write; a comment if there is none for KEEPALIVE_SECONDS."""
        try:
            return await_(asyncio.wait_for(self.queue.get(), KEEPALIVE_SECONDS))
        except TimeoutError:
            return "<!-- still here -->"


def _listen(room: Room, place: StreamPosition, waiting: Waiting, head: str) -> Iterator[str]:
    """The whole response, piece by piece."""
    yield head
    try:
        yield from _events(room, place, waiting)
        return
    except (RedisError, RedisClusterException, OSError) as error:
        log.warning("a frame without JavaScript must reload: %s", error)
    except Exception as error:
        log.error("a frame without JavaScript must reload: %s", without_message(error))
    yield place.refresh(max(waiting.pause, RETRY_SECONDS))


def _events(room: Room, place: StreamPosition, waiting: Waiting) -> Iterator[str]:
    """The events of the room, and the refresh. `place` moves on with what was written."""
    hub, store, fragments = chat().realtime.hub, chat().store, chat().fragments
    rid, uid = room.rid, g.person.uid
    viewer = Viewer(waiting.push, waiting.close, uid, g.session.sid, g.person.zone)
    hub.connect(viewer)
    viewer.ask = partial(waiting.ask, hub, viewer)
    try:
        hub.belong(viewer, rid, room.seq, room.at)
        hub.watch(viewer, rid)
        await_(chat().realtime.subscriber.ready(f"room:{rid}"))
        is_on = is_active(chat(), uid, viewer.session)
        missed = store.messages.missed(rid, uid, place.seq, place.epoch)
        if missed is None or not is_on:
            return
        if missed.events:
            text = fragments.missed_events(missed.events, viewer.zone)
            charge_bytes(uid, "view", len(text))
            yield text
            chat().realtime.confirmations.add(viewer)
        if place.is_shown and not missed.replace:
            store.messages.seen(rid, uid, place.seq)
        place.seq, place.epoch = missed.seq, missed.epoch
        hub.live(viewer, missed.seq)
        end = time.monotonic() + MAX_RESPONSE_SECONDS
        while not _is_over(waiting, end) and viewer.watching == rid:
            yield waiting.next()
        # Nothing is added any more. Write what waits; the next response continues there.
        hub.unwatch(viewer)
        while not waiting.queue.empty():
            yield waiting.queue.get_nowait()
        if not waiting.ended:
            place.seq = viewer.sent
        yield place.refresh(waiting.pause)
    finally:
        hub.disconnect(viewer)


def _is_over(waiting: Waiting, end: float) -> bool:
    return waiting.ended or waiting.is_draining or time.monotonic() >= end
