"""Signing in and out. The cookie holds a user id and the secret of a session, signed; the
session itself is in the store, where it can be ended."""

import time
from typing import Any
from urllib.parse import quote

from flask import Blueprint, g, redirect, render_template, request
from flask import session as cookie

from .current import chat
from .errors import Invalid
from .store import Person
from .text import MAX_NAME, clean_name

bp = Blueprint("session", __name__)


def current_person() -> Person | None:
    """Who is signed in, or None. Read from the store once in a request; `g.session` is then
    the session (store.sessions.Session) that the cookie belongs to."""
    if "person" not in g:
        uid, secret = cookie.get("uid"), cookie.get("secret")
        found = chat().store.sessions.person(uid, secret) if uid and secret else None
        g.person, g.session = found or (None, None)
    person: Person | None = g.person
    return person


def begin(person: Person, way: str) -> None:
    """Sign a person in: a new session, and a cookie with nothing of who was here before, the
    CSRF token included. `way` says how they proved who they are."""
    agent, address = request.headers.get("User-Agent", ""), request.remote_addr or ""
    secret = chat().store.sessions.begin(person.uid, way, agent, address)
    cookie.clear()
    cookie.permanent = True
    cookie["uid"], cookie["secret"] = person.uid, secret


def require_person() -> Any:
    """For `before_request`: send who is not signed in to the sign-in page, and back after."""
    if current_person() is not None:
        _renew()
        return None
    if request.headers.get("HX-Request"):
        return "", 200, {"HX-Redirect": "/sign-in"}
    asked = quote(request.full_path.rstrip("?"))
    return redirect(f"/sign-in?next={asked}" if request.method == "GET" else "/sign-in", 303)


def _renew() -> None:
    """Let the cookie of who still comes last longer, once a week and not with every answer."""
    week = int(time.time() // (7 * 24 * 3600))
    if cookie.get("week") != week:
        cookie["week"] = week


@bp.app_context_processor
def person() -> dict[str, Any]:
    """Templates of a request know `person`."""
    return {"person": g.get("person")}


@bp.get("/sign-in")
def sign_in_page() -> Any:
    if current_person():
        return redirect(_local_path(request.args.get("next", "")), 303)
    return _sign_in_page(request.args.get("next", ""))


@bp.post("/sign-in")
def sign_in() -> Any:
    name = request.form.get("name", "")
    try:
        clean = clean_name(name, "name", MAX_NAME)
    except Invalid as error:
        return _sign_in_page(request.form.get("next", ""), name, error.text), 400
    target = _local_path(request.form.get("next", ""))
    begin(chat().store.people.create(clean), "guest")
    return redirect(target, 303)


@bp.post("/sign-out")
def sign_out() -> Any:
    if current_person():
        chat().store.sessions.end(g.person.uid, g.session.sid)
    cookie.clear()
    return redirect("/sign-in", 303)


def _sign_in_page(next: str, value: str = "", error: str = "") -> str:
    return render_template("sign_in.html", next=_local_path(next), value=value, error=error)


def _local_path(path: str) -> str:
    """`path` when it is an address of this site, else the home page: `//host`, `/\\host` and
    control characters would lead elsewhere."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if local and path.isprintable() else "/"
