"""Functions that the pages for signing in and for creating an account share."""

from typing import Any

from flask import redirect, render_template, request
from werkzeug.exceptions import NotFound as NoPage

from ..auth import passwords
from ..domain.errors import Invalid, TooOften
from ..domain.validation import MAX_NAME_CHARS, clean_name
from ..runtime.executors import PASSWORDS
from ..services.context import chat
from ..store import Person
from ..store.accounts import MAX_LOGIN_CHARS, clean_login
from . import trusted_proxy
from .auth import log_failed_sign_in, sign_in
from .nonces import new_nonce, sent_nonce
from .security import network


def check_method(method: str) -> None:
    """Raise 404 if a method of signing in is off."""
    if method not in chat().settings.sign_in:
        raise NoPage


def can_sign_up() -> bool:
    """True if visitors may create accounts. They cannot before there is an administrator."""
    is_on = "password" in chat().settings.sign_in and chat().settings.sign_up
    return is_on and chat().store.accounts.has_admin()


def complete_sign_in(person: Person, method: str, next: str) -> Any:
    """Sign in a person whom another site has authenticated, and redirect to `next`. Anybody else
    who was signed in in this browser is signed out."""
    if person.deactivated:
        log_failed_sign_in("deactivated account", person.uid)
        return sign_in_refused(
            "Your account here has been deactivated. Ask an administrator.", 403, next
        )
    sign_in(person, method)
    return redirect(next, 303)


def sign_in_and_go_on(person: Person, method: str) -> Any:
    """Sign a person in, and redirect to the form's `next`."""
    sign_in(person, method)
    return redirect(local_path(request.form.get("next", "")), 303)


def sign_in_page(error: str = "", **more: str) -> str:
    """The sign-in page. `error` appears next to the form that was sent."""
    settings, named = chat().settings, trusted_proxy.named()
    methods = () if named else settings.sign_in  # the proxy has authenticated the visitor
    no_admin = "password" in methods and not chat().store.accounts.has_admin()
    return render_template(
        "sign_in.html",
        settings=settings,
        methods=methods,
        named=named,
        can_sign_up=bool(methods) and can_sign_up(),
        no_admin=no_admin,
        **{**typed(error), **more},
    )


def sign_in_refused(text: str, status: int, next: str = "/") -> Any:
    """The sign-in page with the reason why signing in through another site failed."""
    return sign_in_page(method_error=text, next=next), status


def typed(error: str = "") -> dict[str, str]:
    """Return the template variables with what was typed into the form, except passwords."""
    values = request.values
    fields = {field: values.get(field, "") for field in ("name", "login")}
    nonce = sent_nonce() or new_nonce()
    return {**fields, "next": local_path(values.get("next", "")), "error": error, "nonce": nonce}


def new_account() -> tuple[str, str, str]:
    """Login, name and hash of the password, from the form. Raises Invalid, Busy."""
    login = clean_login(request.form.get("login", ""))
    name = clean_name(request.form.get("name", "") or login, "name", MAX_NAME_CHARS)
    return login, name, new_password_hash(login, name)


def new_password_hash(*about: str) -> str:
    """The hash of the form's `password`, which must equal the field `again` if there is one.

    about: texts that the password must not contain, such as the login.

    Raises Invalid, Busy.
    """
    password = request.form.get("password", "")
    if request.form.get("again", password) != password:
        raise Invalid("The passwords do not match.")
    PASSWORDS.run(network(), passwords.check_strength, password, about)
    return PASSWORDS.run(network(), passwords.hashed, password)


def count_attempt(login: str) -> None:
    """Count an attempt to enter a login's password. Raises TooOften."""
    login = login.strip().lower()[:MAX_LOGIN_CHARS]
    use_limits("too many tries for a login", login=f"{login} {network()}", account=login)


def use_limits(reason: str, **owners: str) -> None:
    """Count an attempt against rate limits. `owners` has an owner for each bucket. Before raising
    TooOften, records a failed sign-in with the reason."""
    try:
        for bucket, owner in owners.items():
            chat().limits.use(bucket, owner)
    except TooOften:
        log_failed_sign_in(reason)
        raise


def local_path(path: str) -> str:
    """Returns `path` if it is a path of this site, else "/": `//host`, `/\\host` and control
    characters would lead to another site."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if is_local and path.isprintable() else "/"
