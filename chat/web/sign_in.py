"""The sign-in page, and this chat's own methods: a guest's name, and accounts with passwords.

For the methods in which another site authenticates the person, see oidc_sign_in, jwt_sign_in and
trusted_proxy.

Signing in does not reveal whether a login exists: a wrong login and a wrong password give the same
text and take the same time. Creating an account has to reveal it, and is limited (services.limits).
"""

from typing import Any

from flask import Blueprint, redirect, request

from ..auth import passwords
from ..domain.errors import Invalid, Refused
from ..domain.validation import MAX_NAME_CHARS, clean_name
from ..runtime.executors import PASSWORDS
from ..services.context import chat
from . import sign_in_forms as forms
from . import trusted_proxy
from .auth import check_network, current_person, log_failed_sign_in
from .security import network
from .view_options import shows_errors_on

bp = Blueprint("sign_in", __name__)

WRONG_PASSWORD = "Login or password is wrong."


@bp.get("/sign-in")
def page() -> Any:
    """The methods of signing in. A visitor whom a proxy names is signed in at once, unless they
    have just signed out here."""
    next = forms.local_path(request.args.get("next", ""))
    if current_person():
        return redirect(next, 303)
    if (named := trusted_proxy.named()) and "out" not in request.args:
        return forms.complete_sign_in(trusted_proxy.person(named), "proxy", next)
    if _is_unused() and not next.startswith("/first-run/"):
        return redirect("/first-run", 303)
    return forms.sign_in_page()


@bp.post("/sign-in")
@shows_errors_on(forms.sign_in_page, Refused)
def sign_in() -> Any:
    """With a `password`, sign in to an account (`login`, or `name`), else as a guest with a
    `name`."""
    form = request.form
    if "password" in form:
        return _with_password(form.get("login") or form.get("name", ""), form["password"])
    return _as_guest(form.get("name", ""))


def _as_guest(name: str) -> Any:
    forms.check_method("guest")
    clean = clean_name(name, "name", MAX_NAME_CHARS)
    check_network()
    for bucket, owner in (("guest", network()), ("guest-day", network()), ("guests", "")):
        chat().limits.use(bucket, owner)
    return forms.sign_in_and_go_on(chat().store.people.create(clean), "guest")


def _with_password(login: str, password: str) -> Any:
    forms.check_method("password")
    forms.use_limits("too many tries from the network", address=network())
    forms.count_attempt(login)
    store = chat().store
    uid, stored_hash = store.accounts.by_login(login)
    is_correct = PASSWORDS.run(network(), passwords.is_correct, stored_hash, password)
    person = store.people.get(uid) if is_correct else None
    if person is None or person.deactivated:
        reason = "wrong password" if uid else "unknown login"
        log_failed_sign_in("deactivated account" if person else reason, uid)
        raise Invalid(WRONG_PASSWORD)
    return forms.sign_in_and_go_on(person, "password")


def _is_unused() -> bool:
    """True for a chat with passwords that nobody has used: the first account is to be created."""
    store = chat().store
    is_on = "password" in chat().settings.sign_in
    return is_on and not store.accounts.has_admin() and not store.people.exist()
