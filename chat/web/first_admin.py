"""Makes the first administrator of a chat, with the link that its operator was shown
(auth.setup_link).

The link works with every method of signing in. If passwords are on, it leads to a form that creates
the account of the administrator. A person who is already signed in, as a member or in a chat
without passwords, becomes the administrator. The form opens without the link only if nobody has
used the chat yet, and only this machine can reach it.
"""

from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.exceptions import NotFound as NoPage

from ..auth import setup_link
from ..config import is_loopback
from ..services.context import chat
from ..store import Person
from ..store.person import GUEST
from .auth import current_person, log_failed_sign_in, sign_in
from .client_address import FORWARDING_HEADERS
from .nonces import sent_nonce
from .security import address, network, own_origin
from .sign_in_forms import new_account, typed
from .view_options import shows_errors_on

bp = Blueprint("first_admin", __name__)


@bp.before_request
def only_without_admin() -> None:
    """Raise 404 as soon as there is an administrator."""
    if chat().store.accounts.has_admin():
        raise NoPage


@bp.get("/first-run")
def page() -> Any:
    """The form for the first account if it opens without the link, else where to find the link."""
    if _opens_without_link():
        return _form()
    return render_template("first_run.html", hours=setup_link.VALID_HOURS)


@bp.post("/first-run")
def make_account() -> Any:
    if not _opens_without_link():
        log_failed_sign_in("the first account was requested without the link")
        text = "To create the first account, use the link that the server printed when it started."
        return _form(text), 403
    return _make_account(guest=None)


@bp.get("/first-run/<secret>", endpoint="page_of_link")
@bp.post("/first-run/<secret>", endpoint="use_link")
def link(secret: str) -> Any:
    """The page of the link, and its form. The form makes the signed-in person the administrator, or
    creates the administrator's account. Only the form uses the link up, because some programs open
    links in advance."""
    if not chat().store.setup_links.is_valid(secret):
        return _wrong_link()
    person, is_sent = current_person(), request.method == "POST"
    # A guest gets an account where there are accounts.
    if person and (person.role != GUEST or "password" not in chat().settings.sign_in):
        if is_sent:
            return _take_over(person)
        return render_template("first_run.html", becomes=person, secret=secret)
    if "password" in chat().settings.sign_in:
        return _make_account(guest=person) if is_sent else _form()
    return redirect(f"/sign-in?next={quote(request.path, safe='')}", 303)


def _opens_without_link() -> bool:
    return _is_from_this_machine() and setup_link.opens_without(chat().settings, chat().store)


def _is_from_this_machine() -> bool:
    """True for a request that came directly from this machine: over a loopback connection, to a
    loopback name (DNS rebinding would use another name), not from a page of another origin, and
    without a header of a proxy or tunnel."""
    return (
        is_loopback(request.remote_addr or "")
        and is_loopback(urlsplit(f"//{request.host}").hostname or "")
        and request.headers.get("Origin") in (None, own_origin())
        and not any(name in request.headers for name in FORWARDING_HEADERS)
    )


def _take_over(person: Person) -> Any:
    admin = chat().store.accounts.become_first_admin(person)
    chat().store.audit_log.note(
        admin, "became the first administrator with the link", "", address()
    )
    sign_in(admin, g.session.method)  # more rights, so another cookie
    return redirect("/", 303)


def _form(error: str = "", guest: Person | None = None) -> Any:
    others = [way for way in chat().settings.sign_in if way not in ("guest", "password")]
    shown = {"first": True, "action": request.path, "others": others}
    return render_template("sign_up.html", **shown, **typed(error))


@shows_errors_on(_form)
def _make_account(guest: Person | None) -> Any:
    """Create the administrator's account, and sign in to it. A `guest` stays the same person."""
    login, name, kept = new_account()
    admin = chat().store.accounts.create_admin(login, name, kept, guest, sent_nonce())
    chat().store.audit_log.note(admin, "created the first account", "", address())
    sign_in(admin, "password")
    return redirect("/", 303)


def _wrong_link() -> Any:
    """The page for a link that was used, is too old, or never existed. Only wrong links count for
    the limit, so that nobody can keep the operator from using theirs."""
    log_failed_sign_in("a wrong link for the first administrator")
    chat().limits.use("address", network())
    return render_template("first_run.html", wrong=True, hours=setup_link.VALID_HOURS), 404
