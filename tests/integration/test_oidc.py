"""Signing in at an OpenID Connect provider: a real one, on this machine, with its own sign-in
page."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ..provider import CLIENT, SECRET, new_key
from ..running import Server, Visitor, free_port

BACK = "/sign-in/oidc/callback"


def settings(provider, **more):
    return {
        "CHAT_SIGN_IN": "oidc",
        "CHAT_OIDC_ISSUER": provider.url,
        "CHAT_OIDC_CLIENT_ID": CLIENT,
        "CHAT_OIDC_CLIENT_SECRET": SECRET,
        "CHAT_OIDC_NAME": "Provider",
        **more,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    running = Server(tmp_path_factory.mktemp("chat"), **settings(provider)).start()
    yield running
    running.clean_up()


@pytest.fixture(autouse=True)
def as_it_should(provider):
    yield
    provider.says, provider.thin, provider.published = {}, False, [provider.key]


@pytest.fixture
def visitor(server):
    return Visitor(server.url)


def begin(visitor, path="/sign-in/oidc"):
    """Where the visitor is sent to sign in."""
    answer = visitor.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def at_provider(there, sub="7", name="Zoe", **more):
    """Fill in the provider's form; returns the path and query that it sends back to."""
    answer = httpx.post(there, data={"sub": sub, "name": name, **more})
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    assert back.path == BACK
    return f"{back.path}?{back.query}"


def sign_in(visitor, **who):
    return visitor.get(at_provider(begin(visitor), **who))


def error_of(answer):
    """What the sign-in page says that went wrong."""
    assert "<h1>Sign in</h1>" in answer.text
    return re.search(r'role="alert">([^<]*)<', answer.text)[1]


def test_somebody_signs_in_and_goes_where_they_wanted_to(visitor):
    page = visitor.get("/me", follow_redirects=True).text
    link = re.search(r'href="(/sign-in/oidc[^"]*)">Continue with Provider', page)[1]
    answer = visitor.get(at_provider(begin(visitor, link), name="Zoe Zuse"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    assert 'value="Zoe Zuse"' in visitor.get("/me").text
    assert "Signed in with Provider" in visitor.get("/me/sessions").text


def test_the_request_is_as_it_should_be(visitor, server):
    asked = {name: value[0] for name, value in parse_qs(urlsplit(begin(visitor)).query).items()}
    assert asked["redirect_uri"] == server.url + BACK
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert asked["scope"].split() == ["openid", "profile", "email"]


def test_who_comes_back_is_the_same_person(server):
    one, two, other = (Visitor(server.url) for _ in range(3))
    sign_in(one, sub="same")
    sign_in(two, sub="same", name="Renamed")
    sign_in(other, sub="Same")
    assert one.uid == two.uid != other.uid
    assert 'value="Zoe"' in two.get("/me").text


@pytest.mark.parametrize(
    ("says", "name"),
    [
        ({"name": "  Ann\u202e\nB "}, "Ann B"),
        ({"name": "\u200b", "preferred_username": "ann.b"}, "ann.b"),
        ({"name": "", "email": "ann@example.org"}, "ann"),
        ({"name": ["Ann"]}, "New member"),
        ({"name": "A" * 300}, "A" * 40),
    ],
)
def test_a_name_is_found_in_what_the_provider_says(visitor, provider, says, name):
    provider.says = says
    assert sign_in(visitor, sub=f"called {name}").status_code == 303
    assert f'value="{name}"' in visitor.get("/me").text


def test_a_name_is_asked_for_where_the_token_has_none(visitor, provider):
    provider.thin = True
    assert sign_in(visitor, sub="thin", name="Thea").status_code == 303
    assert 'value="Thea"' in visitor.get("/me").text


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil", "/" * 2000])
def test_the_way_back_leads_nowhere_else(visitor, next):
    there = begin(visitor, f"/sign-in/oidc?next={next}")
    assert visitor.get(at_provider(there)).headers["location"] == "/"


def test_who_turns_back_is_told_so(visitor):
    answer = visitor.get(at_provider(begin(visitor, "/sign-in/oidc?next=/me"), deny="1"))
    assert answer.status_code == 403
    assert "Provider was cancelled or denied" in error_of(answer)
    assert 'href="/sign-in/oidc?next=/me"' in answer.text


@pytest.mark.parametrize("query", ["", "?state=x&code=y", "?code=y", "?state=&error=z"])
def test_what_nobody_began_is_refused(visitor, provider, query):
    asked = provider.asked["/token_endpoint"]
    begin(visitor)
    answer = visitor.get(BACK + query)
    assert answer.status_code == 400
    assert "another browser" in error_of(answer)
    assert provider.asked["/token_endpoint"] == asked


def test_a_code_is_taken_only_in_the_browser_that_asked(server, visitor):
    back = at_provider(begin(visitor))
    other = Visitor(server.url)
    begin(other)
    assert other.get(back).status_code == 400
    assert visitor.get(back).headers["location"] == "/"
    visitor.submit("/sign-out")
    assert visitor.get(back).status_code == 400, "once"


def test_several_tabs_can_begin(visitor):
    first, second = begin(visitor, "/sign-in/oidc?next=/me"), begin(visitor)
    assert visitor.get(at_provider(first)).headers["location"] == "/me"
    answer = visitor.get(at_provider(second))
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), "signed in already"


@pytest.mark.parametrize(
    "says",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"sub": ""},
        {"sub": None},
        {"sub": "s" * 256},
    ],
    ids=str,
)
def test_an_id_token_that_is_not_right_lets_nobody_in(visitor, provider, says):
    provider.says = says
    answer = sign_in(visitor)
    assert answer.status_code == 400
    assert "Signing in with Provider did not work" in error_of(answer)
    assert visitor.get("/").status_code == 303


