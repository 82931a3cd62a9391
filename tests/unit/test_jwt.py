"""Tokens of other sites: any token is either valid or refused."""

import base64
import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from chat.auth import jwt
from chat.auth.jwt import MAX_KEYS, BadToken, Secret

from .test_wire_text import ANY_TEXT, BROKEN_TEXT, DOCUMENTS, can_be_stored

KEY = "a secret that both of the sites know"
NAMES = ["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "zip", "cty"]
CLAIMS = ["iss", "aud", "sub", "exp", "nbf", "iat", "nonce", "jti", "azp", "name", "email"]
NUMBERS = st.sampled_from([10**400, -(10**400), 2**64, -1, 1e999, float("nan"), True, 0.5])
RUBBISH = DOCUMENTS | NUMBERS | BROKEN_TEXT


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(header, claims):
    """Rightly signed, whatever is in it."""
    said = f"{part(header)}.{part(claims)}"
    return f"{said}.{part(hmac.digest(KEY.encode(), said.encode(), 'sha256'))}"


def right():
    return {"iss": "site", "aud": "chat", "sub": "ann", "exp": int(time.time()) + 60}


def refused(header, claims):
    try:
        said = Secret(KEY).claims(token(header, claims))
        jwt.check_claims(said, "site", "chat", time.time(), nonce="n")
    except BadToken:
        return True
    assert can_be_stored(said["iss"] + said["sub"] + jwt.name_of(said))
    assert (said["iss"], said["nonce"]) == ("site", "n")
    assert time.time() < said["exp"] + jwt.LEEWAY_SECONDS
    return False


@given(st.dictionaries(st.sampled_from(NAMES), RUBBISH), st.sampled_from(NAMES), RUBBISH)
def test_whatever_is_in_a_header_it_is_read_or_refused(more, name, value):
    refused({"alg": "HS256", **more, name: value}, right())


@given(st.dictionaries(st.sampled_from(CLAIMS), RUBBISH), st.sampled_from(CLAIMS), RUBBISH)
def test_whatever_is_in_the_claims_they_are_read_or_refused(more, name, value):
    refused({"alg": "HS256"}, {**right(), "nonce": "n", name: value})
    refused({"alg": "HS256"}, {**right(), **more, name: value})


@given(RUBBISH | st.binary(), RUBBISH | st.binary())
def test_what_is_no_token_is_refused(header, claims):
    assert refused(header, claims)


@given(ANY_TEXT)
def test_nor_is_any_text_one(text):
    with pytest.raises(BadToken):
        Secret(KEY).claims(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("nonce", value) for value in (["n"], ["n", "m"], {"n": 1}, None, 1, "m")),
        *(("iss", value) for value in (["site"], {}, None)),
        *(("sub", value) for value in (["ann"], "\ud800", "a\udfff", "", 5, None, True)),
        *(("aud", value) for value in (["other"], [], ["chat", 1], {"chat": 1}, "\ud800")),
        *(("exp", value) for value in ("9e99", [10**10], float("nan"), float("inf"), True, None)),
        *(("name", value) for value in ("\ud800", {"\ud800": 1})),
    ],
)
def test_a_claim_that_is_not_what_it_should_be_is_refused(name, value):
    fine = {**right(), "nonce": "n"}
    assert not refused({"alg": "HS256"}, fine)
    assert refused({"alg": "HS256"}, {**fine, name: value})


@given(RUBBISH | st.fixed_dictionaries({"keys": RUBBISH | st.lists(RUBBISH)}))
def test_whatever_a_site_publishes_what_is_no_key_is_left_out(document):
    jwt.key_set(document if isinstance(document, dict) else {"keys": document})


MEMBERS = st.sampled_from(["kty", "kid", "n", "e", "x", "y", "crv", "k", "use", "alg", "key_ops"])


@given(st.sampled_from(["RSA", "EC", "OKP", "oct"]), st.dictionaries(MEMBERS, RUBBISH))
def test_a_key_with_rubbish_in_it_is_left_out_or_read(kind, members):
    found = jwt.key_set({"keys": [{"kty": kind, **members}, EC.as_dict(private=False)]})
    assert EC.kid in [key.kid for key in found.keys]


EC = ECKey.generate_key("P-256", {"kid": "ours"})


def test_so_many_keys_are_taken_and_no_private_one():
    public = EC.as_dict(private=False)
    many = jwt.key_set({"keys": [{**public, "kid": str(n)} for n in range(1000)]})
    assert [key.kid for key in many.keys] == [str(n) for n in range(MAX_KEYS)]
    private = [RSAKey.generate_key(2048).as_dict(private=True), EC.as_dict(private=True)]
    assert jwt.key_set({"keys": [*private, OctKey.generate_key().as_dict()]}).keys == []
