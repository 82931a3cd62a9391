"""Signing in with the token of another site: with a shared secret, and with public keys, as
Firebase does."""

import base64
import hmac
import itertools
import json
import re
import threading
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from ..provider import Provider, new_key
from ..running import Server, Visitor

SECRET = "a secret that both of the sites know"
ISSUER, AUDIENCE, SITE = "https://www.example.org", "chat", "https://www.example.org"
PROJECT = "demo-project"
FIREBASE = f"https://securetoken.google.com/{PROJECT}"
COUNT = itertools.count(1)


@pytest.fixture(scope="module")
def by_secret(tmp_path_factory):
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_SIGN_IN="guest,jwt",
        CHAT_JWT_SECRET=SECRET,
        CHAT_JWT_ISSUER=ISSUER,
        CHAT_JWT_AUDIENCE=AUDIENCE,
        CHAT_JWT_ORIGIN=f"{SITE}, https://other.example.org",
    ).start()
    yield running
    running.clean_up()


def firebase(data, provider):
    """A chat for the users of a Firebase project whose keys are the provider's."""
    return Server(
        data,
        CHAT_SIGN_IN="jwt",
        CHAT_JWT_JWKS=f"{provider.url}/jwks_uri",
        CHAT_JWT_ISSUER=FIREBASE,
        CHAT_JWT_AUDIENCE=PROJECT,
    )


ALGORITHMS = {
    "RS256": (RSAKey, 2048),
    "PS256": (RSAKey, 2048),
    "ES256": (ECKey, "P-256"),
    "Ed25519": (OKPKey, "Ed25519"),
    "EdDSA": (OKPKey, "Ed25519"),
}


@pytest.fixture(scope="module")
def keys():
    """A key for each algorithm."""
    return {alg: kind.generate_key(size) for alg, (kind, size) in ALGORITHMS.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider, keys):
    provider.published = [*keys.values(), *provider.published]
    running = firebase(tmp_path_factory.mktemp("chat"), provider).start()
    yield running
    running.clean_up()


def claims(**more):
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"u{next(COUNT)}", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**made, **more}.items() if value is not None}


def firebase_claims(**more):
    """What an ID token of Firebase holds (firebase.google.com/docs/auth/admin/verify-id-tokens)."""
    now, uid = int(time.time()), f"fb{next(COUNT)}"
    return {
        "name": "Fay Firebase",
        "picture": "https://lh3.googleusercontent.com/a/x",
        "iss": FIREBASE,
        "aud": PROJECT,
        "auth_time": now - 10,
        "user_id": uid,
        "sub": uid,
        "iat": now,
        "exp": now + 3600,
        "email": "fay@example.org",
        "email_verified": True,
        "firebase": {
            "identities": {"google.com": ["1"], "email": ["fay@example.org"]},
            "sign_in_provider": "google.com",
        },
        **more,
    }


def signed(of, secret=SECRET, alg="HS256", **header):
    return jwt.encode({"alg": alg, **header}, of, OctKey.import_key(secret), [alg])


def encoded(part):
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def hmac_token(header, of, secret):
    """Signed with whatever the secret is; the library would not do it."""
    what = f"{encoded(header)}.{encoded(of)}"
    return f"{what}.{encoded(hmac.digest(secret, what.encode(), 'sha256'))}"


def hand_over(server, token, origin="", **fields):
    visitor = Visitor(server.url)
    headers = {"Origin": origin} if origin else {}
    data = {"token": token, **fields}
    visitor.answer = visitor.http.post("/sign-in/token", data=data, headers=headers)
    return visitor


def refused(visitor, status=400):
    text = re.search(r'role="alert">([^<]*)<', visitor.answer.text)
    return visitor.answer.status_code == status and text and visitor.get("/").status_code == 303


# A secret in common


def test_a_token_becomes_a_session(by_secret):
    visitor = hand_over(by_secret, signed(claims(name="Ida")), next="/me")
    assert (visitor.answer.status_code, visitor.answer.headers["location"]) == (303, "/me")
    assert 'value="Ida"' in visitor.get("/me").text
    assert "Signed in from another site" in visitor.get("/me/sessions").text


