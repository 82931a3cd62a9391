"""Signing out, and the page of a person's sessions."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from flask import session as cookie

from ..services import sessions
from ..services.context import chat
from . import trusted_proxy
from .auth import current_person

bp = Blueprint("sessions", __name__)

# How the page describes each sign-in method.
METHODS = {
    "guest": "as a guest",
    "password": "with a password",
    "jwt": "from another site",
    "proxy": "by the proxy in front",
}


@bp.post("/sign-out")
def sign_out() -> Any:
    if person := current_person():
        sessions.sign_out(chat().store, person, g.session.sid)
    cookie.clear()
    return redirect("/sign-in?out=1" if trusted_proxy.named() else "/sign-in", 303)


@bp.get("/me/sessions")
def index() -> Any:
    """The browsers in which the person is signed in."""
    return render_template(
        "me/sessions.html",
        sessions=chat().store.sessions.of(g.person.uid),
        words={**METHODS, "oidc": f"with {chat().settings.oidc_name}"},
        present=g.session.sid,
    )


@bp.post("/me/sessions/end")
def end() -> Any:
    """End the session `sid`, or all others."""
    sid, store = request.form.get("sid", ""), chat().store.sessions
    if sid == g.session.sid:
        return sign_out()
    if sid:
        store.end(g.person.uid, sid)
    else:
        store.end_all(g.person.uid, but=g.session.sid)
    return redirect("/me/sessions", 303)
