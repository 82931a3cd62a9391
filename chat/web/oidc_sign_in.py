"""Signing in at an OpenID Connect provider, by an authorization code with PKCE (RFC 7636).

It starts with a link, not a form: Chromium applies `form-action 'self'` to each redirect after a
form, and this one leads to the provider. The link changes only the visitor's cookie, which stores
the sign-ins that were started. A code is accepted only in the browser that started the
sign-in (`state`), and only for the token that it asked for (`nonce`).
"""

import logging
import secrets
from typing import Any

from flask import Blueprint, redirect, request
from flask import session as cookie

from ..auth import jwt
from ..auth.jwt import BadToken
from ..http_client.json_documents import Unreachable
from ..services.context import chat
from .auth import current_person, log_failed_sign_in
from .security import own_origin
from .sign_in_forms import check_method, complete_sign_in, local_path, sign_in_refused

log = logging.getLogger(__name__)

bp = Blueprint("oidc_sign_in", __name__)

MAX_SIGN_IN_SECONDS = 600  # at the provider
MAX_STARTED = 3  # sign-ins that one browser has started and not completed
MAX_NEXT_CHARS = 500  # of the address to go to afterwards; a cookie is small


@bp.get("/sign-in/oidc")
def start() -> Any:
    """Send the visitor to the provider."""
    check_method("oidc")
    next = local_path(request.args.get("next", ""))
    if current_person():
        return redirect(next, 303)
    state, nonce, verifier = (secrets.token_urlsafe(n) for n in (16, 16, 32))
    try:
        provider_address = chat().provider.address(_redirect_uri(), state, nonce, verifier)
    except Unreachable as error:
        return _provider_unavailable(error, next)
    now = int(chat().store.clock.now())
    entry = [state, nonce, verifier, next if len(next) <= MAX_NEXT_CHARS else "/", now]
    cookie["oidc"] = [*cookie.get("oidc", [])[1 - MAX_STARTED :], entry]
    return redirect(provider_address, 303)


@bp.get("/sign-in/oidc/callback")
def callback() -> Any:
    """The provider redirects the visitor to here, with a `code` or an `error`."""
    check_method("oidc")
    name, args = chat().settings.oidc_name, request.args
    entry = _take_started(args.get("state", ""))
    if entry is None and current_person():
        return redirect("/", 303)  # the page was reloaded, or the sign-in started in two tabs
    if entry is None:
        log_failed_sign_in("OpenID Connect", detail="not started in this browser, or too long ago")
        text = "The sign-in took too long, or was started in another browser. Please try again."
        return sign_in_refused(text, 400)
    nonce, verifier, next = entry
    if args.get("error") == "access_denied":
        log_failed_sign_in("OpenID Connect", detail="access_denied")
        return sign_in_refused(f"Signing in with {name} was cancelled or denied.", 403, next)
    try:
        if "code" not in args:
            raise BadToken(f"error {args.get('error', '')[:100]!r} instead of a code")
        claims = chat().provider.claims(args["code"], _redirect_uri(), verifier, nonce)
    except Unreachable as error:
        return _provider_unavailable(error, next)
    except BadToken as error:
        log_failed_sign_in("OpenID Connect", detail=error)
        return sign_in_refused(f"Signing in with {name} did not work. Please try again.", 400, next)
    called = jwt.name_of(claims) or "New member"
    person = chat().store.accounts.by_subject(claims["iss"], claims["sub"], called)
    return complete_sign_in(person, "oidc", next)


def _take_started(state: str) -> tuple[str, str, str] | None:
    """Nonce, verifier and target address of the sign-in that this browser has started with `state`;
    None if there is none, or it took too long. Each can be taken once."""
    started, now = cookie.get("oidc", []), chat().store.clock.now()
    for entry in started:
        if entry[0] == state:
            cookie["oidc"] = [other for other in started if other is not entry]
            return entry[1:4] if entry[4] > now - MAX_SIGN_IN_SECONDS else None
    return None


def _redirect_uri() -> str:
    return f"{own_origin()}/sign-in/oidc/callback"


def _provider_unavailable(error: Unreachable, next: str) -> Any:
    log.warning("OpenID Connect: %s", error)
    name = chat().settings.oidc_name
    text = f"{name} does not respond correctly. Try again in a moment."
    return sign_in_refused(text, 502, next)