def test_a_program_sends_it_as_a_bearer_token(by_secret):
    visitor = Visitor(by_secret.url)
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    answer = visitor.http.post("/sign-in/token", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert visitor.get("/").status_code == 200


def test_the_same_subject_is_the_same_person(by_secret):
    one, two = (hand_over(by_secret, signed(claims(sub="one", n=n))) for n in range(2))
    assert one.uid == two.uid


def test_a_token_counts_once(by_secret):
    token = signed(claims())
    assert hand_over(by_secret, token).answer.status_code == 303
    assert refused(hand_over(by_secret, token))
    assert refused(hand_over(by_secret, token + "="))


def test_of_many_at_once_one_counts(by_secret):
    token, codes = signed(claims()), []
    threads = [
        threading.Thread(
            target=lambda: codes.append(
                httpx.post(f"{by_secret.url}/sign-in/token", data={"token": token}).status_code
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [303] + [400] * 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 7200},
        {"exp": 10**400},
        {"nbf": int(time.time()) + 24 * 3600},
        {"iat": int(time.time()) + 24 * 3600},
    ],
    ids="".join,  # its field: two processes must call a test the same, whatever the time
)
def test_what_a_token_must_say(by_secret, wrong):
    assert refused(hand_over(by_secret, signed(claims(**wrong))))


def test_a_token_signed_otherwise_is_refused(by_secret):
    rsa = new_key()
    right = claims()
    for token in (
        f"{encoded({'alg': 'none'})}.{encoded(right)}.",
        signed(right, "another secret of the same size"),
        signed(right, alg="HS512"),
        jwt.encode({"alg": "RS256"}, right, rsa, ["RS256"]),
        signed(right)[:-4] + "AAAA",
        signed(right).rpartition(".")[0] + ".",
        "",
        "nonsense",
        "a.b.c",
        "." * 50_000,
        "[" * 600,
    ):
        assert refused(hand_over(by_secret, token)), token
    assert hand_over(by_secret, signed(right)).answer.status_code == 303


def test_only_pages_of_the_named_sites_hand_over(by_secret):
    """Whoever has a token of their own could make somebody else's browser post it."""
    for origin in ("https://evil.example", "null", "http://www.example.org"):
        assert refused(hand_over(by_secret, signed(claims()), origin), 403)
    for origin in (SITE, "https://other.example.org", by_secret.url):
        assert hand_over(by_secret, signed(claims()), origin).answer.status_code == 303


def test_who_was_signed_in_before_is_not_any_more(by_secret):
    guest = Visitor(by_secret.url, "Gus")
    before = guest.cookie
    guest.http.post("/sign-in/token", data={"token": signed(claims(name="Ida"))})
    assert 'value="Ida"' in guest.get("/me").text
    old = httpx.get(f"{by_secret.url}/me", headers={"Cookie": before})
    assert old.status_code == 303


def test_who_was_deactivated_is_not_let_in(by_secret):
    admin, visitor = (hand_over(by_secret, signed(claims(sub=sub))) for sub in ("admin", "off"))
    by_secret.console("admin", admin.uid)
    assert admin.submit(f"/admin/people/{visitor.uid}/deactivate").status_code == 303
    assert refused(hand_over(by_secret, signed(claims(sub="off", jti="2"))), 403)


def test_other_forms_still_need_their_token(by_secret):
    visitor = hand_over(by_secret, signed(claims()))
    assert visitor.http.post("/rooms", data={"name": "Tea", "kind": "open"}).status_code == 400


# Public keys


def test_a_firebase_token_becomes_a_session(server, provider):
    visitor = hand_over(server, provider.sign(firebase_claims()))
    assert visitor.answer.status_code == 303
    assert 'value="Fay Firebase"' in visitor.get("/me").text


def test_tokens_of_another_project_are_refused(server, provider):
    other = "https://securetoken.google.com/other"
    assert refused(hand_over(server, provider.sign(firebase_claims(iss=other, aud="other"))))
    assert refused(hand_over(server, provider.sign(firebase_claims(aud="other"))))
    assert refused(hand_over(server, provider.sign(firebase_claims(iss=ISSUER))))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_keys_of_all_kinds(server, keys, alg):
    header = {"alg": alg, "kid": KeySet([keys[alg]]).keys[0].kid}
    said = firebase_claims()
    token, again = (jwt.encode(header, said, keys[alg], [alg]) for _ in range(2))
    assert hand_over(server, token).answer.status_code == 303
    assert refused(hand_over(server, again)), "of a signature there may be several"


def test_the_public_key_signs_nothing(server, provider):
    """Everybody can read it; as the secret of HS256 it would let everybody in."""
    public = provider.key.as_pem(private=False)
    kid, right = provider.key.kid, firebase_claims()
    head, body, _ = provider.sign(right).split(".")
    assert refused(hand_over(server, hmac_token({"alg": "HS256", "kid": kid}, right, public)))
    assert refused(hand_over(server, f"{head}.{body}."))
    none = {"alg": "none", "kid": kid}
    assert refused(hand_over(server, f"{encoded(none)}.{body}."))
    assert hand_over(server, provider.sign(right)).answer.status_code == 303


def test_the_other_site_may_change_its_keys(tmp_path):
    """An unknown key is fetched at once, but clients that make up keys cause no further
    requests."""
    site = Provider().start()
    running = firebase(tmp_path / "chat", site).start()
    try:
        assert hand_over(running, site.sign(firebase_claims())).answer.status_code == 303
        old = site.sign(firebase_claims())
        site.rotate()
        assert hand_over(running, site.sign(firebase_claims())).answer.status_code == 303
        assert site.asked["/jwks_uri"] == 2
        assert refused(hand_over(running, old))
        for _ in range(5):
            assert refused(hand_over(running, site.sign(firebase_claims(), kid="made up")))
        assert site.asked["/jwks_uri"] == 2
    finally:
        site.stop()
        running.clean_up()


def test_keys_that_cannot_be_fetched(tmp_path):
    site = Provider()
    token = site.sign(firebase_claims())
    running = firebase(tmp_path / "chat", site).start()
    try:
        site.start().stop()
        assert refused(hand_over(running, token), 502)
    finally:
        running.clean_up()


def test_the_page_says_where_to_come_from(server, by_secret):
    page = Visitor(server.url).get("/sign-in").text
    assert "You sign in through another site" in page
    assert "<form" not in page
    assert "another site" not in Visitor(by_secret.url).get("/sign-in").text
