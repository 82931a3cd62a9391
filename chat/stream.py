"""A room live with JavaScript off: a page whose response never ends.

It carries the very fragments that go over the socket; in a page without htmx their wrappers are
unknown elements, which CSS shows or hides. The response ends by itself after some minutes with
a refresh that goes on from the last number, so that a viewer who left unseen is let go.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence

from flask import Blueprint, Response, g, render_template, request, stream_with_context

from .asgi import await_
from .current import chat
from .errors import NotMember
from .session import require_person

bp = Blueprint("stream", __name__)
bp.before_request(require_person)

LASTS = 240.0  # seconds until the response ends and is asked for anew
QUIET = 20.0  # seconds after which a comment keeps proxies from cutting the line
MOST = 1000  # writes waiting for a slow reader, after which the response ends


@bp.get("/rooms/<rid>/stream")
def stream(rid: str) -> Response:
    """The messages after number `after`, as they happen."""
    room, read = chat().store.rooms.row(rid, g.person.uid)
    if read is None:
        raise NotMember("Join the room first to read it.")
    after = request.args.get("after", "")
    start = int(after) if after.isdecimal() else room.seq
    head = render_template("stream.html", room=room)
    response = Response(stream_with_context(_listen(rid, start, head)), mimetype="text/html")
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes each piece on at once
    return response


def _listen(rid: str, after: int, head: str) -> Iterator[str]:
    hub, store, fragments = chat().hub, chat().store, chat().fragments
    waiting: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    ends = time.monotonic() + LASTS

    def push(wire: bytes, texts: Sequence[str]) -> bool:
        if waiting.qsize() > MOST:
            kick(0)
        waiting.put_nowait(texts)
        return True

    def kick(code: int) -> None:
        nonlocal ends
        ends = 0.0

    viewer = hub.connect(push, kick, g.person.uid)
    try:
        hub.belong(viewer, rid, after)
        hub.watch(viewer, rid)
        await_(chat().subscriber.ready(rid))
        missed = store.messages.missed(rid, g.person.uid, after, "")
        yield head
        if missed is None:
            return
        if missed.events:
            yield fragments.missed(missed.events)
        hub.live(viewer, missed.seq)
        while time.monotonic() < ends:
            try:
                yield from await_(asyncio.wait_for(waiting.get(), QUIET))
            except TimeoutError:
                yield "<!-- still here -->"
        store.messages.seen(rid, g.person.uid, viewer.sent)
        address = f"/rooms/{rid}/stream?after={viewer.sent}"
        yield f'<meta http-equiv="refresh" content="0; url={address}">'
    finally:
        hub.disconnect(viewer)
