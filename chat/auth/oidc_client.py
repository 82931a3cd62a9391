"""The client of an OpenID Connect provider: an authorization code with PKCE (RFC 7636)."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

from ..config import Settings, is_safe
from ..http_client.json_documents import CachedDocument, Unreachable, get_json, post_form
from . import jwt
from .jwt import BadToken, Keys

_ACCESS_TOKEN = re.compile(r"[\x20-\x7e]{1,16384}")  # what RFC 6749, appendix A.12, allows


class Provider:
    """The OpenID Connect provider of the settings, at the addresses that it publishes (OpenID
    Connect Discovery). `now` returns the time in seconds since 1970, by the database's clock."""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self.settings = settings
        self._now = now
        issuer = settings.oidc_issuer.rstrip("/")
        self._metadata = CachedDocument(f"{issuer}/.well-known/openid-configuration", dict)
        self._keys = Keys("")

    def address(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """The address at which a visitor signs in. Raises Unreachable."""
        digest = hashlib.sha256(verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self.settings.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        endpoint = self._address("authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    def claims(self, code: str, redirect_uri: str, verifier: str, nonce: str) -> dict[str, Any]:
        """The claims of the provider about who signed in. Raises Unreachable, BadToken."""
        tokens = self._tokens(code, redirect_uri, verifier)
        id_token, token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise BadToken("there is no ID token")
        claims = self._verified(id_token, nonce)
        if jwt.name_of(claims) or "userinfo_endpoint" not in self._metadata.get():
            return claims
        if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token):
            return claims
        userinfo = get_json(self._address("userinfo_endpoint"), token)
        return {**userinfo, **claims} if userinfo.get("sub") == claims["sub"] else claims

    def _tokens(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        client, secret = self.settings.oidc_client_id, self.settings.oidc_client_secret
        methods = self._metadata.get().get("token_endpoint_auth_methods_supported")
        login = None
        if secret and (not isinstance(methods, list) or "client_secret_basic" in methods):
            login = quote_plus(client), quote_plus(secret)  # RFC 6749, section 2.3.1
        else:
            form |= {"client_id": client, **({"client_secret": secret} if secret else {})}
        return post_form(self._address("token_endpoint"), form, login)

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token (OpenID Connect Core, section 3.1.3.7)."""
        jwks_uri = self._address("jwks_uri")
        if self._keys.url != jwks_uri:
            self._keys = Keys(jwks_uri)
        claims, client = self._keys.claims(token), self.settings.oidc_client_id
        jwt.check_claims(claims, self._published("issuer"), client, self._now(), nonce=nonce)
        has_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if has_several else client) != client:
            raise BadToken("the token was issued for another client")
        if "iat" not in claims:
            raise BadToken("the token does not say when it was issued")
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
            raise Unreachable(f"{self._metadata.url} names another issuer, {str(issuer)[:100]!r}")
        if not isinstance(value, str):
            raise Unreachable(f"{self._metadata.url} has no {name}")
        return value
