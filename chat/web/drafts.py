"""What is being written: on one line or several, looked at before it is sent, with help, and
there again when one comes back."""

from typing import Any

from flask import Blueprint, abort, g, render_template, request
from flask import session as cookie

from ..domain.errors import Invalid
from ..domain.validation import clean_body
from ..services.context import chat, is_htmx
from ..store import Room
from .auth import require_person
from .composer import is_nonce, new_nonce
from .rooms import answered, room_page, store

LINES_STAY = "This text has several lines. Send it first, then write on one."
# What Markdown there is, as it is typed; the help shows how it then looks.
EXAMPLES = (
    "**bold**, *italic*, ~~struck out~~",
    "`code` in a line",
    "[the words of a link](https://example.org)",
    "https://example.org or ann@example.org",
    "> a quote\n> of two lines",
    "- a list\n- of things\n  - and a smaller one",
    "1. first\n2. second",
    '```python\nprint("code in colours")\n```',
    ":tada: :+1:",
    r"\*no italic\*",
)

bp = Blueprint("drafts", __name__)
bp.before_request(require_person)


@bp.app_context_processor
def mode() -> dict[str, Any]:
    """Templates of a request know whether the person writes on several `lines`, and what files
    are taken."""
    return {"lines": "lines" in cookie, "file_limits": chat().attachments.limits}


@bp.post("/rooms/<rid>/composer")
def choose_lines(rid: str) -> Any:
    """Write on several lines from now on (field `lines`), or on one; the text goes along."""
    room = store().rooms.member(rid, g.person.uid)
    body, wanted = _body(), bool(request.form.get("lines"))
    note = "" if wanted or "\n" not in body else LINES_STAY
    if wanted:
        cookie["lines"] = True
    elif not note:
        cookie.pop("lines", None)
    if not is_htmx():
        return _page(room, body, note)
    nonce = request.form.get("nonce", "")
    if not is_nonce(nonce):
        abort(404)
    return render_template("rooms/lines.html", rid=rid, nonce=nonce, body=body, note=note)


@bp.post("/rooms/<rid>/attach")
def attach(rid: str) -> Any:
    """From now on files go along with the text (field `files`), or not; the text goes along."""
    room = store().rooms.member(rid, g.person.uid)
    body, wanted = _body(), bool(request.form.get("files"))
    reply = answered(rid, request.form.get("reply", ""))
    shown: dict[str, Any] = {"body": body, "reply": reply, "files": wanted}
    if is_htmx():
        return render_template("rooms/attach.html", rid=rid, nonce=new_nonce(), **shown)
    return room_page(room, store().messages.newest(rid), **shown)


@bp.post("/rooms/<rid>/preview")
def preview(rid: str) -> Any:
    """The text as it will be shown: a fragment for htmx, else the room with it."""
    room = store().rooms.member(rid, g.person.uid)
    body, error, clean = _body(), "", ""
    try:
        clean = clean_body(body)
    except Invalid as refused:
        error = refused.text
    if is_htmx():
        return render_template("rooms/preview.html", text=clean, note=error)
    return _page(room, body, error, clean)


@bp.get("/rooms/<rid>/draft")
def draft(rid: str) -> Any:
    """What the person wrote here and has not sent (`live.Page.name` kept it), for the empty
    composer named `nonce`. htmx alone asks for it: without scripts nothing is kept."""
    room = store().rooms.member(rid, g.person.uid)
    nonce = request.args.get("nonce", "")
    if not is_nonce(nonce):
        abort(404)
    body = store().drafts.of(g.person.uid, room.rid)
    return render_template("rooms/draft.html", rid=rid, nonce=nonce, body=body)


@bp.get("/help/text")
def text_help() -> Any:
    return render_template("help.html", examples=EXAMPLES)


def _page(room: Room, body: str, error: str, preview: str = "") -> str:
    """The room, with all that was typed so far."""
    events = store().messages.newest(room.rid)
    reply = answered(room.rid, request.form.get("reply", ""))
    return room_page(room, events, body=body, error=error, preview=preview, reply=reply)


def _body() -> str:
    """What is typed so far; forms end their lines with \\r\\n."""
    return request.form.get("body", "").replace("\r\n", "\n")
