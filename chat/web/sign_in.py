"""The sign-in page, and the ways that are this chat's own: a guest's name, and accounts with
passwords. Those by which another site says who somebody is are in oidc, jwt and proxy.

Nobody is told whether a login exists: a wrong login and a wrong password read the same and take
the same time. Making an account tells, as it must; that is counted (chat.services.limits).
"""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.exceptions import NotFound as NoPage

from ..auth import passwords
from ..domain.errors import Busy, Invalid, Refused, TooOften
from ..domain.validation import MAX_NAME, clean_name
from ..runtime.executors import PASSWORDS
from ..services.context import chat
from ..store import Person
from ..store.accounts import LONGEST_LOGIN, clean_login
from . import trusted_proxy
from .auth import begin, check_let_in, current_person, require_person, shut_out
from .failed_sign_ins import failed
from .nonces import new_nonce, sent_nonce
from .security import address, network

bp = Blueprint("sign_in", __name__)

WRONG = "Login or password is wrong."


@bp.get("/sign-in")
def page() -> Any:
    """The ways to sign in. Whom a proxy names goes on at once, unless just signed out here."""
    next = local_path(request.args.get("next", ""))
    if current_person():
        return redirect(next, 303)
    if (named := trusted_proxy.subject()) and "out" not in request.args:
        return come_in(trusted_proxy.person(named), "proxy", next)
    if _is_new() and not next.startswith("/first-run/"):
        return redirect("/first-run", 303)
    return _page()


@bp.post("/sign-in")
def sign_in() -> Any:
    """With a `password` into an account (`login`, or `name`), else as a guest with a `name`."""
    try:
        if "password" in request.form:
            return _with_password(request.form.get("login") or request.form.get("name", ""))
        return _as_guest(request.form.get("name", ""))
    except (Busy, Invalid, Refused, TooOften) as error:
        return _page(error.text), error.status, error.headers


def _as_guest(name: str) -> Any:
    check_way("guest")
    clean = clean_name(name, "name", MAX_NAME)
    check_let_in()
    for bucket, whose in (("guest", network()), ("guest-day", network()), ("guests", "")):
        chat().limits.use(bucket, whose)
    return _in(chat().store.people.create(clean), "guest")


def _with_password(login: str) -> Any:
    check_way("password")
    _count_network()
    _count_try(login)
    accounts = chat().store.accounts
    uid, kept = accounts.by_login(login)
    right = PASSWORDS.run(network(), passwords.is_correct, kept, request.form["password"])
    person = chat().store.people.get(uid) if right else None
    if person is None or person.off:
        reason = "wrong password" if uid else "unknown login"
        failed("deactivated account" if person else reason, uid)
        raise Invalid(WRONG)
    return _in(person, "password")


@bp.get("/sign-up")
def sign_up_page() -> Any:
    _check_sign_up()
    return render_template("sign_up.html", first=False, **typed())


@bp.post("/sign-up")
def sign_up() -> Any:
    """Make an account; a guest goes on as the same person."""
    _check_sign_up()
    try:
        check_let_in()
        chat().limits.use("sign-up", network())
        login, name, kept = new_account()
        guest = current_person()
        person = chat().store.accounts.create(login, name, kept, guest, nonce=sent_nonce())
    except (Busy, Invalid, Refused, TooOften) as error:
        page = render_template("sign_up.html", first=False, **typed(error.text))
        return page, error.status, error.headers
    return _in(person, "password")


@bp.get("/me/password")
def password_page() -> Any:
    if refused := require_person():
        return refused
    return render_template("me/password.html", person=g.person, error="")


@bp.post("/me/password")
def change_password() -> Any:
    """A new password for who knows the old one. All sessions end, and this one goes on under a
    new cookie: the old password may not be all that somebody else has got hold of."""
    if refused := require_person():
        return refused
    check_way("password")
    person, accounts = g.person, chat().store.accounts
    try:
        _count_try(person.login)
        kept = accounts.password(person.uid)
        # The new one is the present one where the form is sent again because no answer came.
        typed = request.form.get("old", ""), request.form.get("password", "")
        if not any(PASSWORDS.run(network(), passwords.is_correct, kept, one) for one in typed):
            failed("wrong present password", person.uid)
            raise Invalid("That is not your present password.")
        new = _hashed(person.login, person.name)
        shut_out(person.uid, but=g.session.sid)  # first, in case that this breaks off
        accounts.set_password(person.uid, new)
    except (Busy, Invalid, TooOften) as error:
        page = render_template("me/password.html", person=person, error=error.text)
        return page, error.status, error.headers
    shut_out(person.uid)
    begin(person, g.session.way)
    return redirect("/me/sessions", 303)


