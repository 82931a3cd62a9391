"""A proxy in front of the chat names the visitor. 127.0.0.1 is the proxy, 127.0.0.2 is not."""

from ipaddress import ip_network

import httpx
import pytest

from chat.app import create_app
from chat.config import Settings
from chat.observability import once_per_minute
from chat.web import trusted_proxy

from ..running import Server, Visitor, browser, opened
from .page import Page

STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_SIGN_IN="guest,proxy",
        CHAT_PROXIES="127.0.0.1",
        CHAT_PROXY_NAME_HEADER="X-Forwarded-Name",
    ).start()
    yield running
    running.clean_up()


def come(server, user=None, address="127.0.0.1", **headers):
    """Somebody whose requests come from `address`, with the header that names `user`."""
    visitor = Visitor(server.url)
    visitor.http = opened.enter_context(
        browser(server.url, transport=httpx.HTTPTransport(verify=False, local_address=address))
    )
    visitor.http.headers.update(headers)
    if user is not None:
        visitor.http.headers.update({"X-Forwarded-User": user})
    return visitor


def name(visitor, user):
    """From now on the proxy says that this is the visitor."""
    others = [pair for pair in visitor.http.headers.raw if pair[0].lower() != b"x-forwarded-user"]
    visitor.http.headers = [*others, (b"X-Forwarded-User", user)]


def is_in(visitor):
    return visitor.get("/", follow_redirects=True).url.path != "/sign-in"


def test_whom_the_proxy_names_is_signed_in(server):
    visitor = come(server, "zoe@example.org", **{"X-Forwarded-Name": "Zoë Zuse, Dr.".encode()})
    assert visitor.get("/me", follow_redirects=True).url.path == "/me"
    assert 'value="Zoë Zuse, Dr."' in visitor.get("/me").text
    assert "Signed in by the proxy in front" in visitor.get("/me/sessions").text
    other = come(server, "zoe@example.org")
    assert is_in(other)
    assert other.uid == visitor.uid


@pytest.mark.parametrize(
    ("user", "name"), [("ann@example.org", "ann"), ("bob", "bob"), ("\u200b", "New member")]
)
def test_a_name_is_made_of_the_user(server, user, name):
    visitor = come(server, user.encode())
    assert f'value="{name}"' in visitor.get("/me", follow_redirects=True).text


def test_a_stranger_who_sends_the_header_is_nobody(server):
    assert not is_in(come(server, "zoe@example.org", STRANGER))
    assert not is_in(
        come(server, "zoe@example.org", STRANGER, **{"X-Forwarded-For": "127.0.0.1"})
    ), "the connection counts, not what it says of itself"


@pytest.mark.parametrize("user", ["", "eve,zoe", "u" * 256])
def test_a_header_that_names_nobody(server, user):
    assert not is_in(come(server, user))


# Pairs of users that were one person: what is not UTF-8 became the same replacement character, and
# the spaces of Unicode around a name went.
@pytest.mark.parametrize(
    "user",
    [
        *(
            b"ren\xe9@example.org",
            b"ren\xe8@example.org",
            b"\xff",
            b"\xed\xa0\x80",
            b"\xc3",
            b"a\x80",
        ),
        *("a\u0085b".encode(), "\u009fann".encode(), b"a\tb"),
    ],
)
def test_a_header_that_does_not_say_who_it_is_names_nobody(server, user):
    assert not is_in(come(server, user))
    visitor = come(server, "ann")
    assert is_in(visitor)
    name(visitor, user)
    assert not is_in(visitor), "a session goes on for nobody else"
    guest = come(server)
    guest.sign_in("Gus")
    name(guest, user)
    assert not is_in(guest)


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000", "\u2028", "\u200b", "\ufeff"])
def test_users_who_differ_by_a_space_are_different_people(server, space):
    users = ["ann", f"ann{space}", f"{space}ann"]
    visitors = [come(server, user.encode()) for user in users]
    assert all(map(is_in, visitors))
    assert len({visitor.uid for visitor in visitors}) == 3


