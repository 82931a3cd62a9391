"""Signed tokens of other sites (JWT, RFC 7519): checks their signatures and claims.

Which algorithms are accepted depends on the keys, never on the token. With public keys, only
signatures made with a private key are valid, so nobody can sign with a key that everybody can read.
`none` is never accepted.
"""

import logging
from collections.abc import Collection
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet, OctKey
from joserfc.jws import JWSRegistry

from ..domain.errors import Invalid
from ..domain.validation import MAX_NAME_CHARS, clean_name
from ..domain.wire_text import is_whole
from ..http_client.json_documents import CachedDocument

log = logging.getLogger(__name__)

SECRET_ALGORITHMS = ("HS256",)
KEY_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
LEEWAY_SECONDS = 30  # that the clocks of the two sites may differ
MAX_TOKEN_CHARS = 16 * 1024
MAX_SUBJECT_CHARS = 255  # OpenID Connect Core, section 2
MAX_KEYS = 100  # that are used of a JWKS; known sites publish two to twenty


class BadToken(Exception):
    """An invalid token; the text is for the log."""


class Keys:
    """The public keys at a JWKS address (RFC 7517). An unknown key is looked up there, so the other
    site can change its keys at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept = CachedDocument(url, key_set)

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the keys has signed. Raises BadToken, Unreachable."""
        try:
            return _claims(token, self._kept.get(), KEY_ALGORITHMS)
        except _UnknownKey:
            return _claims(token, self._kept.renew(), KEY_ALGORITHMS)


class Secret:
    """A secret that another site shares with the chat."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that was signed with the secret. Raises BadToken."""
        return _claims(token, self._key, SECRET_ALGORITHMS)


def check_claims(
    claims: dict[str, Any], issuer: str, audience: str, now: float, **more: str
) -> None:
    """Raise BadToken unless the claims are by `issuer` for `audience`, name a subject, are valid at
    `now` (seconds since 1970), and contain `more`. Each is a string; only `aud` may be a list."""
    for name in ("iss", "sub", *more):
        if not isinstance(claims.get(name), str):
            raise BadToken(f"{name} is not a string")
    wanted = {"iss": issuer, "aud": audience, **more}
    options: dict[str, Any] = {name: {"essential": True} for name in ("exp", "sub")}
    options |= {name: {"essential": True, "value": value} for name, value in wanted.items()}
    registry = jwt.JWTClaimsRegistry(now=int(now), leeway=LEEWAY_SECONDS, **options)
    try:
        registry.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(str(error)) from None
    if len(claims["sub"]) > MAX_SUBJECT_CHARS:
        raise BadToken("the subject is too long")


def name_of(claims: dict[str, Any]) -> str:
    """The name of a person, "" when the claims have none (OpenID Connect Core, 5.1)."""
    email = claims.get("email")
    called = [claims.get(name) for name in ("name", "preferred_username", "nickname")]
    return first_usable_name(*called, email.partition("@")[0] if isinstance(email, str) else "")


def first_usable_name(*texts: object) -> str:
    """The first of the texts that can be a name in the chat, cut to fit; "" when none can."""
    for text in texts:
        if isinstance(text, str):
            try:
                return clean_name(text[:MAX_NAME_CHARS])
            except Invalid:
                continue
    return ""


class _UnknownKey(BadToken):
    pass


def _claims(token: str, key: Key | KeySet, algorithms: Collection[str]) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS:
        raise BadToken("the token is too long")
    # Unknown fields of a header are ignored unless they are critical (RFC 7515, section 4).
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        claims = jwt.decode(token, key, registry=registry).claims
    except InvalidKeyIdError as error:
        raise _UnknownKey(str(error)) from None
    except Exception as error:  # a stranger sent it, and libraries may raise anything
        raise BadToken(f"{type(error).__name__} {error}") from None
    if not is_whole(claims):
        raise BadToken("a string in it cannot be encoded in UTF-8")
    return claims


def _may_be_public(key: Any) -> bool:
    """Return False for anything but a key, and for private and symmetric keys: nobody publishes
    these, and checking a private key takes long."""
    return (
        isinstance(key, dict) and isinstance(key.get("kid", ""), str) and not {"d", "k"} & set(key)
    )


def key_set(document: dict[str, Any]) -> KeySet:
    """The usable public keys of a JWKS, at most MAX_KEYS. Others are ignored (RFC 7517, section
    5)."""
    listed, keys = document.get("keys"), []
    listed = listed if isinstance(listed, list) else []
    if len(listed) > MAX_KEYS:
        log.warning("a JWKS has %d keys; only the first %d are used", len(listed), MAX_KEYS)
    for data in listed[:MAX_KEYS]:
        if not _may_be_public(data):
            continue
        try:
            keys.append(JWKRegistry.import_key(data))
        except Exception as error:  # a stranger sent it, and libraries may raise anything
            log.info("a key of a JWKS cannot be used: %r", error)
    return KeySet(keys)