@bp.get("/sign-in/reset/<secret>")
def reset_page(secret: str) -> Any:
    """What the link of an admin leads to. Only the form uses it up: programs that look into
    links beforehand do not."""
    person = chat().store.accounts.resetting(secret)
    if person is None:
        failed("a wrong link for a new password")
    return render_template("reset.html", owner=person, error=""), 200 if person else 404


@bp.post("/sign-in/reset/<secret>")
def reset(secret: str) -> Any:
    accounts = chat().store.accounts
    person = accounts.resetting(secret)
    try:
        kept = _hashed(person.login, person.name) if person else ""
    except (Busy, Invalid) as error:
        page = render_template("reset.html", owner=person, error=error.text)
        return page, error.status, error.headers
    if person:
        chat().store.sessions.end_all(person.uid)  # first, in case that this breaks off
    if person is None or not accounts.use_reset(person.uid, secret, kept):
        failed("a wrong link for a new password")
        return render_template("reset.html", owner=None, error=""), 404
    shut_out(person.uid)
    chat().store.audit.note(person, "set a password by a link", "", address())
    return _in(person, "password")


def ways() -> tuple[str, ...]:
    """The ways of signing in that are on."""
    return chat().settings.sign_in


def check_way(way: str) -> None:
    """Raise 404 for a way of signing in that is off."""
    if way not in ways():
        raise NoPage


def local_path(path: str) -> str:
    """`path` when it is an address of this site, else the home page: `//host`, `/\\host` and
    control characters would lead elsewhere."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if local and path.isprintable() else "/"


def come_in(person: Person, way: str, next: str) -> Any:
    """Sign in who has proved to be this person by another site, and go to `next`. Whoever was
    signed in here before is not any more."""
    if person.off:
        failed("deactivated account", person.uid)
        return turn_away("Your account here has been deactivated. Ask an admin.", 403, next)
    begin(person, way)
    return redirect(next, 303)


def turn_away(text: str, status: int, next: str = "/") -> Any:
    """The sign-in page, with what came of the try."""
    return _page(trouble=text, next=next), status


def _in(person: Person, way: str) -> Any:
    begin(person, way)
    return redirect(local_path(request.form.get("next", "")), 303)


def _count_network() -> None:
    """One more password is tried from a network. Raises TooOften."""
    try:
        chat().limits.use("address", network())
    except TooOften:
        failed("too many tries from the network")
        raise


def _count_try(login: str) -> None:
    """One more password is tried for a login. Raises TooOften."""
    login = login.strip().lower()[:LONGEST_LOGIN]
    try:
        chat().limits.use("login", f"{login} {network()}")
        chat().limits.use("account", login)
    except TooOften:
        failed("too many tries for a login")
        raise


def new_account() -> tuple[str, str, str]:
    """Login, name and hash of the password, from the form. Raises Invalid."""
    login = clean_login(request.form.get("login", ""))
    name = clean_name(request.form.get("name", "") or login, "name", MAX_NAME)
    return login, name, _hashed(login, name)


def _hashed(*about: str) -> str:
    """The hash of the form's `password`, typed twice where the form asks `again`."""
    password = request.form.get("password", "")
    if request.form.get("again", password) != password:
        raise Invalid("The two passwords are not the same.")
    PASSWORDS.run(network(), passwords.check_strength, password, about)
    return PASSWORDS.run(network(), passwords.hashed, password)


def _is_new() -> bool:
    """True for a chat with passwords that nobody has used: it begins with the first account."""
    store = chat().store
    return "password" in ways() and not store.accounts.has_admin() and not store.people.exist()


def _check_sign_up() -> None:
    if not _can_sign_up():
        raise NoPage


def _can_sign_up() -> bool:
    """True where visitors make accounts themselves; the admin's comes first."""
    is_on = "password" in ways() and chat().settings.sign_up
    return is_on and chat().store.accounts.has_admin()


def _page(error: str = "", **more: str) -> str:
    settings, named = chat().settings, trusted_proxy.subject()
    on = () if named else ways()  # whom a proxy names is nobody else
    can_sign_up = bool(on) and _can_sign_up()
    shown = {"settings": settings, "ways": on, "named": named, "can_sign_up": can_sign_up}
    no_admin = "password" in on and not chat().store.accounts.has_admin()
    return render_template("sign_in.html", **shown, no_admin=no_admin, **{**typed(error), **more})


def typed(error: str = "") -> dict[str, str]:
    """What the form held, without passwords."""
    values = request.values
    typed = {field: values.get(field, "") for field in ("name", "login")}
    nonce = sent_nonce() or new_nonce()
    return {**typed, "next": local_path(values.get("next", "")), "error": error, "nonce": nonce}
