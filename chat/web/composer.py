"""The composer: one line or several, files, a preview, help, and drafts.

The composer is a row of forms. Each has a nonce, so that sending it again posts nothing twice.
"""

from typing import Any

from flask import Blueprint, abort, g, render_template, request
from flask import session as cookie

from ..domain.errors import Invalid
from ..domain.validation import clean_body
from ..services.context import chat
from ..store import Room
from .htmx import is_htmx
from .nonces import is_nonce, new_nonce
from .room_page import RoomView, message_to_answer, newest_page

SEVERAL_LINES = "This text has several lines. Send it before you switch to a single line."

bp = Blueprint("composer", __name__)


@bp.app_context_processor
def composer_settings() -> dict[str, Any]:
    """Tell templates whether the person writes on several `lines`, and the limits on files."""
    return {"lines": "lines" in cookie, "file_limits": chat().attachments.limits}


@bp.get("/rooms/<rid>/composer")
def next_composer(rid: str) -> Any:
    """The next form, to insert after the one named `after`. It does not ask Redis, so that people
    can go on writing while Redis is unavailable. What they post is checked then."""
    after = request.args.get("after", "")
    if "uid" not in cookie or not is_nonce(after) or not is_nonce(rid):
        abort(404)
    return render_template("rooms/composer.html", rid=rid, nonce=new_nonce(), after=after)


@bp.post("/rooms/<rid>/composer")
def choose_lines(rid: str) -> Any:
    """Switch the composer to several lines (field `lines`), or back to one. The text stays."""
    room = chat().store.rooms.member(rid, g.person.uid)
    body, is_wanted = _body(), bool(request.form.get("lines"))
    note = "" if is_wanted or "\n" not in body else SEVERAL_LINES
    if is_wanted:
        cookie["lines"] = True
    elif not note:
        cookie.pop("lines", None)
    if not is_htmx():
        return _page(room, body=body, error=note)
    nonce = _nonce(request.form.get("nonce", ""))
    return render_template("rooms/lines.html", rid=rid, nonce=nonce, body=body, note=note)


@bp.post("/rooms/<rid>/attach")
def attach(rid: str) -> Any:
    """Show the field for files (`files`), or hide it. The text stays."""
    room = chat().store.rooms.member(rid, g.person.uid)
    shown: dict[str, Any] = {"body": _body(), "files": bool(request.form.get("files"))}
    if is_htmx():
        reply, nonce = _reply(rid), new_nonce()
        return render_template("rooms/attach.html", rid=rid, nonce=nonce, reply=reply, **shown)
    return _page(room, **shown)


@bp.post("/rooms/<rid>/preview")
def preview(rid: str) -> Any:
    """Show how the text will look: a fragment for htmx, else on the room's page."""
    room = chat().store.rooms.member(rid, g.person.uid)
    body, error, clean = _body(), "", ""
    try:
        clean = clean_body(body)
    except Invalid as refused:
        error = refused.text
    if is_htmx():
        return render_template("rooms/preview.html", text=clean, note=error)
    return _page(room, body=body, error=error, preview=clean)


@bp.get("/rooms/<rid>/draft")
def draft(rid: str) -> Any:
    """The person's draft in this room, for the empty composer with this `nonce`. Only htmx requests
    it: without JavaScript no drafts are stored."""
    room = chat().store.rooms.member(rid, g.person.uid)
    nonce = _nonce(request.args.get("nonce", ""))
    body = chat().store.drafts.of(g.person.uid, room.rid)
    return render_template("rooms/draft.html", rid=rid, nonce=nonce, body=body)


@bp.get("/help/text")
def text_help() -> Any:
    return render_template("help.html")


def _page(room: Room, **shown: Any) -> str:
    """The room's page, with everything that was typed so far."""
    return newest_page(room, RoomView(reply=_reply(room.rid), **shown))


def _reply(rid: str) -> Any:
    return message_to_answer(rid, request.form.get("reply", ""))


def _nonce(text: str) -> str:
    """Return `text`, which must be a nonce. Raises 404 if it is not."""
    if not is_nonce(text):
        abort(404)
    return text


def _body() -> str:
    """The text in the composer. Forms end their lines with \\r\\n."""
    return request.form.get("body", "").replace("\r\n", "\n")
