"""Signing in with a token (JWT) that another site has signed for its user.

The form is on another site, so it cannot have our CSRF token, and anybody who has a token could
make somebody else's browser post it. So a token can be used once, within an hour at most, and a
browser may send it only from the pages of CHAT_JWT_ORIGIN.
"""

import hashlib
import logging
from typing import Any

from flask import Blueprint, request

from ..auth import jwt
from ..auth.jwt import LEEWAY_SECONDS, BadToken
from ..http_client.json_documents import Unreachable
from ..services.context import chat
from .auth import log_failed_sign_in
from .security import own_origin
from .sign_in_forms import check_method, complete_sign_in, local_path, sign_in_refused

log = logging.getLogger(__name__)

bp = Blueprint("jwt_sign_in", __name__)

MAX_TOKEN_SECONDS = 3600  # until a token expires, as Firebase's do


@bp.post("/sign-in/token")
def sign_in() -> Any:
    """Sign in with the field `token`, or with `Authorization: Bearer`, and redirect to `next`."""
    check_method("jwt")
    next = local_path(request.form.get("next", ""))
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (own_origin(), *chat().settings.jwt_origins):
        log_failed_sign_in("a token from a page outside CHAT_JWT_ORIGIN", detail=origin)
        text = "This chat does not accept sign-ins from the site you came from."
        return sign_in_refused(text, 403, next)
    token = request.form.get("token", "").strip() or _bearer()
    try:
        claims = _verified(token)
        _use(token, claims["exp"])
    except Unreachable as error:
        log.warning("CHAT_JWT_JWKS: %s", error)
        text = "Your site does not respond at the moment. Try again later."
        return sign_in_refused(text, 502, next)
    except BadToken as error:
        log_failed_sign_in("a token was refused", detail=error)
        text = (
            "The token has expired, was used before, or is for another site. Go back and try again."
        )
        return sign_in_refused(text, 400, next)
    called = jwt.name_of(claims) or "New member"
    person = chat().store.accounts.by_subject(claims["iss"], claims["sub"], called)
    return complete_sign_in(person, "jwt", next)


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _verified(token: str) -> dict[str, Any]:
    settings = chat().settings
    claims = chat().jwt_keys.claims(token)
    now = chat().store.clock.now()
    jwt.check_claims(claims, settings.jwt_issuer, settings.jwt_audience, now)
    if claims["exp"] > now + MAX_TOKEN_SECONDS + LEEWAY_SECONDS:
        raise BadToken(f"it is valid for more than {MAX_TOKEN_SECONDS} s")
    return claims


def _use(token: str, until: float) -> None:
    """Raise BadToken for a token that was used before. Tokens are compared without the signature:
    one text may have several valid signatures."""
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    seconds = int(until - chat().store.clock.now()) + LEEWAY_SECONDS + 1
    if not chat().store.accounts.use_once(digest, seconds):
        raise BadToken("it was used before")
