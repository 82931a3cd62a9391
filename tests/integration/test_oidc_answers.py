"""Whatever a provider publishes and answers, the visitor is signed in or gets an error."""

import asyncio
import json
import time

import greenback
import pytest

from chat.auth import jwt
from chat.auth.jwt import BadToken, Keys
from chat.auth.oidc_client import Provider
from chat.config import Settings
from chat.http_client import json_documents
from chat.http_client.json_documents import Unreachable

from ..provider import CLIENT, SECRET

VALUES = [
    *(None, True, -1, 10**400, 1e999, "", "x", "\ud800", "\0", "a\r\nX-Y: z", "\ufffe", [], {}),
    *(["https://a.example"], {"a": 1}, "https://", "https://[", "https://xn--/", "https://a:b/"),
    *("https://a/\n", "https://\u00e4.example/", "http://id.example.org/", "file:///etc/passwd"),
    *("javascript:1", "//id.example.org/x", "https://id.example.org/#a", "x" * 100_000),
]
ADDRESSES = ["authorization_endpoint", "token_endpoint", "jwks_uri"]
CODE = "code", "http://127.0.0.1/sign-in/oidc/callback", "verifier", "nonce"


@pytest.fixture(autouse=True)
def as_it_should(provider):
    yield
    provider.metadata, provider.answers = {}, {}


def on_loop(function, *args):
    """Call it in a greenlet, as a request is."""
    return asyncio.run(greenback.with_portal_run_sync(function, *args))


def ours(provider):
    options = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return Provider(Settings(oidc_issuer=provider.url, **options), time.time)


def id_token(provider, **more):
    now = int(time.time())
    said = {"iss": provider.url, "aud": CLIENT, "sub": "7", "iat": now, "exp": now + 60}
    return provider.sign({**said, "nonce": "nonce", **more})


def answer(provider, **more):
    """What the token endpoint gives out, but for `more`."""
    provider.answers["/token_endpoint"] = {"id_token": id_token(provider), **more}


def begin(provider):
    return ours(provider).address(CODE[1], "state", "nonce", "verifier")


def come_back(provider):
    return ours(provider).claims(*CODE)


@pytest.mark.parametrize("name", ["issuer", *ADDRESSES])
def test_an_address_that_is_none_is_not_gone_to(provider, name):
    answer(provider)
    assert on_loop(begin, provider).startswith(provider.url)
    assert on_loop(come_back, provider)["sub"] == "7"
    step = begin if name in ("issuer", "authorization_endpoint") else come_back
    for value in VALUES:
        if step is begin and value == "https://xn--/":
            continue  # an address to a browser, which then says that it leads nowhere
        provider.metadata = {name: value}
        with pytest.raises(Unreachable):
            on_loop(step, provider)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_whatever_else_a_provider_publishes(provider, value):
    """Names that are not known, and ways to say who asks."""
    answer(provider)
    provider.metadata = {"token_endpoint_auth_methods_supported": value, "x": value}
    try:
        assert on_loop(come_back, provider)["sub"] == "7"
    except Unreachable:
        assert "\\ud" in json.dumps(value), "not a document of UTF-8"


def test_whatever_the_token_endpoint_answers(provider):
    for value in VALUES:
        answer(provider, id_token=value)
        with pytest.raises((BadToken, Unreachable)):
            on_loop(come_back, provider)
        answer(provider, access_token=value, token_type=value)
        if "\\ud" in json.dumps(value):
            with pytest.raises(Unreachable):
                on_loop(come_back, provider)
            continue
        provider.answers["/userinfo_endpoint"] = {"sub": "7", "name": "Ann"}
        said = on_loop(come_back, provider)
        assert said.get("name") == ("Ann" if is_bearer(value) else None)


def is_bearer(value):
    return (
        isinstance(value, str)
        and 0 < len(value) < 20_000
        and value.isascii()
        and (value.isprintable())
    )


def test_whatever_is_said_of_the_user(provider):
    """A name that is none is no reason to keep somebody out; a document that is not UTF-8 is."""
    for value in VALUES:
        for claim in ("name", "email", "preferred_username", "sub"):
            answer(provider, access_token="token")
            provider.answers["/userinfo_endpoint"] = {"sub": "7", claim: value}
            if "\\ud" in json.dumps(value):
                with pytest.raises(Unreachable):
                    on_loop(come_back, provider)
                continue
            said = on_loop(come_back, provider)
            assert said["sub"] == "7"
            jwt.name_of(said).encode()


def test_a_document_of_many_keys_is_read_once_and_in_part(provider, monkeypatch):
    """Each import of a key costs; with hundreds of them, each token once held up the loop."""
    imported = []

    def key_set(document):
        imported.extend(document["keys"])
        return read(document)

    read = jwt.key_set
    monkeypatch.setattr(jwt, "key_set", key_set)
    keys = [{**provider.key.as_dict(private=False), "kid": f"k{n}"} for n in range(600)]
    provider.answers["/jwks_uri"] = {"keys": keys}

    def many():
        found = Keys(f"{provider.url}/jwks_uri")
        return [found.claims(provider.sign({"n": n}, kid="k7")) for n in range(20)]

    assert [said["n"] for said in on_loop(many)] == list(range(20))
    assert len(imported) == 600, "looked at once"


def test_a_document_of_keys_that_is_too_large_is_not_read(provider):
    keys = [{**provider.key.as_dict(private=False), "x": "x" * json_documents.MAX_BODY_BYTES}]
    provider.answers["/jwks_uri"] = {"keys": keys}
    with pytest.raises(Unreachable, match="more than"):
        on_loop(lambda: Keys(f"{provider.url}/jwks_uri").claims(provider.sign({})))