@pytest.mark.parametrize("same_name", [True, False])
def test_a_token_signed_by_somebody_else_lets_nobody_in(visitor, provider, same_name):
    right = provider.key
    provider.key = new_key(right.kid if same_name else "")
    try:
        assert sign_in(visitor).status_code == 400
    finally:
        provider.key = right


def test_more_parties_are_fine_when_the_token_is_for_us(visitor, provider):
    provider.says = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert sign_in(visitor).status_code == 303


def test_a_provider_that_is_away_is_named(tmp_path):
    class Away:
        url = f"http://127.0.0.1:{free_port()}"

    running = Server(tmp_path / "chat", **settings(Away)).start()
    try:
        answer = Visitor(running.url).get("/sign-in/oidc?next=/me")
        assert answer.status_code == 502
        assert "Provider does not respond" in error_of(answer)
        assert "next=/me" in answer.text
    finally:
        running.clean_up()


def test_a_provider_of_another_name_is_not_taken(tmp_path, provider):
    provider.issuer = "https://evil.example"
    running = Server(tmp_path / "chat", **settings(provider)).start()
    try:
        assert Visitor(running.url).get("/sign-in/oidc").status_code == 502
    finally:
        provider.issuer = ""
        running.clean_up()


def test_an_admin_is_made_on_the_console(server, visitor):
    sign_in(visitor, sub="boss", name="Bea")
    assert visitor.get("/admin/people").status_code == 403
    refused = server.console("admin", "Bea")
    assert refused.returncode == 1
    assert f"{visitor.uid}  Bea (member)" in refused.stderr
    made = server.console("admin", visitor.uid)
    assert (made.returncode, made.stderr) == (0, "")
    assert visitor.get("/admin/people").status_code == 200
    assert "was made an administrator on the console" in visitor.get("/admin/audit").text


def test_the_console_says_when_no_chat_is_running(tmp_path):
    server = Server(tmp_path)
    refused = server.console("admin", "ada")
    assert refused.returncode == 1
    assert "no chat is running" in refused.stderr


def test_who_was_deactivated_is_not_let_in(server, visitor):
    admin = Visitor(server.url)
    sign_in(admin, sub="admin")
    server.console("admin", admin.uid)
    sign_in(visitor, sub="off")
    assert admin.submit(f"/admin/people/{visitor.uid}/deactivate").status_code == 303
    answer = sign_in(visitor, sub="off")
    assert answer.status_code == 403
    assert "deactivated" in error_of(answer)
    assert visitor.get("/").status_code == 303


def test_nothing_is_there_when_it_is_off(tmp_path):
    running = Server(tmp_path / "chat").start()
    try:
        visitor = Visitor(running.url)
        assert visitor.get("/sign-in/oidc").status_code == 404
        assert visitor.get(BACK).status_code == 404
        assert visitor.http.post("/sign-in/token").status_code == 404
    finally:
        running.clean_up()
