"""Signing in at an OpenID Connect provider, by an authorization code with PKCE (RFC 7636).

It begins with a link and not with a form: Chromium holds a form to `form-action 'self'` through
every redirect that answers it, and the second is the provider's. The link changes nothing but the
visitor's cookie, which remembers what was begun: a code that comes back is taken only in the
browser that asked for it (`state`), for the token that was asked for (`nonce`).
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
from .auth import current_person
from .failed_sign_ins import failed
from .security import own_origin
from .sign_in import check_way, come_in, local_path, turn_away

log = logging.getLogger(__name__)

bp = Blueprint("oidc", __name__)

LASTS = 600  # seconds for signing in at the provider
MOST = 3  # of those that one browser has begun are remembered
LONGEST_NEXT = 500  # characters of the address to go to afterwards; a cookie is small


@bp.get("/sign-in/oidc")
def start() -> Any:
    """Send the visitor to the provider."""
    check_way("oidc")
    next = local_path(request.args.get("next", ""))
    if current_person():
        return redirect(next, 303)
    state, nonce, verifier = (secrets.token_urlsafe(n) for n in (16, 16, 32))
    try:
        there = chat().provider.address(_redirect_uri(), state, nonce, verifier)
    except Unreachable as error:
        return _away(error, next)
    now = int(chat().store.clock.now())
    begun = [state, nonce, verifier, next if len(next) <= LONGEST_NEXT else "/", now]
    cookie["oidc"] = [*cookie.get("oidc", [])[1 - MOST :], begun]
    return redirect(there, 303)


@bp.get("/sign-in/oidc/callback")
def callback() -> Any:
    """Where the provider sends the visitor back to, with a `code` or an `error`."""
    check_way("oidc")
    name, args = chat().settings.oidc_name, request.args
    begun = _take(args.get("state", ""))
    if begun is None and current_person():
        return redirect("/", 303)  # the page was loaded again, or begun in two tabs
    if begun is None:
        failed("OpenID Connect", detail="not begun in this browser, or too long ago")
        text = "That took too long, or was begun in another browser. Please try again."
        return turn_away(text, 400)
    nonce, verifier, next = begun
    if args.get("error") == "access_denied":
        failed("OpenID Connect", detail="access_denied")
        return turn_away(f"You were not let in at {name}, or turned back there.", 403, next)
    try:
        if "code" not in args:
            raise BadToken(f"error {args.get('error', '')[:100]!r} instead of a code")
        claims = chat().provider.claims(args["code"], _redirect_uri(), verifier, nonce)
    except Unreachable as error:
        return _away(error, next)
    except BadToken as error:
        failed("OpenID Connect", detail=error)
        return turn_away(f"Signing in with {name} did not work. Please try again.", 400, next)
    called = jwt.name_of(claims) or "New member"
    person = chat().store.accounts.of_subject(claims["iss"], claims["sub"], called)
    return come_in(person, "oidc", next)


def _take(state: str) -> tuple[str, str, str] | None:
    """Nonce, verifier and address to go to of what this browser has begun with `state`; once."""
    all_begun, now = cookie.get("oidc", []), chat().store.clock.now()
    for begun in all_begun:
        if begun[0] == state:
            cookie["oidc"] = [other for other in all_begun if other is not begun]
            return begun[1:4] if begun[4] > now - LASTS else None
    return None


def _redirect_uri() -> str:
    return f"{own_origin()}/sign-in/oidc/callback"


def _away(error: Unreachable, next: str) -> Any:
    log.warning("OpenID Connect: %s", error)
    name = chat().settings.oidc_name
    return turn_away(f"{name} does not answer as it should. Try again in a moment.", 502, next)
