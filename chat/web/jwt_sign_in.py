"""Another site hands its user over: what it signed becomes a session.

The form is another site's, so it cannot carry our CSRF token, and whoever has a token of their own
could make somebody else's browser post it. So a token counts once and for an hour at most, and a
browser may bring it only from the pages of CHAT_JWT_ORIGIN.
"""

import hashlib
import logging
from typing import Any

from flask import Blueprint, request

from ..auth import jwt
from ..auth.jwt import LEEWAY_SECONDS, BadToken, Keys, Secret
from ..config import Settings
from ..http_client.json_documents import Unreachable
from ..services.context import chat
from .failed_sign_ins import failed
from .security import own_origin
from .sign_in import check_way, come_in, local_path, turn_away

log = logging.getLogger(__name__)

bp = Blueprint("jwt", __name__)

LONGEST = 3600  # seconds that a token may have left; Firebase's have as much


@bp.post("/sign-in/token")
def hand_over() -> Any:
    """With a `token`, or `Authorization: Bearer`; then on to `next`."""
    check_way("jwt")
    next = local_path(request.form.get("next", ""))
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (own_origin(), *chat().settings.jwt_origins):
        failed("a token from a page that is not of CHAT_JWT_ORIGIN", detail=origin)
        return turn_away("This chat takes nobody over from the site you come from.", 403, next)
    token = request.form.get("token", "").strip() or _bearer()
    try:
        claims = _verified(token)
        _use(token, claims["exp"])
    except Unreachable as error:
        log.warning("CHAT_JWT_JWKS: %s", error)
        return turn_away("Your site does not answer just now. Try again in a moment.", 502, next)
    except BadToken as error:
        failed("a token was refused", detail=error)
        text = "That was too old, used already, or not meant for here. Go back and try again."
        return turn_away(text, 400, next)
    called = jwt.name_of(claims) or "New member"
    person = chat().store.accounts.of_subject(claims["iss"], claims["sub"], called)
    return come_in(person, "jwt", next)


def keys(settings: Settings) -> Keys | Secret:
    """What the tokens of the settings are signed with."""
    return Secret(settings.jwt_secret) if settings.jwt_secret else Keys(settings.jwt_jwks)


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _verified(token: str) -> dict[str, Any]:
    settings = chat().settings
    claims = chat().jwt_keys.claims(token)
    now = chat().store.clock.now()
    jwt.check_claims(claims, settings.jwt_issuer, settings.jwt_audience, now)
    if claims["exp"] > now + LONGEST + LEEWAY_SECONDS:
        raise BadToken(f"it is good for more than {LONGEST} s")
    return claims


def _use(token: str, until: float) -> None:
    """Raise BadToken for a token that was here. It is known by what was signed: of a signature
    there may be several that are right."""
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    seconds = int(until - chat().store.clock.now()) + LEEWAY_SECONDS + 1
    if not chat().store.accounts.use_once(digest, seconds):
        raise BadToken("it was used before")