def test_a_name_that_cannot_be_read_is_no_name(server):
    visitor = come(server, "ann@example.org", **{"X-Forwarded-Name": b"Ren\xe9"})
    assert 'value="ann"' in visitor.get("/me", follow_redirects=True).text


def test_a_header_that_cannot_be_used_is_one_line_a_minute(store, tmp_path, caplog, monkeypatch):
    """Whoever gets it past the proxy could fill the disk otherwise."""
    now = [1000.0]
    monkeypatch.setattr(once_per_minute.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(trusted_proxy, "_unusable", once_per_minute.OncePerMinute())
    proxies = (ip_network("127.0.0.0/8"),)
    settings = Settings(secret_key="x" * 32, data=tmp_path, sign_in=("proxy",), proxies=proxies)
    client = create_app(settings, store).test_client()
    for _ in range(20):
        client.get("/sign-in", headers={"X-Forwarded-User": "zoe,yves"})
    assert caplog.messages == ["X-Forwarded-User cannot be used: 'zoe,yves'"]
    now[0] += once_per_minute.MINUTE_SECONDS
    client.get("/sign-in", headers={"X-Forwarded-User": "zoe,yves"})
    assert caplog.messages[1].endswith("(and 19 more times since the last line like this)")


def test_a_visitors_own_header_beside_the_proxys_names_nobody(server):
    both = [("X-Forwarded-User", "boss"), ("X-Forwarded-User", "zoe")]
    assert httpx.get(f"{server.url}/sign-in", headers=both).status_code == 200


def test_an_underscore_does_not_pass_for_a_hyphen(server):
    """A proxy that replaces X-Forwarded-User lets X_Forwarded_User through."""
    assert not is_in(come(server, None, **{"X_Forwarded_User": "boss"}))
    assert is_in(come(server, "zoe", **{"X_Forwarded_User": "boss"}))


def test_when_the_proxy_names_another_the_session_ends(server):
    visitor = come(server, "first")
    assert is_in(visitor)
    first, page = visitor.uid, Page(visitor, **{"X-Forwarded-User": "first"}).watch("")
    cookie = visitor.cookie
    visitor.http.headers["X-Forwarded-User"] = "second"
    assert visitor.get("/me").headers["location"] == "/sign-in?next=/me"
    assert page.wait_closed() == 1008
    assert visitor.get("/me", follow_redirects=True).url.path == "/me"
    assert visitor.uid != first
    old = {"Cookie": cookie, "X-Forwarded-User": "first"}
    assert httpx.get(f"{server.url}/me", headers=old).status_code == 303, "it is over"


def test_a_guest_becomes_whom_the_proxy_names(server):
    visitor = come(server)
    visitor.sign_in("Gus")
    guest = visitor.uid
    visitor.http.headers["X-Forwarded-User"] = "gus"
    assert is_in(visitor)
    assert visitor.uid != guest


def test_who_signs_out_is_not_signed_in_again_at_once(server):
    visitor = come(server, "zoe")
    assert is_in(visitor)
    answer = visitor.submit("/sign-out")
    page = visitor.get(answer.headers["location"]).text
    assert "You have signed out of the chat." in page
    assert visitor.get("/sign-in?out=1").status_code == 200
    assert visitor.get("/sign-in").status_code == 303


def test_who_was_deactivated_is_not_let_in(server):
    admin, visitor = come(server, "admin"), come(server, "off")
    assert is_in(admin)
    assert is_in(visitor)
    server.console("admin", admin.uid)
    assert admin.submit(f"/admin/people/{visitor.uid}/deactivate").status_code == 303
    answer = visitor.get("/", follow_redirects=True)
    assert answer.status_code == 403
    assert "deactivated" in answer.text
    assert "signed out" not in answer.text


def test_the_page_says_that_the_proxy_named_nobody(tmp_path):
    settings = {"CHAT_SIGN_IN": "proxy", "CHAT_PROXIES": "10.0.0.0/8", "CHAT_PROXY_HEADER": "X-Me"}
    running = Server(tmp_path / "chat", **settings).start()
    try:
        page = httpx.get(f"{running.url}/sign-in", headers={"X-Me": "boss"}).text
        assert "it did not say who you are" in page
        assert "<form" not in page
    finally:
        running.clean_up()
