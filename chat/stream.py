"""A room live with JavaScript off: a page whose response never ends.

It carries the very fragments that go over the socket; in a page without htmx their wrappers are
unknown elements, which CSS shows or hides. The response ends by itself after some minutes with
a refresh that goes on from the last number, so that a viewer who left unseen is let go.
"""

import asyncio
import time
from collections.abc import Iterator

from flask import Blueprint, Response, g, render_template, request, stream_with_context

from . import crowd
from .asgi import await_
from .current import chat
from .errors import NotMember
from .frames import Packet
from .rate_limits import charge_bytes
from .session import is_still_on, require_person
from .store import Room
from .text import number

bp = Blueprint("stream", __name__)
bp.before_request(require_person)

LASTS = 240.0  # seconds until the response ends and is asked for anew
QUIET = 15.0  # seconds after which a comment keeps proxies from cutting the line
MOST = 1000  # writes waiting for a slow reader, after which the response ends


@bp.get("/rooms/<rid>/stream")
def stream(rid: str) -> Response:
    """The messages after number `after` (default: the newest), as they happen. What was numbered
    in another `epoch` of the database does not count: then the newest there are come first."""
    room, read = chat().store.rooms.row(rid, g.person.uid)
    if read is None:
        raise NotMember("Join the room first to read it.")
    after = number(request.args.get("after", "")) or room.seq
    epoch = request.args.get("epoch", "")
    head = render_template("stream.html", room=room)
    leave = crowd.enter()
    pieces = stream_with_context(_listen(room, after, epoch, head))
    response = Response(pieces, mimetype="text/html")
    response.call_on_close(leave)
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes each piece on at once
    return response


class Waiting:
    """What is to be written to one reader; `push` and `kick` are what the hub calls."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.ended = False

    def push(self, packet: Packet) -> bool:
        if self.queue.qsize() >= MOST:
            self.kick(0)
        if not self.ended:
            self.queue.put_nowait(packet.text)
        return not self.ended

    def kick(self, code: int) -> None:
        self.ended = True
        self.queue.put_nowait("")

    def next(self) -> str:
        """What comes next; a comment when nothing does."""
        try:
            text: str = await_(asyncio.wait_for(self.queue.get(), QUIET))
        except TimeoutError:
            return "<!-- still here -->"
        return text


def _listen(room: Room, after: int, epoch: str, head: str) -> Iterator[str]:
    hub, store, fragments = chat().hub, chat().store, chat().fragments
    rid, uid = room.rid, g.person.uid
    waiting = Waiting()
    viewer = hub.connect(waiting.push, waiting.kick, uid, g.session.sid, g.person.zone)
    try:
        hub.belong(viewer, rid, room.seq, room.at)
        hub.watch(viewer, rid)
        await_(chat().subscriber.ready(f"room:{rid}"))
        is_on = is_still_on(uid, viewer.session)
        missed = store.messages.missed(rid, uid, after, epoch)
        yield head
        if missed is None or not is_on:
            return
        if missed.events:
            text = fragments.missed(missed.events)
            charge_bytes(uid, "view", len(text))
            yield text
        hub.live(viewer, missed.seq)
        end = time.monotonic() + LASTS
        while time.monotonic() < end and not waiting.ended and viewer.watching == rid:
            yield waiting.next()
        # Nothing is added any more; what waits is written, and the next response goes on there.
        hub.unwatch(viewer)
        while not waiting.queue.empty():
            yield waiting.queue.get_nowait()
        if not waiting.ended:
            store.messages.seen(rid, uid, viewer.sent)
        seq = missed.seq if waiting.ended else viewer.sent
        yield _refresh(f"/rooms/{rid}/stream?after={seq}&epoch={missed.epoch}")
    finally:
        hub.disconnect(viewer)


def _refresh(address: str) -> str:
    return f'<meta http-equiv="refresh" content="0; url={address}">'
