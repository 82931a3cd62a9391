"""The page of a bot's webhook, for administrators: its address, its secret and its last
deliveries."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..bridge import await_
from ..domain.errors import NotFound
from ..services.context import chat
from ..store import Person
from ..store.webhooks import Webhook
from ..webhooks.signing import new_secret
from .auth import record_in_audit_log, require_admin
from .view_options import shows_errors_on

bp = Blueprint("webhooks", __name__, url_prefix="/admin/bots/<uid>/webhook")
bp.before_request(require_admin)


@bp.get("")
def page(uid: str, error: str = "", secret: str = "") -> Any:
    bot, store = chat().store.people.bot(uid), chat().store.webhooks
    hook = store.get(uid)
    return render_template(
        "admin/webhook.html",
        bot=bot,
        hook=hook,
        stopped=hook is not None and _is_stopped(bot, hook),
        address=request.form.get("address", hook.address if hook else "").strip(),
        error=error,
        secret=secret,
        tries=store.attempts(uid),
        waiting=store.waiting(uid),
    )


@bp.post("")
@shows_errors_on(page)
def save(uid: str) -> Any:
    """Deliver to this address from now on. An existing secret stays, unless the webhook had stopped
    because the person who saved it is no longer an administrator: that person knows the secret."""
    bot, address = chat().store.people.bot(uid), request.form.get("address", "").strip()
    await_(chat().outbound.check(address))
    before = chat().store.webhooks.get(uid)
    secret = before.secret if before and not _is_stopped(bot, before) else new_secret()
    chat().store.webhooks.set(uid, address, secret, g.person.uid)
    record_in_audit_log(f"set the webhook {address} of", bot)
    return _back(bot)


@bp.post("/remove")
def remove(uid: str) -> Any:
    bot = chat().store.people.bot(uid)
    chat().store.webhooks.remove(uid)
    record_in_audit_log("removed the webhook of", bot)
    return _back(bot)


@bp.post("/secret")
def secret(uid: str) -> Any:
    """Show the secret; with `renew`, replace it by a new one first. It is a POST, so that browsers
    do not keep the page in their history. The audit log says who looked."""
    bot, hook = chat().store.people.bot(uid), chat().store.webhooks.get(uid)
    if hook is None:
        raise NotFound("This bot has no webhook.")
    if "renew" in request.form:
        hook = chat().store.webhooks.renew(hook, new_secret())
        record_in_audit_log("renewed the webhook secret of", bot)
    else:
        record_in_audit_log("viewed the webhook secret of", bot)
    return page(uid, secret=hook.secret)


def _is_stopped(bot: Person, hook: Webhook) -> bool:
    """True for a webhook that stopped because the person who saved it is not an active
    administrator."""
    return not chat().store.people.is_active_admin(hook.by or bot.bot)


def _back(bot: Person) -> Any:
    return redirect(f"/admin/bots/{bot.uid}/webhook", 303)
