"""Signed tokens of other sites (JWT, RFC 7519): who may have signed them, and what they must say.

How a token is signed is decided here, by what the keys are, and never by the token: with public
keys only a signature that needs the private one counts, so that nobody signs with what everybody
can read, and `none` is no signature.
"""

import logging
from collections.abc import Collection
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet, OctKey
from joserfc.jws import JWSRegistry

from ..domain.errors import Invalid
from ..domain.validation import MAX_NAME, clean_name
from ..domain.wire_text import is_whole
from ..http_client.json_documents import Kept

log = logging.getLogger(__name__)

BY_SECRET = ("HS256",)
BY_KEYS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
LEEWAY = 30  # seconds that clocks may differ
LONGEST = 16 * 1024  # characters of a token
LONGEST_SUBJECT = 255  # characters (OpenID Connect Core, section 2)
MAX_KEYS = 100  # that are taken from a JWKS; the sites there are publish two to twenty


class BadToken(Exception):
    """A token that proves nothing; the text is for the log."""


class Keys:
    """The public keys at a JWKS address (RFC 7517). A key that is not known yet is looked for
    there, so that the other site can change its keys at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept = Kept(url, key_set)

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says that one of the keys has signed. Raises BadToken, Unreachable."""
        try:
            return _claims(token, self._kept.get(), BY_KEYS)
        except _UnknownKey:
            return _claims(token, self._kept.renew(), BY_KEYS)


class Secret:
    """A secret that another site shares with this one."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says that was signed with the secret. Raises BadToken."""
        return _claims(token, self._key, BY_SECRET)


def check(claims: dict[str, Any], issuer: str, audience: str, now: float, **more: str) -> None:
    """Raise BadToken unless the claims are those of `issuer` for `audience`, about somebody, in
    time at `now` (seconds since 1970), and hold `more`. Each of these is one text; only `aud` may
    be a list of them."""
    for name in ("iss", "sub", *more):
        if not isinstance(claims.get(name), str):
            raise BadToken(f"{name} is not a text")
    wanted = {"iss": issuer, "aud": audience, **more}
    options: dict[str, Any] = {name: {"essential": True} for name in ("exp", "sub")}
    options |= {name: {"essential": True, "value": value} for name, value in wanted.items()}
    registry = jwt.JWTClaimsRegistry(now=int(now), leeway=LEEWAY, **options)
    try:
        registry.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(str(error)) from None
    if len(claims["sub"]) > LONGEST_SUBJECT:
        raise BadToken("the subject is too long")


def name_in(claims: dict[str, Any]) -> str:
    """What somebody is called, "" when the claims do not say (OpenID Connect Core, 5.1)."""
    email = claims.get("email")
    called = [claims.get(name) for name in ("name", "preferred_username", "nickname")]
    return first_name(*called, email.partition("@")[0] if isinstance(email, str) else "")


def first_name(*texts: object) -> str:
    """The first of the texts that can be a name here, cut to fit; "" when none can."""
    for text in texts:
        if isinstance(text, str):
            try:
                return clean_name(text[:MAX_NAME])
            except Invalid:
                continue
    return ""


class _UnknownKey(BadToken):
    pass


def _claims(token: str, key: Key | KeySet, algorithms: Collection[str]) -> dict[str, Any]:
    if len(token) > LONGEST:
        raise BadToken("the token is too long")
    # What is not known in a header is left alone, unless it is critical (RFC 7515, section 4).
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        claims = jwt.decode(token, key, registry=registry).claims
    except InvalidKeyIdError as error:
        raise _UnknownKey(str(error)) from None
    except Exception as error:  # whatever a library meets in what a stranger has sent
        raise BadToken(f"{type(error).__name__} {error}") from None
    if not is_whole(claims):
        raise BadToken("a text in it is none in UTF-8")
    return claims


def _may_be_public(key: Any) -> bool:
    """False for what is no key, and for private and symmetric ones: nobody publishes these, and
    checking a private one takes long."""
    return (
        isinstance(key, dict) and isinstance(key.get("kid", ""), str) and not {"d", "k"} & set(key)
    )


def key_set(document: dict[str, Any]) -> KeySet:
    """The public keys of a JWKS that can be used, MAX_KEYS at most; there may be others (RFC 7517,
    section 5)."""
    listed, keys = document.get("keys"), []
    listed = listed if isinstance(listed, list) else []
    if len(listed) > MAX_KEYS:
        log.warning("a JWKS has %d keys, of which the first %d count", len(listed), MAX_KEYS)
    for data in listed[:MAX_KEYS]:
        if not _may_be_public(data):
            continue
        try:
            keys.append(JWKRegistry.import_key(data))
        except Exception as error:  # whatever a library meets in a key that is none
            log.info("a key of a JWKS cannot be used: %r", error)
    return KeySet(keys)
