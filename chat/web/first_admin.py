"""How a chat gets its first admin: by the link that its operator was shown (chat.auth.setup_link).

The link works in every way of signing in. Where passwords are on, it leads to the form for an
account, which becomes the admin's; whoever is signed in already, as a member or in a chat without
passwords, becomes the admin themselves. Only a chat that nobody but this machine reaches, and that
nobody has used, opens that form without the link.
"""

from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.exceptions import NotFound as NoPage

from ..auth import setup_link
from ..config import is_loopback
from ..domain.errors import Busy, ChatError, Invalid, Refused
from ..services.context import chat
from ..store import Person
from ..store.person import GUEST
from .auth import current_person, sign_in
from .client_address import FORWARDING_HEADERS
from .failed_sign_ins import failed
from .nonces import sent_nonce
from .security import address, network
from .sign_in_forms import auth_methods, new_account, typed

bp = Blueprint("first_admin", __name__)


@bp.before_request
def only_without_admin() -> None:
    """Raise 404 as soon as there is an admin."""
    if chat().store.accounts.has_admin():
        raise NoPage


@bp.get("/first-run")
def page() -> Any:
    """The form for the first account where it opens without the link, else where to find that."""
    if _opens_without_link():
        return _form()
    return render_template("first_run.html", hours=setup_link.VALID_HOURS)


@bp.post("/first-run")
def make_account() -> Any:
    if not _opens_without_link():
        failed("the first account was asked for without the link")
        text = "The first account is made with the link that the server printed at its start."
        return _form(Refused(text))
    return _make_account(None)


@bp.get("/first-run/<secret>")
def page_of_link(secret: str) -> Any:
    """What the link leads to. Only the form uses it up: programs that look into links beforehand
    do not."""
    if not chat().store.setup_links.is_valid(secret):
        return _wrong_link()
    person = current_person()
    if _takes_over(person):
        return render_template("first_run.html", becomes=person, secret=secret)
    if "password" in auth_methods():
        return _form()
    return redirect(f"/sign-in?next={quote(request.path, safe='')}", 303)


@bp.post("/first-run/<secret>")
def use_link(secret: str) -> Any:
    """Make the person who is signed in the admin, or an account for them."""
    if not chat().store.setup_links.is_valid(secret):
        return _wrong_link()
    person = current_person()
    if _takes_over(person):
        return _take_over(person)
    if "password" in auth_methods():
        return _make_account(person)
    return redirect(f"/sign-in?next={quote(request.path, safe='')}", 303)


def _opens_without_link() -> bool:
    return _is_from_this_machine() and setup_link.opens_without(chat().settings, chat().store)


def _is_from_this_machine() -> bool:
    """True for a request that came straight from this machine: over a loopback connection, under a
    loopback name (a foreign page whose name leads here has another one: DNS rebinding), from no
    page of another origin, and with no header of a proxy or tunnel."""
    named = [f"//{request.host}", request.headers.get("Origin", "//localhost")]
    return (
        is_loopback(request.remote_addr or "")
        and all(is_loopback(_host(name)) for name in named)
        and not any(name in request.headers for name in FORWARDING_HEADERS)
    )


def _host(url: str) -> str:
    """The name of the host in an address, "" for none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _takes_over(person: Person | None) -> bool:
    """True for who becomes the admin as they are. Where there are accounts, a guest makes one."""
    return person is not None and (person.role != GUEST or "password" not in auth_methods())


def _take_over(person: Person | None) -> Any:
    assert person is not None
    admin = chat().store.accounts.become_first_admin(person)
    chat().store.audit_log.note(admin, "became the first admin by the server's link", "", address())
    sign_in(admin, g.session.way)  # more rights, so another cookie
    return redirect("/", 303)


def _make_account(guest: Person | None) -> Any:
    """Make the admin's account, and sign in to it; a `guest` goes on as the same person."""
    try:
        login, name, kept = new_account()
        admin = chat().store.accounts.create_admin(login, name, kept, guest, sent_nonce())
    except (Busy, Invalid) as error:
        return _form(error)
    chat().store.audit_log.note(admin, "made the first account", "", address())
    sign_in(admin, "password")
    return redirect("/", 303)


def _form(error: ChatError | None = None) -> Any:
    text, status = (error.text, error.status) if error else ("", 200)
    others = [way for way in auth_methods() if way not in ("guest", "password")]
    told = {"first": True, "action": request.path, "others": others}
    headers = error.headers if error else {}
    return render_template("sign_up.html", **told, **typed(text)), status, headers


def _wrong_link() -> Any:
    """A link that is used, too old or made up. Right links are not counted: they cannot be
    guessed, and nobody should be able to keep the operator from using theirs."""
    failed("a wrong link for the first admin")
    chat().limits.use("address", network())
    return render_template("first_run.html", wrong=True, hours=setup_link.VALID_HOURS), 404
