"""The pages that change a password: one's own, and with a link from an administrator."""

from typing import Any, NoReturn

from flask import Blueprint, abort, g, make_response, redirect, render_template, request

from ..auth import passwords
from ..domain.errors import Invalid
from ..runtime.executors import PASSWORDS
from ..services.context import chat
from ..services.sessions import revoke_access
from ..store import Person
from .auth import log_failed_sign_in, sign_in
from .security import address, network
from .sign_in_forms import check_method, count_attempt, new_password_hash, sign_in_and_go_on
from .view_options import shows_errors_on

bp = Blueprint("passwords", __name__)


@bp.get("/me/password")
def change_page(error: str = "") -> Any:
    return render_template("me/password.html", person=g.person, error=error)


@bp.post("/me/password")
@shows_errors_on(change_page)
def change() -> Any:
    """Set a new password; the old one is required. All sessions end, and this browser gets a new
    one: somebody else may have the old cookie, too."""
    check_method("password")
    person, store = g.person, chat().store
    count_attempt(person.login)
    _check_old_password(person)
    new = new_password_hash(person.login, person.name)
    revoke_access(store, person.uid, but=g.session.sid)  # first, in case this is interrupted
    store.accounts.set_password(person.uid, new)
    revoke_access(store, person.uid)
    sign_in(person, g.session.method)
    return redirect("/me/sessions", 303)


@bp.get("/sign-in/reset/<secret>")
def reset_page(secret: str, error: str = "") -> Any:
    """The page of the link that an administrator has sent. Only its form uses up the link, because
    some programs open links in advance."""
    person = chat().store.accounts.by_reset(secret) or _refuse_link()
    return render_template("reset.html", owner=person, error=error)


@bp.post("/sign-in/reset/<secret>")
@shows_errors_on(reset_page)
def reset(secret: str) -> Any:
    store = chat().store
    person = store.accounts.by_reset(secret) or _refuse_link()
    new = new_password_hash(person.login, person.name)
    store.sessions.end_all(person.uid)  # first, in case this is interrupted
    if not store.accounts.use_reset(person.uid, secret, new):
        _refuse_link()
    revoke_access(store, person.uid)
    store.audit_log.note(person, "set a password with a link", "", address())
    return sign_in_and_go_on(person, "password")


def _check_old_password(person: Person) -> None:
    """Raise Invalid unless the form has the person's old password. If the form was sent again
    because its response was lost, the new password is already stored."""
    stored = chat().store.accounts.password(person.uid)
    typed = request.form.get("old", ""), request.form.get("password", "")
    if not any(PASSWORDS.run(network(), passwords.is_correct, stored, text) for text in typed):
        log_failed_sign_in("wrong current password", person.uid)
        raise Invalid("That is not your current password.")


def _refuse_link() -> NoReturn:
    """End the request with the page of a link that was used, is too old, or never existed."""
    log_failed_sign_in("a wrong link for a new password")
    abort(make_response(render_template("reset.html", owner=None), 404))
