"""Signing in at an OpenID Connect provider, by an authorization code with PKCE (RFC 7636).

It begins with a link and not with a form: Chromium holds a form to `form-action 'self'` through
every redirect that answers it, and the second is the provider's. The link changes nothing but the
visitor's cookie, which remembers what was begun: a code that comes back is taken only in the
browser that asked for it (`state`), for the token that was asked for (`nonce`).
"""

import hashlib
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

from flask import Blueprint, redirect, request
from flask import session as cookie

from ..auth import jwt
from ..auth.jwt import BadToken, Keys
from ..config import Settings, is_safe
from ..http_client.json_documents import Kept, Unreachable, get_json, post_form
from ..services.context import chat
from .auth import current_person
from .failed_sign_ins import failed
from .security import own_origin
from .sign_in import check_way, come_in, local_path, turn_away

log = logging.getLogger(__name__)

bp = Blueprint("oidc", __name__)

LASTS = 600  # seconds for signing in at the provider
MOST = 3  # of those that one browser has begun are remembered
_ACCESS_TOKEN = re.compile(r"[\x20-\x7e]{1,16384}")  # what RFC 6749, appendix A.12, allows
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
    called = jwt.name_in(claims) or "New member"
    person = chat().store.accounts.of_subject(claims["iss"], claims["sub"], called)
    return come_in(person, "oidc", next)


class Provider:
    """The OpenID Connect provider of the settings. Its addresses are those that it publishes
    itself (OpenID Connect Discovery). `now` says what time it is for all hosts, in seconds since
    1970."""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self.settings = settings
        self._now = now
        issuer = settings.oidc_issuer.rstrip("/")
        self._metadata = Kept(f"{issuer}/.well-known/openid-configuration", dict)
        self._keys = Keys("")

    def address(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where a visitor signs in. Raises Unreachable."""
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.settings.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        there = self._address("authorization_endpoint")
        return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"

    def claims(self, code: str, redirect_uri: str, verifier: str, nonce: str) -> dict[str, Any]:
        """What the provider says of who signed in. Raises Unreachable, BadToken."""
        tokens = self._tokens(code, redirect_uri, verifier)
        id_token, token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise BadToken("there is no ID token")
        claims = self._verified(id_token, nonce)
        if jwt.name_in(claims) or "userinfo_endpoint" not in self._metadata.get():
            return claims
        if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token):
            return claims
        said = get_json(self._address("userinfo_endpoint"), token)
        return {**said, **claims} if said.get("sub") == claims["sub"] else claims

    def _tokens(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        who, secret = self.settings.oidc_client_id, self.settings.oidc_client_secret
        ways = self._metadata.get().get("token_endpoint_auth_methods_supported")
        login = None
        if secret and (not isinstance(ways, list) or "client_secret_basic" in ways):
            login = quote_plus(who), quote_plus(secret)  # RFC 6749, section 2.3.1
        else:
            form |= {"client_id": who, **({"client_secret": secret} if secret else {})}
        return post_form(self._address("token_endpoint"), form, login)

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token (OpenID Connect Core, section 3.1.3.7)."""
        where = self._address("jwks_uri")
        if self._keys.url != where:
            self._keys = Keys(where)
        claims, client = self._keys.claims(token), self.settings.oidc_client_id
        jwt.check(claims, self._published("issuer"), client, self._now(), nonce=nonce)
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client) != client:
            raise BadToken("the token was made for another client")
        if "iat" not in claims:
            raise BadToken("the token does not say when it was made")
        return claims

    def _address(self, name: str) -> str:
        """An address that the provider publishes. Raises Unreachable."""
        address = self._published(name)
        if not is_safe(address):
            raise Unreachable(f"the {name} of {self._metadata.url} is not an https address")
        return address

    def _published(self, name: str) -> str:
        metadata = self._metadata.get()
        issuer, value = metadata.get("issuer"), metadata.get(name)
        # A slash at the end is easily forgotten in the settings.
        if str(issuer).rstrip("/") != self.settings.oidc_issuer.rstrip("/"):
            raise Unreachable(f"{self._metadata.url} is of another issuer, {str(issuer)[:100]!r}")
        if not isinstance(value, str):
            raise Unreachable(f"{self._metadata.url} has no {name}")
        return value


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
