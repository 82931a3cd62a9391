"""Who is signed in. The cookie holds a user id and the secret of a session, signed; the
session itself is in the store, where it can be ended."""

from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, Request, g, redirect, render_template, request
from flask import session as cookie
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, TimestampSigner

from ..bridge import await_
from ..domain.errors import Refused
from ..domain.wire_text import agent_text
from ..rendering.text_renderer import on_behalf_of
from ..services.context import chat
from ..store import Person
from ..store.person import ADMIN, GUEST
from ..store.sessions import Session
from . import served_pages, trusted_proxy
from .failed_sign_ins import failed
from .htmx import is_htmx
from .security import address, network

bp = Blueprint("session", __name__)

COOKIES_KEPT = 2048  # whose signature is not looked at again

# How somebody signed in, as the list of sessions says it.
WORDS = {
    "guest": "as a guest",
    "password": "with a password",
    "jwt": "from another site",
    "proxy": "by the proxy in front",
}


class Cookies(SecureCookieSessionInterface):
    """Flask's signed cookies, each with its signature looked at once: by the same bytes it is known
    again, but its age is asked for each time. Whether the session goes on is the store's to say.

    `clock` says what time it is for all hosts (s since 1970), and never waits. A cookie with a time
    to come is one from before that clock was set back: it counts as new."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._serializer: Any = None
        self._read = lru_cache(maxsize=COOKIES_KEPT)(self._verified)

    def get_signing_serializer(self, app: Flask) -> Any:
        if self._serializer is None:
            self._serializer = super().get_signing_serializer(app)
            if self._serializer is not None:
                self._serializer.signer = _dating_by(self.clock)
        return self._serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        text = request.cookies.get(self.get_cookie_name(app), "")
        if not text or self.get_signing_serializer(app) is None:
            return super().open_session(app, request)
        try:
            data, signed = self._read(text)
        except BadSignature:
            return self.session_class()
        if self.clock() - signed > app.permanent_session_lifetime.total_seconds():
            return self.session_class()
        return self.session_class({name: _copy(value) for name, value in data.items()})

    def _verified(self, text: str) -> tuple[dict[str, Any], int]:
        """What a cookie says and when it was signed (seconds since 1970). Raises BadSignature,
        which is not kept: who makes cookies up fills nothing."""
        data, signed = self._serializer.loads(text, return_timestamp=True)
        return data, int(signed.timestamp())


def _copy(value: Any) -> Any:
    """A value of a cookie to be changed, where it is one that can be; a sign-in by another site
    that has begun is a list."""
    return deepcopy(value) if type(value) in (list, dict) else value


def _dating_by(clock: Callable[[], float]) -> type[TimestampSigner]:
    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(clock())

    return Signer


def current_person() -> Person | None:
    """Who is signed in, or None. Read from the store once in a request; `g.session` is then
    the session (store.sessions.Session) that the cookie belongs to."""
    if "person" in g:
        known: Person | None = g.person
        return known
    uid, secret = cookie.get("uid"), cookie.get("secret")
    found = chat().store.sessions.person(uid, secret) if uid and secret else None
    if found and _is_anothers(*found):
        found = None
    g.person, g.session = person, _ = found or (None, None)
    on_behalf_of.set(person.uid if person else "")
    if person:
        served_pages.confirm(person)
    return person


def _is_anothers(person: Person, session: Session) -> bool:
    """End the session of somebody else than the one whom a proxy has let in, and every session
    where the proxy does not say clearly who that is. True when it has ended."""
    named = trusted_proxy.named()
    if named is not None and (not named or cookie.get("proxied") == named):
        return False
    chat().store.sessions.end(person.uid, session.sid)
    cookie.clear()
    return True


def begin(person: Person, way: str) -> None:
    """Sign a person in: a new session, and a cookie with nothing of who was here before, the
    CSRF token included. The session that was here before ends, with its pages. `way` says how
    they proved who they are. Raises Refused as check_let_in does."""
    check_let_in(person)
    if (before := current_person()) and before.uid == person.uid:
        chat().store.sessions.end(before.uid, g.session.sid)
    elif before:
        leave()
    agent = agent_text(request.headers.get("User-Agent", ""))
    secret = chat().store.sessions.begin(person.uid, way, agent, address())
    cookie.clear()
    cookie.permanent = True
    cookie["uid"], cookie["secret"] = person.uid, secret
    if way == "proxy":
        cookie["proxied"] = trusted_proxy.subject()


def check_let_in(person: Person | None = None) -> None:
    """Raise Refused for who comes from a network that is kept out. Admins may come, and who is
    signed in already stays: many may share it."""
    if current_person() or (person and person.is_at_least(ADMIN)):
        return
    if chat().store.bans.is_out(network()):
        failed("the network is kept out", person.uid if person else "")
        raise Refused("Nobody signs in from your network at the moment. Ask an admin of this chat.")


def is_still_on(uid: str, sid: str) -> bool:
    """For what stays open, after it was connected to the hub: True when the session `sid` of this
    person goes on. Its end is heard of from here on; one before that would not have been."""
    await_(chat().realtime.subscriber.ready(f"user:{uid}"))
    return chat().store.sessions.is_on(uid, sid)


def require_person() -> Any:
    """For `before_request`: send who is not signed in to the sign-in page, and back after."""
    if current_person() is not None:
        _renew()
        return None
    if is_htmx():
        return "", 200, {"HX-Redirect": "/sign-in"}
    asked = quote(request.full_path.rstrip("?"))
    return redirect(f"/sign-in?next={asked}" if request.method == "GET" else "/sign-in", 303)


def _renew() -> None:
    """Let the cookie of who still comes last longer, once a week and not with every answer."""
    week = int(chat().store.clock.estimate() // (7 * 24 * 3600))
    if cookie.get("week") != week:
        cookie["week"] = week


@bp.app_context_processor
def person() -> dict[str, Any]:
    """Templates of a request know `person`, and the time zone that person reads times in."""
    person = g.get("person")
    return {"person": person, "zone": person.zone if person else ""}


def leave() -> None:
    """End the session of who is signed in here. A guest without another one cannot sign in again;
    their session ends last, so that they can sign out once more if this breaks off."""
    person, store = g.person, chat().store
    others = [one for one in store.sessions.of(person.uid) if one.sid != g.session.sid]
    if person.role == GUEST and not others:
        store.tokens.revoke_all(person.uid)
        store.rooms.let_go(person)
    store.sessions.end(person.uid, g.session.sid)


def shut_out(uid: str, but: str = "") -> None:
    """End all sessions of a person but the one with the id `but`, all tokens, and a link for a new
    password."""
    chat().store.sessions.end_all(uid, but)
    chat().store.tokens.revoke_all(uid)
    chat().store.accounts.drop_reset(uid)


@bp.post("/sign-out")
def sign_out() -> Any:
    if current_person():
        leave()
    cookie.clear()
    return redirect("/sign-in?out=1" if trusted_proxy.subject() else "/sign-in", 303)


@bp.get("/me/sessions")
def mine() -> Any:
    """Where the person is signed in."""
    if refused := require_person():
        return refused
    sessions = chat().store.sessions.of(g.person.uid)
    words = {**WORDS, "oidc": f"with {chat().settings.oidc_name}"}
    return render_template(
        "me/sessions.html", sessions=sessions, words=words, present=g.session.sid
    )


@bp.post("/me/sessions/end")
def end() -> Any:
    """End the session `sid`, or all others."""
    if refused := require_person():
        return refused
    sid = request.form.get("sid", "")
    if sid == g.session.sid:
        return sign_out()
    if sid:
        chat().store.sessions.end(g.person.uid, sid)
    else:
        chat().store.sessions.end_all(g.person.uid, but=g.session.sid)
    return redirect("/me/sessions", 303)
