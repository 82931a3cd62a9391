"""Pages for the tokens of programs: one's own, and for administrators those of bots."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, Refused
from ..domain.validation import MAX_NAME_CHARS, clean_name
from ..services.context import chat
from ..services.permissions import check_admin
from ..store import Person, keys
from ..store.person import MEMBER
from ..store.tokens import SCOPES
from .auth import record_in_audit_log
from .nonces import new_nonce, sent_nonce
from .paging import part
from .view_options import shows_errors_on

bp = Blueprint("api_tokens", __name__)


@bp.get("/me/tokens")
def mine() -> Any:
    return of_bot(g.person.uid)


@bp.get("/admin/bots")
def bots(error: str = "") -> Any:
    check_admin(g.person)
    bots, here = part(chat().store.people.bots())
    shown = {"paging": here, "error": error, "nonce": new_nonce()}
    return render_template("admin/bots.html", bots=bots, **shown)


@bp.post("/admin/bots")
@shows_errors_on(bots)
def make_bot() -> Any:
    """Create a bot: a person who cannot sign in, and can be added to rooms like anybody."""
    check_admin(g.person)
    name = clean_name(request.form.get("name", ""), "name", MAX_NAME_CHARS)
    nonce = sent_nonce()
    uid = keys.repeatable_id("bot", g.person.uid, nonce, name) if nonce else ""
    is_new = not uid or chat().store.people.get(uid) is None
    bot = chat().store.people.create(name, MEMBER, uid=uid, bot=g.person.uid)
    if is_new:
        record_in_audit_log("created the bot", bot)
    return redirect(f"/tokens/{bot.uid}", 303)


@bp.get("/tokens/<uid>")
def of_bot(uid: str, error: str = "", secret: str = "") -> Any:
    owner, store = _owner(uid), chat().store.tokens
    tokens = store.of(uid)
    return render_template(
        "me/tokens.html",
        owner=owner,
        tokens=tokens,
        stopped={token.tid for token in tokens if not store.works(owner, token)},
        error=error,
        secret=secret,
        typed=request.form.get("name", ""),
        scopes=SCOPES,
        nonce=new_nonce(),
    )


@bp.post("/tokens/<uid>")
@shows_errors_on(of_bot, Refused)
def make(uid: str) -> Any:
    """Create a token. Only the page in the response ever shows it."""
    owner = _owner(uid)
    scopes = [scope for scope in SCOPES if scope in request.form.getlist("scopes")]
    name = clean_name(request.form.get("name", ""), "name of the token", MAX_NAME_CHARS)
    if not scopes:
        raise Invalid("Choose what the token may do.")
    by = g.person.uid if owner.bot else ""
    secret = chat().store.tokens.make(uid, name, scopes, by, sent_nonce())
    if owner.bot:
        record_in_audit_log("created a token for", owner)
    return of_bot(uid, secret=secret)


@bp.post("/tokens/<uid>/revoke")
def revoke(uid: str) -> Any:
    owner = _owner(uid)
    chat().store.tokens.revoke(owner.uid, request.form.get("tid", ""))
    if owner.bot:
        record_in_audit_log("revoked a token of", owner)
    return redirect(f"/tokens/{uid}" if owner.bot else "/me/tokens", 303)


def _owner(uid: str) -> Person:
    """The owner of the tokens: the person who is signed in or, for administrators, a bot. Raises
    NotFound, Refused."""
    if uid == g.person.uid:
        return g.person  # type: ignore[no-any-return]
    check_admin(g.person)
    return chat().store.people.bot(uid)
