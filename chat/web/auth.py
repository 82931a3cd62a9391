"""The person who is signed in, what they do as an administrator, and signing a person in."""

from typing import Any
from urllib.parse import quote

from flask import Flask, Request, g, redirect, request
from flask import session as cookie

from ..domain.errors import Refused
from ..domain.wire_text import agent_text
from ..rendering.text_renderer import on_behalf_of
from ..services import sessions
from ..services.context import chat
from ..services.permissions import check_admin
from ..store import Person
from ..store.person import ADMIN
from . import served_pages, trusted_proxy
from .htmx import is_htmx
from .security import address, network

WEEK_SECONDS = 7 * 24 * 3600
MAX_DETAIL_CHARS = 200  # of a failed sign-in
# Blueprints and views that do not require a signed-in person. The API checks its tokens, `live`
# answers without a page, and `next_composer` must not ask Redis.
FOR_VISITORS = {
    *("api", "assets", "connections", "first_admin", "health", "jwt_sign_in", "live"),
    *("oidc_sign_in", "sign_in", "sign_up", "composer.next_composer", "passwords.reset"),
    *("passwords.reset_page", "profiles.style", "sessions.sign_out"),
}


def init(app: Flask) -> None:
    """Tell the templates of every request who is signed in."""
    app.context_processor(_template_variables)


def current_person() -> Person | None:
    """The person who is signed in, or None. The store is asked once for each request. `g.session`
    is then the session of the cookie (store.sessions.Session)."""
    if "person" in g:
        known: Person | None = g.person
        return known
    uid, secret = cookie.get("uid"), cookie.get("secret")
    found = chat().store.sessions.person(uid, secret) if uid and secret else None
    if found and _is_of_another():
        chat().store.sessions.end(found[0].uid, found[1].sid)
        found = None
    g.person, g.session = person, _ = found or (None, None)
    on_behalf_of.set(person.uid if person else "")
    if person:
        served_pages.confirm(person)
    return person


def require_person(asked: Request) -> Any:
    """Redirect visitors who are not signed in to the sign-in page, which leads back, unless the
    view is one of FOR_VISITORS. Returns None to go on with the request."""
    if asked.endpoint is None or {asked.endpoint, asked.blueprint} & FOR_VISITORS:
        return None
    if current_person() is not None:
        _renew()
        return None
    if is_htmx():
        return "", 200, {"HX-Redirect": "/sign-in"}
    wanted = quote(request.full_path.rstrip("?"))
    return redirect(f"/sign-in?next={wanted}" if request.method == "GET" else "/sign-in", 303)


def require_admin() -> None:
    """For `before_request` of a blueprint. Raises Refused if the person is not an administrator."""
    check_admin(g.person)


def record_in_audit_log(what: str, person: Person) -> None:
    """Record what the administrator who is signed in does to a person."""
    whom = f"{person.name} ({person.login or person.uid})"
    chat().store.audit_log.note(g.person, what, whom, address())


def log_failed_sign_in(reason: str, uid: str = "", detail: object = "") -> None:
    """Record that the visitor could not sign in (observability.failed_sign_ins). `uid` is the
    person they claimed to be, if there is one. `detail` is for the operator, and must not contain a
    secret."""
    if uid:
        reason += f" (person {uid})"
    if detail:
        reason += f": {str(detail)[:MAX_DETAIL_CHARS]!a}"
    chat().failed_sign_ins.note(network(), reason)


def sign_in(person: Person, method: str) -> None:
    """Sign a person in: a new session, and a new cookie with a new CSRF token. The session of the
    cookie before, if there was one, ends with its pages.

    method: how they proved who they are, such as "password".

    Raises Refused as `check_network` does.
    """
    check_network(person)
    store, before = chat().store, current_person()
    if before and before.uid == person.uid:
        store.sessions.end(before.uid, g.session.sid)
    elif before:
        sessions.sign_out(store, before, g.session.sid)
    agent = agent_text(request.headers.get("User-Agent", ""))
    secret = store.sessions.begin(person.uid, method, agent, address())
    cookie.clear()
    cookie.permanent = True
    cookie["uid"], cookie["secret"] = person.uid, secret
    if method == "proxy":
        cookie["proxied"] = trusted_proxy.named()


def check_network(person: Person | None = None) -> None:
    """Raise Refused if an administrator has banned the visitor's network. Administrators may sign
    in from there, and people who are signed in already stay: many people may share a network."""
    if current_person() or (person and person.is_at_least(ADMIN)):
        return
    if chat().store.bans.is_banned(network()):
        log_failed_sign_in("the network is banned", person.uid if person else "")
        raise Refused(
            "Signing in from your network is not possible at the moment. "
            "Ask an administrator of this chat."
        )


def _is_of_another() -> bool:
    """Return True if the proxy names another person than the cookie does, or none clearly."""
    named = trusted_proxy.named()
    return named is None or (named != "" and cookie.get("proxied") != named)


def _renew() -> None:
    """Extend the life of the cookie, once a week and not with every response."""
    week = int(chat().store.clock.estimate() // WEEK_SECONDS)
    if cookie.get("week") != week:
        cookie["week"] = week


def _template_variables() -> dict[str, Any]:
    person = g.get("person")
    return {"person": person, "zone": person.zone if person else ""}
